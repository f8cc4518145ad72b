"""farthing: inference savings you can audit."""
