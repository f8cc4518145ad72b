"""JSON of any size read and written in short steps, so that nobody waits for a long body."""
