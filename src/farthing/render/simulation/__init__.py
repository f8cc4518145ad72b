"""A study of autoscaling rules as terminal lines and JSON."""
