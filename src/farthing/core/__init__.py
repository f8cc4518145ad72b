"""PURE ROOM: arrays and nouns in, nouns out; no clock, file, socket, log or global random state."""
