"""A plan as one HTML page that needs nothing else: no network, no file beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from farthing.core.money.saving import UNSPLIT
from farthing.nouns import AccuracyEvidence, Plan, Profile, percentile_name
from farthing.render.numbers import (
    count,
    duration,
    interval,
    milliseconds,
    moment,
    money,
    money_change,
    number,
    percent,
)
from farthing.render.palette import DARK, LIGHT, svg_rules
from farthing.render.plan.fleet_words import fleet_rows, fleet_sentence, without_promise_rows
from farthing.render.plan.money_words import beside, not_priced, references, stands_for, utilisation_rows
from farthing.render.plan.sentences import accuracy_change as change_text
from farthing.render.plan.sentences import (
    arrivals,
    headline,
    nearest_sentence,
    peaks_sentence,
    promise,
    replica_rates,
    summary_rows,
)
from farthing.render.plan.tables import candidate_columns, candidate_rows, evidence_rows, offer_rows, seconds_rows
from farthing.render.words import MARKS, WORDS, offer_price, printable, term_name

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["page_of", "pictured", "plan_html", "report_html"]

BROAD_PX, NARROW_PX = 720, 343
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|µs|s|min|h|points?|×|M|B|T|MiB|GiB|GB/s)(?!\w))")
_SIGN = re.compile(r"(?<=[≤≥≈]) | (?=[−+][$\d])|(?<=\bat) (?=most\b)|(?<=\d,) (?=[−\d.,]+\])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One chart drawn twice: for a page and for a phone; both are safe markup."""

    broad: str
    narrow: str


def report_html(plan: Plan) -> str:
    """The whole report.

    Returns:
        A complete HTML document, under 1 MB, whose content security policy allows its own style and script by
        hash and nothing else. Every name in the plan is escaped.
    """
    return page_of("report.html.j2", **_facts(plan))


def page_of(template: str, **facts: Any) -> str:
    """A page from a template with the house's style and script, under a policy that allows these alone."""
    css, js = _css(), _text("report.js")
    page = _environment().get_template(template)
    return page.render(**facts, css=_markup(css), js=_markup(js), policy=_policy(css, js))


def plan_html(plan: Plan) -> str:
    """A plan as a few lines for a notebook's cell: the verdict, now and planned; no script, no style sheet."""
    template = _environment().get_template("plan.html.j2")
    return template.render(
        plan=plan,
        sentence=headline(plan),
        sign=MARKS[plan.verdict.outcome],
        **_summary(plan),
        nearest=nearest_sentence(plan),
        references=references(plan),
        beside=beside(plan),
    )


def _text(name: str) -> str:
    return (files("farthing.render") / "templates" / name).read_text(encoding="utf-8")


def _css() -> str:
    def properties(colours: Any) -> str:
        return "".join(f"--c-{name}:{colour};" for name, colour in colours.items())

    css = _text("report.css").replace("/*LIGHT*/", properties(LIGHT)).replace("/*PRINT*/", properties(LIGHT))
    return css.replace("/*DARK*/", properties(DARK)).replace("/*SVG*/", svg_rules())


def _policy(css: str, js: str) -> str:
    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    allowed = f"style-src 'sha256-{digest(css)}'; script-src 'sha256-{digest(js)}'; img-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - only our own files and cleaned SVG come here


def _tight(text: str) -> str:
    """Numbers keep together with their units and signs, and no line begins with a dot."""
    return _SIGN.sub("\u00a0", _UNIT.sub("\u00a0", text)).replace("−$", "−\u2060$").replace(" · ", "\u00a0· ")


def _ticked(text: str) -> Any:
    """Backticks become ``<code>``; all else is escaped."""
    from markupsafe import Markup, escape

    pieces = str(text).split("`")
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(pieces))


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("farthing.render", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"tight": _tight, "ticked": _ticked, "shown": printable}
    return environment


def pictured(draw: Any, subject: Any, name: str) -> Picture:
    """A chart drawn for a page and for a phone.

    Args:
        draw: Takes the subject and ``width`` in pixels.
        subject: What it draws.
        name: Prefix of ids in the picture.
    """
    from farthing.render.svg import svg

    broad, narrow = (svg(draw(subject, width=px), name=f"{name}-{px}") for px in (BROAD_PX, NARROW_PX))
    return Picture(broad=_markup(broad), narrow=_markup(narrow))


