"""Child processes, load generators, per-operator profiles."""
