"""One tier of a running route: where its requests go, what becomes of them, what they cost."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from farthing.core.route.routes import Tier
from farthing.core.route.served import Place
from farthing.nouns import TensorSpec
from farthing.ports import Clock
from farthing.serve.pricing import pricing
from farthing.serve.routing.calls import Allowance, Charged, Gone, TierAnswer, TierCall, TierCaller, TierCounts
from farthing.serve.routing.inputs import Taking, fitted_to, taking
from farthing.wire.decisions import Reason
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["LiveTier", "output_columns"]

_KNOWN_MODELS = 16
_CLIENTS_FAULT = (400, 413, 415)
_FULL = 503
_LATE = 504


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What is worked out once of a model that answers for the tier.

    Attributes:
        wrong: Why it cannot answer for the tier, empty when it can.
        takes: Of the route's requests.
        columns: Places of the route's outputs among its own.
        as_is: Its outputs are the route's, in their order.
        one_row: Shape of an answer of one row where the route has one output that is wholly known; None else.
        usd_per_core_s: Of a core that it keeps busy, NaN when unknown.
        worker_cores: That one batch keeps busy.
    """

    wrong: str
    takes: Taking
    columns: tuple[int, ...]
    as_is: bool
    one_row: tuple[int | None, ...] | None
    usd_per_core_s: float
    worker_cores: float


