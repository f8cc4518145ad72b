"""The first sample of a workload as the model's tensors: what does not fit is said before any work."""

from __future__ import annotations

from pathlib import Path

from farthing.load.signature import onnx_signature
from farthing.nouns import Workload
from farthing.pipelines.payloads import read
from farthing.plugins import find

__all__ = ["check_first_sample"]


def check_first_sample(workload: Workload) -> None:
    """Make the tensors of one sample; of a PyTorch module, whose inputs are not known yet, nothing is checked.

    Raises:
        DataError: when the sample cannot be read, or its tensors do not fit the model's inputs.
    """
    if workload.model.onnx_path is None:
        return
    inputs = onnx_signature(Path(workload.model.onnx_path)).inputs
    pipeline = find("pipelines", workload.pipeline.kind).open(workload.pipeline)
    pipeline(read(workload.holdout, [0]), inputs)
