"""Judges of autoscaling vectors, one module a controller."""
