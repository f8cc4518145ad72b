"""Spot capacity as it was: availability of zones, replicas bought in them, what floor and overflow cost and keep."""
