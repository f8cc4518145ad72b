"""The second listener: metrics, live page, cost, readiness, and admin for who shows the token."""
