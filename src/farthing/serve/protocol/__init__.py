"""What the protocols share: requests read and answers written, checks against the model, documents."""
