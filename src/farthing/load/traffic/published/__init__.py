"""Traces that others published, by the schemas of their own pages; only Azure LLM 2023 was read from its files."""
