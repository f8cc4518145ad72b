"""One file per command, one library function each."""
