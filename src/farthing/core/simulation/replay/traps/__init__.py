"""What is wrong with an autoscaler, by its manifest and by what it did: a sentence each, and what to write instead."""
