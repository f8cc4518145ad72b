from __future__ import annotations

import pytest

from farthing.nouns import PipelineSpec
from farthing.workers.warm_up import sample_payload


@pytest.mark.parametrize(("longest", "words"), [(1, 1), (128, 32), (512, 128), (8192, 128)])
def test_a_model_of_long_texts_is_not_warmed_up_with_them(longest: int, words: int) -> None:
    spec = PipelineSpec(kind="text", tokenizer="tokenizer.json", max_length=longest)
    assert len(str(sample_payload(spec, ())).split()) == words
