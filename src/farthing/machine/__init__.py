"""The machine at hand: its clock, its cores and what they can do, how quiet it is, child processes that end with it."""
