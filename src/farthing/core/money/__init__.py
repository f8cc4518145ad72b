"""Cost at a trace, marginal cost, commitments, the parts of a saving, frontier."""
