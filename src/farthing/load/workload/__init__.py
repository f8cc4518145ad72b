"""A model, its data and what is promised: files, folders and flags become a workload."""
