"""The published rules and ours, each at work on one fleet: shown an interval, it says how many replicas it wants."""
