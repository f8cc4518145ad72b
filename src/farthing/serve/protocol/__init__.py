"""What the protocols share: element types, strict reading, checks against the model, documents, the description."""
