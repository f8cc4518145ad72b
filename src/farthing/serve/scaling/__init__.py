"""The loop that scales the workers of one model while it serves, and what is shown of it."""
