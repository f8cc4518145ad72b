"""One file per way of making a model cheaper."""
