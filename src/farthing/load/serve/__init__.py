"""What is to be served: plans, model files, folders and routes."""
