"""DOOR OUT: nouns become terminal lines, JSON, HTML and charts."""
