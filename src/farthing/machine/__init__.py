"""This machine: its clock, its cores and what they can do, how quiet it is, and child processes that end with it."""
