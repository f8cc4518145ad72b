"""Replicas of a stand-in engine."""

from replica_fixtures import dataset, pair

__all__ = ["dataset", "pair"]
