"""Answers of Prometheus' HTTP API: which series they hold, what these are, and their sum as requests by step."""
