"""What a plan says of how its promise was tested: whose time it took, and on which cores."""

from __future__ import annotations

import pytest

from farthing.measure.state import _served
from farthing.nouns import Candidate

TWO = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", instances=2)


@pytest.mark.parametrize(
    ("cores", "where"),
    [
        (2, "on the workers' own cores, as no other was free; with clients on other machines the workers get the "
            "generator's share"),
        (3, "on a core that no worker uses"),
        (8, "on 6 cores that no worker uses"),
    ],
)  # fmt: skip
def test_how_the_promise_was_tested(cores: int, where: str) -> None:
    assert _served((0.07, 0.05), TWO, cores=cores) == (
        "the promise was tested through `farthing serve` on this machine. Of all cores' time the server's own process "
        f"took 7 % and the load generator 5 %, {where}"
    )
