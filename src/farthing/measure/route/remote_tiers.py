"""Tiers behind a URL: their answers to every request, the time of one, the tokens used. Only URLs that the user named.

Answers may cost money, so each is written to a journal as it comes: a run that was interrupted asks for what it lacks.

``open_inference``: ``POST URL/v2/models/NAME/infer`` in JSON; the first output holds logits, probabilities or class
indices. ``openai``: ``POST URL/chat/completions``; the answer's text must be the name of a class.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.answers import NO_CLASS, TierAnswers, answers_of
from farthing.core.stats.intervals import quantile
from farthing.errors import DataError, InputError
from farthing.machine.clock import MonotonicClock
from farthing.measure.route.patient_requests import Patient
from farthing.nouns import Dataset, Estimate
from farthing.pipelines.payloads import read
from farthing.ports import Clock, Progress
from farthing.store.journal import Journal
from farthing.wire.chat import DEFAULT_PROMPT, chat_document, class_index, classes_by_name, told
from farthing.wire.dtypes import datatype_of
from farthing.wire.token_usage import TokenUsage, token_usage

__all__ = ["DEFAULT_PROMPT", "RemoteRun", "RemoteTier", "answers_about", "probe_remote_tier", "run_remote_tier"]

TIMED = 100
"""Requests sent one after the other, whose times count."""
AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTier:
    """Where a tier answers.

    Attributes:
        name: Of the tier.
        kind: Protocol.
        url: Without a slash at its end.
        model: Its name there.
        classes: Names in index order; needed by ``openai``.
        prompt: What ``openai`` is told before the request; ``{classes}`` stands for the names.
        key_env: Environment variable that holds the key, empty for none.
        timeout_s: Of one request.
        by_token: Whether tokens are paid for, so that an answer must say how many it used.
    """

    name: str
    kind: Literal["open_inference", "openai"]
    url: str
    model: str
    classes: tuple[str, ...] = ()
    prompt: str = DEFAULT_PROMPT
    key_env: str = ""
    timeout_s: float = 30.0
    by_token: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemoteRun:
    """What it did.

    Attributes:
        answers: To every request.
        service_ms: Time of one request, sent one after the other: median.
        input_tokens: By request, shape ``(n,)``, None where the protocol does not say.
        output_tokens: Likewise.
        cached_tokens: Of the input tokens those that were in the provider's cache, likewise.
    """

    answers: TierAnswers
    service_ms: Estimate
    input_tokens: NDArray[np.float64] | None = None
    output_tokens: NDArray[np.float64] | None = None
    cached_tokens: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came back for one request.

    Attributes:
        values: Logits, probabilities or a class index.
        shape: Of one row of them.
        input_tokens: Read, 0 where the protocol does not say.
        output_tokens: Written.
        cached_tokens: Of those that were read.
        took_ms: None where several were asked at a time.
    """

    values: tuple[float, ...]
    shape: tuple[int, ...] = ()
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cached_tokens: float = 0.0
    took_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """How a tier is asked.

    Attributes:
        path: Behind its URL.
        body: What is posted for a request.
        heard: What an answer says.
    """

    path: str
    body: Callable[[int], Mapping[str, Any]]
    heard: Callable[[Mapping[str, Any]], _Answer]


class _Answers:
    """Answers by what was posted, each in the journal, where there is one, before anything else is asked.

    Args:
        patient: Asks the tier.
        asked: How it is asked.
        keys: Of what is posted for each request.
        journal: Answers of an earlier run.

    Attributes:
        found: By key.
    """

    def __init__(self, patient: Patient, asked: _Asked, keys: Sequence[str], journal: Journal | None) -> None:
        self.found: dict[str, _Answer] = {}
        self._patient, self._asked, self._keys, self._journal = patient, asked, keys, journal
        if journal is not None:
            there = {key: journal.get(key, _Answer) for key in keys}
            self.found = {key: answer for key, answer in there.items() if answer is not None}

    def ask(self, k: int) -> _Answer:
        """Post one request and time it, waits left out; safe in any thread."""
        reply = self._patient.post(self._asked.path, self._asked.body(k))
        return replace(self._asked.heard(reply.document), took_ms=1000 * reply.took_s)

    def keep(self, key: str, answer: _Answer) -> None:
        """One that came."""
        self.found[key] = answer
        if self._journal is not None:
            self._journal.once(key, _Answer, lambda: answer)

    def lacking(self) -> dict[str, int]:
        """What has to be asked for: a request by its key."""
        return {key: k for k, key in enumerate(self._keys) if key not in self.found}

    def times_ms(self) -> NDArray[np.float64]:
        """Of those that were asked for one at a time."""
        return np.array([answer.took_ms for answer in self.found.values() if answer.took_ms is not None])


