"""One file per back end that runs a model."""
