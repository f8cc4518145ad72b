"""The controllers' own unit tests, as vectors: every one agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoscaling_vectors import JUDGES, judged, read

CASES = {
    "hpa_behavior": 50,
    "hpa_pod_groups": 19,
    "hpa_reconcile": 62,
    "hpa_replicas": 59,
    "keda": 50,
    "knative_decider": 25,
    "knative_windows": 29,
}


@pytest.fixture(scope="module")
def folder(assets: Path) -> Path:
    found = assets / "autoscaling"
    if not found.exists():
        pytest.skip("shared data has no autoscaling vectors")
    return found


@pytest.mark.assets
@pytest.mark.parametrize("suite", sorted(JUDGES))
def test_every_vector_of_a_suite_agrees(folder: Path, suite: str) -> None:
    documents = [document for _, document in read(folder) if document["suite"] == suite]
    found = judged(documents)[suite]
    assert [str(difference) for difference in found.differences] == []
    assert found.cases == CASES[suite]
