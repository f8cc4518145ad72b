"""Candidates, racing, the accuracy gate and the verdict."""
