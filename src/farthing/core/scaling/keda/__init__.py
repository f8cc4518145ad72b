"""KEDA: scaling from and to zero around the autoscaler, values in place of failing ones, jobs, formulas."""
