"""What passes between clients, the server and its workers: requests, answers, decisions of routes, and their types."""
