"""What a model's operators cost, by its graph and by the engine's own profile."""
