"""Shapes of traffic, arrivals and their burstiness, and the batch queue."""
