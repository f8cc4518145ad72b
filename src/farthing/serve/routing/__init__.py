"""Several models behind one name: each request goes to the smallest tier that suffices."""
