"""What ``benchmarks/route.py`` is made of."""
