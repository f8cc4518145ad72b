"""Manifests of autoscalers, and recorded series as the metrics that they follow."""
