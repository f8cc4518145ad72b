"""A route's tiers asked, its scores timed, and the rate that it keeps through its server."""
