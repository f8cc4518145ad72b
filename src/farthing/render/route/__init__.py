"""A route's screens, pages and pictures."""
