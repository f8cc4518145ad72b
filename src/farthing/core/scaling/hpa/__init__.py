"""Kubernetes' Horizontal Pod Autoscaler, v2: pods to proposals, proposals to a decision."""
