"""One measured replica at a time: a child process that loads, builds and answers as it is told."""
