"""What engines, variants and readers need to know of model files: safe reading, digests, the user's own modules."""
