"""The same of routes: what they are calibrated and judged on, what their tiers cost, which rate is planned."""
