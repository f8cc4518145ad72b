"""Arrivals in words, and in a picture with their burstiness."""
