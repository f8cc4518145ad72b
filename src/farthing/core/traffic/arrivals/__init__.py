"""Instants at which requests arrive, drawn and changed in blocks: memory does not grow with their number.

A block is an array of seconds from 0 on, shape ``(n,)``, ascending, n ≥ 1; blocks follow one another in time. The same
arguments and the same seed give the same instants.
"""
