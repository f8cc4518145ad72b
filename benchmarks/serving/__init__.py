"""What the serving benchmarks share: models, load generators, processes under test."""
