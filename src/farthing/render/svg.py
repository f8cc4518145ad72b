"""Charts → static SVG that is safe and small enough to stand inside a page."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

__all__ = ["svg"]

_NS = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset(("circle", "clipPath", "defs", "g", "line", "path", "rect", "svg", "text", "tspan"))
_ATTRIBUTES = frozenset(
    (
        "aria-hidden", "aria-label", "clip-path", "cx", "cy", "d", "dx", "dy", "fill", "fill-opacity", "font-size",
        "font-style", "font-weight", "height", "id", "opacity", "r", "rx", "ry", "stroke", "stroke-dasharray",
        "stroke-linecap", "stroke-linejoin", "stroke-opacity", "stroke-width", "text-anchor", "transform", "viewBox",
        "width", "x", "x1", "x2", "y", "y1", "y2",
    )
)  # fmt: skip
_NUMBERS = ("d", "transform", "x", "x1", "x2", "y", "y1", "y2", "width", "height", "viewBox")
_LONG = re.compile(r"-?\d+\.\d{2,}")
_NOTHING = {"opacity": "1", "stroke-width": "1"}


def svg(chart: Any, *, name: str = "chart") -> str:
    """A chart as static SVG: known elements and attributes only, no style attribute, no link, no script.

    Every mark that describes itself has ``class="mark"``, ``role="img"`` and an ``aria-label``; colours are the
    light ones of :mod:`farthing.render.palette`, which CSS can override.

    Args:
        chart: An ``altair.Chart`` or a composition of charts.
        name: Prefix of the ids in it, so that several charts can stand in one page.
    """
    import vl_convert

    spec = chart.to_dict(validate=False)  # its parts were checked when they were made
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(spec, show_warnings=False))  # noqa: S314 - our own output
    _walk(root)
    _number_ids(root, name)
    root.attrib |= {"xmlns": "http://www.w3.org/2000/svg", "class": "chart", "role": "group"}
    if "description" in spec:
        root.set("aria-label", spec["description"])
    return ElementTree.tostring(root, encoding="unicode")


def _walk(element: ElementTree.Element) -> None:
    """Keep what is allowed, mark what describes itself, round, drop what draws nothing."""
    element.tag = element.tag.removeprefix(_NS)
    role = element.get("role"), element.get("aria-roledescription")
    is_mark = (
        role[0] == "graphics-symbol" and role[1] not in ("axis", "legend", "title") and bool(element.get("aria-label"))
    )
    element.attrib = {k: v for k, v in element.attrib.items() if k in _ATTRIBUTES and _NOTHING.get(k) != v}
    if is_mark:
        element.attrib |= {"class": "mark", "role": "img"}
    else:
        element.attrib.pop("aria-label", None)
    for key in _NUMBERS:
        if key in element.attrib:
            element.set(key, _LONG.sub(lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), element.attrib[key]))
    for child in list(element):
        if child.tag.removeprefix(_NS) in _ELEMENTS:
            _walk(child)
        if child.tag.removeprefix(_NS) not in _ELEMENTS or _draws_nothing(child):
            element.remove(child)


def _number_ids(root: ElementTree.Element, name: str) -> None:
    """Number ids in their order, so that the same chart is the same text every time, and prefix them."""
    new = {e.attrib["id"]: f"{name}-{i}" for i, e in enumerate(e for e in root.iter() if "id" in e.attrib)}
    for element in root.iter():
        if "id" in element.attrib:
            element.set("id", new[element.attrib["id"]])
        if "clip-path" in element.attrib:
            used = element.attrib["clip-path"].removeprefix("url(#").removesuffix(")")
            element.set("clip-path", f"url(#{new[used]})")


def _draws_nothing(element: ElementTree.Element) -> bool:
    if element.tag == "g":
        return len(element) == 0
    if element.tag != "path":
        return False
    painted = any(element.get(key, "none") not in ("none", "transparent") for key in ("fill", "stroke"))
    return element.get("d", "") in ("", "M0,0h0v0h0Z") or (not painted and element.get("class") != "mark")
