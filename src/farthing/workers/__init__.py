"""Queues, batches and the processes that run models."""
