"""Scores of requests and of answers, and how they are learned."""
