"""What can be done with a route: one module a command."""