def _pictures(plan: Plan) -> dict[str, Picture | None]:
    from farthing.render.plan import charts

    drawn = {
        "frontier": any(e.cost_usd_per_month for e in plan.evaluations),
        "waterfall": plan.planned_usd_per_month is not None,
        "latency": bool(plan.baseline.quantiles_ms or (plan.chosen and plan.chosen.quantiles_ms)),
        "hours": bool(plan.hourly.baseline_usd),
    }
    draw = {
        "frontier": charts.frontier,
        "waterfall": charts.waterfall,
        "latency": charts.latency,
        "hours": charts.cost_by_hour,
    }
    pictures = {name: pictured(draw[name], plan, name) if wanted else None for name, wanted in drawn.items()}
    for i, profile in enumerate(_shown_profiles(plan)):
        pictures[f"operators{i}"] = pictured(charts.operators, profile, f"operators{i}") if profile.operators else None
    return pictures


def _shown_profiles(plan: Plan) -> tuple[Profile, ...]:
    """What is planned first, then what runs today."""
    return tuple(reversed(plan.profiles))


def _facts(plan: Plan) -> dict[str, Any]:
    hours = len(plan.hourly.baseline_usd)
    from farthing.render.plan.charts import HOURS_SHOWN

    return {
        "plan": plan,
        "sentence": printable(headline(plan)),
        "sign": MARKS[plan.verdict.outcome],
        "promise": printable(promise(plan.objective)),
        "nearest": nearest_sentence(plan),
        "more_reasons": plan.verdict.reasons if plan.verdict.outcome == "met" else plan.verdict.reasons[1:],
        **_summary(plan),
        "fleet": fleet_rows(plan),
        "fleet_sentence": fleet_sentence(plan.fixed_fleet) if plan.fixed_fleet else "",
        "level": percentile_name(plan.objective.level),
        "references": references(plan),
        "beside": beside(plan),
        "stands_for": stands_for(plan.stand_in, plan.priced_as, every=True),
        "excluded": not_priced(plan.parts, plan.excluded),
        "utilisations": utilisation_rows(plan),
        "moment": moment(plan.provenance.started_at),
        "pictures": _pictures(plan),
        "n_tied": sum(e.status == "tied" for e in plan.evaluations) if plan.chosen else 0,
        "n_without_cost": sum(e.cost_usd_per_month is None for e in plan.evaluations),
        "unclaimed": any(not p.claimed and p.name != UNSPLIT for p in plan.parts),
        "parts": _parts(plan),
        "at_peak": plan.chosen.at_peak.name if plan.chosen and plan.chosen.at_peak else "",
        "arrivals": arrivals(plan),
        "replica_rates": replica_rates(plan),
        "hours_shown": HOURS_SHOWN,
        "hours_total": count(hours),
        "hours_hidden": hours > HOURS_SHOWN,
        "profiles": [_profile(i, p) for i, p in enumerate(_shown_profiles(plan))],
        "columns": candidate_columns(plan),
        "candidates": [(e.status, cells) for e, cells in candidate_rows(plan)],
        **_evidence(plan),
        "offers": offer_rows(plan),
        "elsewhere": _elsewhere(plan),
        "facts": _run_facts(plan),
        "artefacts": plan.artefacts,
        "seconds": seconds_rows(plan),
    }


def _summary(plan: Plan) -> dict[str, Any]:
    """Rows of the table “now and planned”; where nothing is planned the nearest stands there, without the promise."""
    if plan.chosen is not None:
        return {"summary": summary_rows(plan), "summary_head": "planned"}
    return {"summary": without_promise_rows(plan), "summary_head": "nearest"}


def _parts(plan: Plan) -> list[dict[str, str]]:
    return [
        {
            "name": printable(part.name),
            "change": "not priced" if saved is None else money_change(saved.value),
            "ends": "" if saved is None else interval(saved.scaled(-1), decimals=0),
            "note": printable(part.note) + ("" if part.claimed or part.name == UNSPLIT else " (shown, not credited)"),
        }
        for part in plan.parts
        for saved in (part.usd_per_month,)
    ]


