"""Knative's pod autoscaler: metrics averaged over windows, and the pods they ask for in calm and in panic."""