class LiveTier:
    """One tier.

    Args:
        spec: Of the route.
        places: Where its models answer, those on demand first.
        find: The model that answers by a name now; raises a Problem when there is none that is ready.
        schema: Outputs of the route.
        clock: Monotonic time.
        counted: Told of every answer of a model, for its metrics.
        unit_usd: What one unit of the route's currency costs, NaN when unknown.

    Attributes:
        counts: What it did.
        usd_per_row: What calibration reckoned a row at capacity to cost, NaN when unknown.
    """

    def __init__(
        self,
        spec: Tier,
        places: Sequence[Place],
        find: Callable[[str], LiveModel],
        schema: Sequence[TensorSpec],
        clock: Clock,
        counted: Callable[[Request, Answer], object],
        unit_usd: float = 1.0,
    ) -> None:
        self.spec, self.places, self.name = spec, tuple(places), spec.name
        self.counts = TierCounts()
        self.usd_per_row = spec.usd_per_request * unit_usd
        self._find, self._schema, self._counted, self._now_s = find, tuple(schema), counted, clock.monotonic_s
        now_s = self._now_s()
        self._allowances = [Allowance(place.capacity_rps, now_s) for place in places]
        self._single = len(self.places) == 1
        self._facts: dict[LiveModel, _Facts] = {}
        self._columns: dict[tuple[LiveModel, str], int] = {}
        self._calls: dict[TierCall, None] = {}

    # — asking —————————————————————————————————————————————————————————————————————————————————————

    def ask(self, caller: TierCaller) -> None:
        """Send some rows; ``caller`` is told what becomes of them, perhaps before this returns."""
        rows = caller.request.rows if caller.rows is None else len(caller.rows)
        self.counts.asked += rows
        self._send(caller, rows, ())

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        """A problem when none of its places takes a request of that size now."""
        problem: Problem | None = None
        for place in self.places:
            try:
                problem = self._find(place.model).queue.refuse(rows, deadline_s)
            except Problem as e:
                problem = e
            if problem is None:
                return None
        return problem

    def available(self) -> tuple[Place, ...]:
        """Places that take requests now, full ones included."""
        return tuple(place for place in self.places if self._is_up(place))

    def _is_up(self, place: Place) -> bool:
        try:
            problem = self._find(place.model).queue.refuse(0, math.inf)
        except Problem:
            return False
        return not isinstance(problem, Gone)

    def _send(
        self, caller: TierCaller, rows: int, tried: tuple[LiveModel, ...], failed: tuple[Reason, Problem] | None = None
    ) -> None:
        """Send a call to the next of its places; ``failed`` says how the one before ended."""
        now_s = self._now_s()
        found = self._only_place() if self._single and not tried else self._place(rows, tried, now_s)
        if found is None or not isinstance(found[1], LiveModel):
            self._missed(caller, rows, *(failed or found or ("down", self._nowhere())))
            return
        place, model = found
        request, facts = caller.request, self._of(model, caller.request.model)
        fitted = fitted_to(request, caller.rows, facts.takes)
        if fitted is None or facts.wrong:
            said = facts.wrong or "takes no such requests as this one"
            self._missed(caller, rows, "invalid", Problem(500, f"the tier {self.name} {said}"))
            return
        call = TierCall(caller, model, self._heard, fitted, rows, now_s, self.spec.timeout_s)
        call.place, call.about, call.tried = place, facts, (*tried, model) if tried else (model,)
        self._calls[call] = None
        if failed is not None:
            self.counts.moved += rows
        self.counts.by_place[place.model] += rows
        model.queue.submit(call)

    def _nowhere(self) -> Problem:
        return Problem(_FULL, f"the tier {self.name} has no place to answer", retry_after_s=1.0)

    def _only_place(self) -> tuple[Place, LiveModel] | tuple[Reason, Problem]:
        """As :meth:`_place` where there is one: its own queue says when it is full."""
        try:
            return self.places[0], self._find(self.places[0].model)
        except Problem as e:
            return "down", e

    def _place(
        self, rows: int, tried: tuple[LiveModel, ...], now_s: float
    ) -> tuple[Place, LiveModel] | tuple[Reason, Problem] | None:
        """Where a call goes: the first place with some of its declared rate left, else the one with most of it left.

        Returns:
            The place, or why the last one that was looked at does not take it, or None when all were tried.
        """
        why: tuple[Reason, Problem] | None = None
        best: tuple[float, int, LiveModel] | None = None
        for k, place in enumerate(self.places):
            try:
                model = self._find(place.model)
            except Problem as e:
                why = "down", e
                continue
            if model in tried:
                continue
            refused = model.queue.refuse(rows, math.inf)
            if refused is not None:
                why = ("down" if isinstance(refused, Gone) else "full"), refused
                continue
            left = self._allowances[k].left(now_s)
            if best is None or left > max(0.0, best[0]):
                best = left, k, model
            if left > 0:
                break
        if best is None:
            return why
        self._allowances[best[1]].take(rows)
        return self.places[best[1]], best[2]

    # — what becomes of a call —————————————————————————————————————————————————————————————————————

    def _heard(self, request: Request, outcome: Answer | Problem) -> None:
        """A model has answered a call, or not."""
        assert isinstance(request, TierCall)
        call = request
        self._calls.pop(call, None)
        try:
            if isinstance(outcome, Answer):
                self._answered(call, outcome)
            elif call.open:
                call.open = False
                self._refused(call, outcome)
        except Exception as e:  # noqa: BLE001 - a request must not be left without an answer
            self._fail(call, e)

    def _fail(self, call: TierCall, error: Exception) -> None:
        context = {"message": f"an answer of the tier {self.name} could not be judged", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        call.caller.wrong(Problem(500, f"the answer of the tier {self.name} could not be judged"))

    def _answered(self, call: TierCall, answer: Answer) -> None:
        facts: _Facts = call.about
        called = self._priced(call, answer, facts)
        if called.usd == called.usd:
            self.counts.usd += called.usd
        self._counted(call, answer)
        if not call.open:
            self.counts.late += call.rows
            return
        call.open = False
        fits = call.rows == 1 and bool(called.outputs) and called.outputs[0].shape == facts.one_row
        wrong = None if fits else self._wrong(facts, call.rows, answer)
        if wrong is not None:
            self._missed(call.caller, call.rows, "invalid", Problem(500, f"the tier {self.name}: {wrong}"))
            return
        self.counts.answered += call.rows
        call.caller.got(self.name, called)

    def _priced(self, call: TierCall, answer: Answer, facts: _Facts) -> TierAnswer:
        usd_per_row = call.place.usd_per_row
        busy = charged = 0.0
        if usd_per_row is None:
            busy = answer.service_s * call.rows / (answer.batch_rows or 1) * facts.worker_cores
            usd = busy * facts.usd_per_core_s
            if usd != usd:  # NaN: no price by the hour: what the calibration reckoned with
                usd = self.usd_per_row * call.rows
        else:
            usd = _charged_usd(call.place, call.rows, answer.tokens)
            charged = usd if usd == usd else 0.0
        outputs = answer.outputs
        if not facts.as_is:
            outputs = [outputs[k] for k in facts.columns if k < len(outputs)]
        return TierAnswer(call.model, outputs, answer, usd, busy, charged)

    def _wrong(self, facts: _Facts, rows: int, answer: Answer) -> str | None:
        """What is wrong with the outputs, None when nothing is."""
        for column, spec in zip(facts.columns, self._schema):
            if column >= len(answer.outputs):
                return f"output {spec.name} is missing"
            shape = answer.outputs[column].shape
            if len(shape) != len(spec.shape) or (spec.shape[0] is None and shape[0] != rows):
                return f"output {spec.name} has the shape {list(shape)} for {rows} rows"
            if any(want is not None and want != got for want, got in zip(spec.shape[1:], shape[1:])):
                return f"output {spec.name} has the shape {list(shape)}, the route's has {list(spec.shape[1:])} a row"
        return None

    def _refused(self, call: TierCall, problem: Problem) -> None:
        status = problem.status
        if status in _CLIENTS_FAULT:
            call.caller.wrong(problem)
        elif status == _LATE:
            self._missed(call.caller, call.rows, "timeout", problem)
        else:
            if isinstance(problem, Charged):
                self._pay(call, problem)
            down = isinstance(problem, Gone) or call.model.state != "ready"
            reason: Reason = "down" if down else "full" if status == _FULL else "failed"
            self._send(call.caller, call.rows, call.tried, (reason, problem))

    def _pay(self, call: TierCall, problem: Charged) -> None:
        """Pay for an answer that cannot be used."""
        usd = _charged_usd(call.place, call.rows, problem.tokens)
        charged = usd if usd == usd else 0.0
        self.counts.usd += charged
        call.caller.spent(usd, charged)

    def _missed(self, caller: TierCaller, rows: int, reason: Reason, problem: Problem) -> None:
        self.counts.missed[reason] += rows
        caller.missed(self.name, reason, problem)

    # — time ———————————————————————————————————————————————————————————————————————————————————————

    def sweep(self, now_s: float) -> None:
        """Give up what has taken longer than the tier may, and what no client waits for any more."""
        late: list[TierCall] = []
        for call in self._calls:
            if call.due_s <= now_s:
                late.append(call)
            elif call.caller.request.deadline_s == -math.inf:
                call.deadline_s = -math.inf
        for call in late:
            del self._calls[call]
            call.open, call.deadline_s = False, -math.inf
            took = f"the tier {self.name} gave no answer within {self.spec.timeout_s:g} s"
            try:
                self._missed(call.caller, call.rows, "timeout", Problem(_LATE, took))
            except Exception as e:  # noqa: BLE001 - as above
                self._fail(call, e)

    @property
    def idle(self) -> bool:
        """Whether it was asked for nothing that it has not answered."""
        return not self._calls

    # — what its models are ————————————————————————————————————————————————————————————————————————

    def column(self, model: LiveModel, output: str) -> int:
        """Place of an output by name (the first when it is empty), −1 when there is none."""
        key = model, output
        found = self._columns.get(key)
        if found is None:
            if len(self._columns) >= _KNOWN_MODELS:
                self._columns.clear()
            names = [spec.name for spec in model.outputs]
            found = self._columns[key] = (names.index(output) if output in names else -1) if output else 0
        return found

    def _of(self, model: LiveModel, route: LiveModel) -> _Facts:
        found = self._facts.get(model)
        if found is None:
            if len(self._facts) >= _KNOWN_MODELS:
                self._facts.clear()
            found = self._facts[model] = self._look_at(model, route)
        return found

    def _look_at(self, model: LiveModel, route: LiveModel) -> _Facts:
        price, columns = pricing(model.spec), output_columns(model, route.outputs)
        names = ", ".join(spec.name for spec in model.outputs) or "none"
        return _Facts(
            wrong=f"has the outputs {names}, which are not the route's" if min(columns) < 0 else "",
            takes=taking(model, route),
            columns=columns,
            as_is=columns == tuple(range(len(model.outputs))),
            one_row=self._one_row(),
            usd_per_core_s=price.usd_per_hour / 3600 / price.replica_cores,
            worker_cores=price.worker_cores,
        )

    def _one_row(self) -> tuple[int | None, ...] | None:
        shape = self._schema[0].shape
        return (1, *shape[1:]) if len(self._schema) == 1 and shape[:1] == (None,) and None not in shape[1:] else None


def _charged_usd(place: Place, rows: int, tokens: tuple[float, float] | None) -> float:
    """What another end point charges for a call: by the tokens that it used, else by row; NaN when unknown."""
    if place.usd_per_token is not None and tokens is not None:
        return place.usd_per_token[0] * tokens[0] + place.usd_per_token[1] * tokens[1]
    return math.nan if place.usd_per_row is None else place.usd_per_row * rows


def output_columns(model: LiveModel, schema: Sequence[TensorSpec]) -> tuple[int, ...]:
    """For each of the route's outputs the model's of that name, −1 for none; its first one for the route's only one."""
    names = [spec.name for spec in model.outputs]
    if len(schema) == 1 and schema[0].name not in names:
        return (0 if names else -1,)
    return tuple(names.index(spec.name) if spec.name in names else -1 for spec in schema)
