"""Autoscaling rules on a simulated fleet: tuned on one half of a trace, judged on the other."""