def probe_remote_tier(tier: RemoteTier, dataset: Dataset, clock: Clock | None = None) -> None:
    """Send one request, so that a tier that is down or takes something else is known before anything else runs.

    Args:
        tier: Who is asked.
        dataset: The first request is sent.
        clock: Time, None for the real one.

    Raises:
        FarthingError: as :func:`run_remote_tier`.
    """
    patient = _patient(tier, clock or MonotonicClock())
    asked = _asked(tier, dataset, patient)
    asked.heard(patient.post(asked.path, asked.body(0)).document)


def answers_about(tier: RemoteTier) -> dict[str, Any]:
    """What the journal of a tier's answers is about: the same end point is asked for the same."""
    asked = {"kind": tier.kind, "url": tier.url, "model": tier.model, "prompt": tier.prompt, "classes": tier.classes}
    return asked if tier.by_token else {**asked, "by_token": False}


def _asked(tier: RemoteTier, dataset: Dataset, patient: Patient) -> _Asked:
    return _open_inference(tier, dataset, patient) if tier.kind == "open_inference" else _openai(tier, dataset)


def run_remote_tier(
    tier: RemoteTier, dataset: Dataset, *, clock: Clock, tell: Progress, journal: Journal | None = None
) -> RemoteRun:
    """Send every request, one after the other until a hundred are timed. Equal requests are sent once.

    Args:
        tier: Who is asked.
        dataset: What.
        clock: Monotonic time.
        tell: Progress.
        journal: About :func:`answers_about` the tier: answers there are not asked for again (but for one, to time it,
            when none of these requests was timed), new ones are written to it as they come.

    Raises:
        InputError: when an ``openai`` tier has no class names, or its key is not in the environment.
        DataError: when the model cannot take these requests, or its answers are no classes.
        MeasureError: when the tier is down, too slow, or answers with an error.
        StoreError: when the journal's disk is full.
    """
    patient = _patient(tier, clock)
    asked = _asked(tier, dataset, patient)
    keys = [_key(asked.body(k)) for k in range(dataset.n)]
    answers = _Answers(patient, asked, keys, journal)
    _ask_in_turn(answers, keys)
    _ask_many(tier, answers, dataset.n, tell)
    found, times_ms = [answers.found[key] for key in keys], answers.times_ms()
    service = replace(quantile(times_ms, 0.5), method=f"median of {times_ms.size} requests, one at a time")
    if tier.kind == "open_inference":
        return RemoteRun(answers=answers_of(tier.name, _stacked(tier, found)), service_ms=service)
    classes = np.array([answer.values[0] for answer in found], dtype=np.int64)
    if (classes == NO_CLASS).all():
        raise DataError(f"the tier {tier.name!r} never answered with the name of a class", hint="change its prompt")
    return RemoteRun(
        answers=TierAnswers(tier=tier.name, classes=classes),
        service_ms=service,
        input_tokens=np.array([answer.input_tokens for answer in found]),
        output_tokens=np.array([answer.output_tokens for answer in found]),
        cached_tokens=np.array([answer.cached_tokens for answer in found]),
    )


def _ask_in_turn(answers: _Answers, keys: Sequence[str]) -> None:
    """Ask for what is not there yet until there are times enough; with none at all, for the first one again."""
    wanted = TIMED - answers.times_ms().size
    todo = list(answers.lacking().items())[: max(0, wanted)]
    if not todo and wanted == TIMED:
        todo = [(keys[0], 0)]
    for key, k in todo:
        answers.keep(key, answers.ask(k))


def _ask_many(tier: RemoteTier, answers: _Answers, total: int, tell: Progress) -> None:
    """Ask for what is not there yet, some at a time; what comes is kept even when another one fails."""
    todo = answers.lacking()
    done = total - len(todo)
    pool = ThreadPoolExecutor(AT_ONCE)
    asked = {pool.submit(answers.ask, k): key for key, k in todo.items()}
    try:
        for future in as_completed(asked):
            answers.keep(asked[future], replace(future.result(), took_ms=None))
            done += 1
            if done % 64 == 0:
                tell("answers", done, total, tier.name)
    finally:
        pool.shutdown(cancel_futures=True)
        for future, key in asked.items():  # those that were on their way when another one failed
            if not future.cancelled() and future.exception() is None:
                answers.keep(key, replace(future.result(), took_ms=None))