def _profile(i: int, profile: Profile) -> dict[str, Any]:
    from farthing.render.plan.charts import OPERATORS_SHOWN

    shown = profile.operators[:OPERATORS_SHOWN]
    share = sum(o.share_frac for o in shown)
    mapped = "they bear the engine’s names"
    if profile.mapped_frac > 0:
        mapped = f"{percent(profile.mapped_frac)} of the time is mapped to the model’s own nodes"
    caption = (
        f"The {len(shown)} longest of {len(profile.operators)} operators, {percent(share)} of operator time; "
        f"{mapped}. "
        f"One batch of {profile.batch}: {milliseconds(profile.wall_ms)}, "
        f"{milliseconds(profile.pipeline_ms)} of it before the engine. "
        f"Peaks of one thread: {peaks_sentence(profile.peaks)}."
    )
    return {
        "label": printable(profile.candidate.label),
        "bottleneck": profile.bottleneck,
        "why": printable(profile.why),
        "remarks": [printable(r) for r in profile.remarks],
        "picture": f"operators{i}" if shown else None,
        "caption": caption,
    }


def _evidence(plan: Plan) -> dict[str, Any]:
    rows = evidence_rows(plan)
    sizes = ", ".join(f"{printable(name)} {count(n)}" for name, n in plan.splits.items())
    confidence = percent(plan.objective.confidence)
    needed = sorted({e.n_needed for _, e in rows if e.verdict == "unproven" and e.n_needed})
    allowed = f"{plan.objective.max_drop_frac * 100:g}"
    unit = "point" if allowed == "1" else "points"
    note = f"“At most” is the one-sided {confidence} limit of the change; a loss of {allowed} {unit} is allowed."
    if needed:
        note += f" What is unproven would take {count(needed[0])} samples or more to settle."
    return {
        "evidence": [_evidence_row(build, e) for build, e in rows],
        "evidence_note": note,
        "splits": f"Sizes: {sizes}." if sizes else "",
    }


def _evidence_row(build: str, e: AccuracyEvidence) -> dict[str, Any]:
    change, _, rest = change_text(e, decimals=2).partition(" points (at worst ")
    levels = [percent(x, decimals=2, bounds=False) for x in (e.baseline_frac, e.candidate_frac)]
    figures = [count(n) for n in (e.n, e.n_differ, e.n_worse, e.n_better)]
    return {
        "build": build,
        "split": e.split,
        "figures": [*figures, *levels, change, rest.partition(",")[0]],
        "verdict": WORDS[e.verdict],
        "outcome": e.verdict,
    }


def _elsewhere(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "name": printable(other.offer.name),
            "region": printable(other.offer.region),
            "term": term_name(other.offer.term),
            "price": offer_price(other.offer),
            "usd": other.offer.usd_per_hour,
            "dated": other.offer.dated.isoformat(),
            "cost": money(other.cost_usd_per_month),
            "sort": other.cost_usd_per_month.value,
            "rule": printable(other.rule),
        }
        for other in plan.elsewhere
    ]


def _run_facts(plan: Plan) -> list[tuple[str, str]]:
    run, machine = plan.provenance, plan.provenance.hardware
    facts = [machine.cpu or machine.name]
    if machine.vcpus:
        facts.append(f"{machine.vcpus:g} vCPU")
    if machine.memory_gib:
        facts.append(f"{machine.memory_gib:.3g} GiB")
    if machine.accelerator:
        facts.append(f"{machine.accelerators:g} × {machine.accelerator}")
    facts.append(" ".join(machine.isa))
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    rows = [
        ("seed", str(run.seed)),
        ("hardware", ", ".join(f for f in facts if f)),
        ("fingerprint", run.fingerprint),
        ("versions", versions),
        ("started", moment(run.started_at)),
        ("took", duration(run.seconds.get("total", sum(run.seconds.values())))),
    ]
    if run.parent_peak_mib:
        rows.append(("peak memory of the parent", f"{number(run.parent_peak_mib, 0)} MiB"))
    rows += [("earlier run", sentence) for sentence in run.reuse]
    rows += [(f"sha256 of {name}", sha256) for name, sha256 in run.content.items()]
    return [(name, printable(text)) for name, text in rows]
