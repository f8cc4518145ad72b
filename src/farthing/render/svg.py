"""Charts → static SVG that is safe and small enough to stand inside a page."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

__all__ = ["svg"]

_NS = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset(
    ("svg", "g", "path", "rect", "line", "text", "tspan", "circle", "defs", "clipPath", "linearGradient", "stop", "title")
)
_ATTRIBUTES = frozenset(
    (
        "aria-hidden", "aria-label", "aria-roledescription", "class", "clip-path", "cx", "cy", "d", "dx", "dy", "fill",
        "fill-opacity", "font-family", "font-size", "font-style", "font-weight", "height", "id", "offset", "opacity",
        "pointer-events", "r", "role", "rx", "ry", "stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap",
        "stroke-linejoin", "stroke-miterlimit", "stroke-opacity", "stroke-width", "text-anchor", "transform", "version",
        "viewBox", "width", "x", "x1", "x2", "y", "y1", "y2",
    )
)  # fmt: skip
_DROPPED_EVERYWHERE = frozenset(("font-family", "stroke-miterlimit", "pointer-events", "version"))


def svg(chart: Any, *, name: str = "chart") -> str:
    """A chart as static SVG: known elements and attributes only, no style attribute, no link, no script.

    Args:
        chart: An ``altair.Chart`` or a chart composed of several.
        name: Prefix of the ids in it, so that several charts can stand in one page.

    Returns:
        One ``<svg>`` element with ``xmlns``, ``viewBox`` and ``role="img"`` removed in favour of the marks' own labels.
    """
    import vl_convert

    return clean(vl_convert.vegalite_to_svg(chart.to_dict(), show_warnings=False), name=name)


def clean(text: str, *, name: str) -> str:
    """Keep what :data:`_ELEMENTS` and :data:`_ATTRIBUTES` allow, prefix ids, hide axes from screen readers."""
    root = ElementTree.fromstring(text)  # noqa: S314 - made by vl-convert in this process, not read from outside
    _walk(root, name)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("class", "chart")
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _walk(element: ElementTree.Element, name: str) -> None:
    element.tag = element.tag.removeprefix(_NS)
    for key in list(element.attrib):
        if key not in _ATTRIBUTES or key in _DROPPED_EVERYWHERE:
            del element.attrib[key]
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    if "clip-path" in element.attrib:
        element.set("clip-path", re.sub(r"url\(#([\w-]+)\)", rf"url(#{name}-\1)", element.attrib["clip-path"]))
    for child in list(element):
        if child.tag.removeprefix(_NS) in _ELEMENTS:
            _walk(child, name)
        else:
            element.remove(child)
