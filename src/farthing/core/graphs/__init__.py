"""Operator costs and rooflines."""
