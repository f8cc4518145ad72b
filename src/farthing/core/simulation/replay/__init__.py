"""What an autoscaler would have done over recorded metrics, in replicas and dollars, and what is wrong with it."""
