"""From bytes and text to tensors, the same code when measuring and serving."""
