"""Intervals, paired tests, confidence sequences, risk control."""