def _key(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _stacked(tier: RemoteTier, found: Sequence[_Answer]) -> NDArray[Any]:
    shapes = {answer.shape for answer in found}
    if len(shapes) > 1:
        raise DataError(f"the tier {tier.name!r} answers in different shapes: {', '.join(map(str, sorted(shapes)))}")
    return np.array([answer.values for answer in found]).reshape(len(found), *shapes.pop())


def _patient(tier: RemoteTier, clock: Clock) -> Patient:
    if tier.key_env and tier.key_env not in os.environ:
        raise InputError(f"the key of the tier {tier.name!r} is not in the environment ({tier.key_env})")
    headers = {"Authorization": f"Bearer {os.environ[tier.key_env]}"} if tier.key_env else {}
    return Patient(tier.name, tier.url, headers, tier.timeout_s, clock)


def _open_inference(tier: RemoteTier, dataset: Dataset, patient: Patient) -> _Asked:
    inputs = patient.post(f"/v2/models/{tier.model}", None).document.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(i, dict) and "name" in i for i in inputs):
        raise DataError(f"the tier {tier.name!r} does not say which inputs its model {tier.model} has")
    build = _tensors if dataset.kind == "tensor" else _payload(tier, inputs)

    def body(k: int) -> Mapping[str, Any]:
        (payload,) = read(dataset, [k])
        return {"inputs": build(payload)}

    def heard(answer: Mapping[str, Any]) -> _Answer:
        try:
            first = answer["outputs"][0]
            row = np.asarray(first["data"], dtype=np.float64).reshape(first["shape"])[0]
        except (KeyError, IndexError, TypeError, ValueError) as e:
            raise DataError(f"the tier {tier.name!r} answers without numbers: {e!r}") from e
        return _Answer(values=tuple(row.ravel().tolist()), shape=row.shape)

    return _Asked(path=f"/v2/models/{tier.model}/infer", body=body, heard=heard)


def _payload(tier: RemoteTier, inputs: Sequence[Mapping[str, Any]]) -> Callable[[Any], list[dict[str, Any]]]:
    slot = next((i for i in inputs if i.get("datatype") == "BYTES"), None)
    if slot is None:
        raise DataError(f"the model {tier.model} of the tier {tier.name!r} takes no texts or images, but tensors alone")
    shape = [1] * max(1, len(slot.get("shape", ())))

    def build(payload: Any) -> list[dict[str, Any]]:
        text = payload if isinstance(payload, str) else base64.b64encode(payload).decode()
        return [{"name": slot["name"], "shape": shape, "datatype": "BYTES", "data": [text]}]

    return build


def _tensors(payload: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": [1, *array.shape],
            "datatype": datatype_of(array.dtype.name).name,
            "data": array.ravel().tolist(),
        }
        for name, array in payload.items()
    ]


def _openai(tier: RemoteTier, dataset: Dataset) -> _Asked:
    if dataset.kind != "text":
        raise DataError(f"the tier {tier.name!r} (openai) takes texts, the requests are {dataset.kind}s")
    if not tier.classes:
        raise InputError(
            f"the tier {tier.name!r} (openai) answers names of classes, and no tier or label file names them",
            hint="labels that are names, or another tier with id2label in its config.json",
        )
    known, instruction = classes_by_name(tier.classes), told(tier.prompt, tier.classes)

    def heard(answer: Mapping[str, Any]) -> _Answer:
        try:
            said = str(answer["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError) as e:
            raise DataError(f"the tier {tier.name!r} answers without text: {e!r}") from e
        used = _used(tier, answer, said)
        found = class_index(said, known)
        return _Answer(
            values=(NO_CLASS if found is None else found,),
            input_tokens=used.read,
            output_tokens=used.written,
            cached_tokens=used.cached,
        )

    return _Asked(
        path="/chat/completions",
        body=lambda k: chat_document(tier.model, instruction, dataset.items[k]),
        heard=heard,
    )


def _used(tier: RemoteTier, answer: Mapping[str, Any], said: str) -> TokenUsage:
    """Tokens of an answer; none where they are not paid for and it does not say.

    Raises:
        DataError: when they are paid for, and what it says cannot be.
    """
    try:
        return token_usage(answer, said)
    except ValueError as e:
        if not tier.by_token:
            return TokenUsage(read=0, written=0, cached=0)
        raise DataError(
            f"the tier {tier.name!r} is priced by token, and an answer of it cannot be: {e}",
            hint=f"price it by request: --price {tier.name}=0.001/request, or usd_per_request in tiers.yaml",
        ) from e
