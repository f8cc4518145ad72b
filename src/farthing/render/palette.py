"""The colours of charts and page. SVG holds the light values; CSS maps each to its custom property, dark included."""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["DARK", "LIGHT", "svg_rules"]

LIGHT = MappingProxyType(
    {
        "ink": "#1d1f23",
        "muted": "#62676f",
        "grid": "#e4e6e9",
        "faint": "#b4b9c1",
        "lost": "#8d949e",
        "now": "#3f6a94",
        "plan": "#b4501e",
        "kept": "#e0a98a",
        "band": "#f0d9cc",
        "paper": "#ffffff",
    }
)
"""Name → colour on a light ground, as written into the SVG."""

DARK = MappingProxyType(
    {
        "ink": "#e7e8ea",
        "muted": "#a0a6af",
        "grid": "#31353b",
        "faint": "#5b626c",
        "lost": "#878f9a",
        "now": "#7fb0e0",
        "plan": "#f08a50",
        "kept": "#7d4a30",
        "band": "#4a2f22",
        "paper": "#16181b",
    }
)
"""Name → colour on a dark ground; the same names."""


def svg_rules() -> str:
    """CSS that lets ``--c-NAME`` override the colours written in an SVG (CSS wins over presentation attributes)."""
    rules = []
    for name, colour in LIGHT.items():
        for attribute in ("fill", "stroke"):
            rules.append(f'svg [{attribute}="{colour}"]{{{attribute}:var(--c-{name})}}')
    return "\n".join(rules)
