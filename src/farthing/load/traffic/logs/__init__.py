"""Logs with a line a request: of web servers, content delivery and load balancers."""
