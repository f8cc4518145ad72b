"""The data plane: protocols, dynamic batching, workers, metrics and the live page of one machine."""
