"""From findings to a plan, and a plan priced again: at other traffic, other prices, another promise."""
