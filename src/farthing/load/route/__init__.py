"""Tiers, prices and outcomes become what a route is calibrated on; route files are read again."""
