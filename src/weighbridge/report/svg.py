"""Charts drawn to SVG, without a browser and without the network."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

ID = re.compile(r'(<\w+ id=")([^"]+)(")')
REFERENCE = re.compile(r"(url\(#)([^)]+)(\))")


def render_svg(chart: Mapping[str, Any], name: str = "chart") -> str:
    """A chart as an `<svg>` element that can stand in a page beside others.

    Its ids start with `name`, since ids of all charts in one page share one space, and are counted
    from one, since the engine counts on from chart to chart. What it says to those who do not see
    it is the chart's description.
    """
    import vl_convert  # noqa: PLC0415  (a JavaScript engine: only who draws should pay for it)

    drawn: str = vl_convert.vegalite_to_svg(dict(chart), allowed_base_urls=[])
    ids = dict.fromkeys(found for _, found, _ in ID.findall(drawn))
    ours = {found: f"{name}-{count}" for count, found in enumerate(ids, start=1)}
    for pattern in (ID, REFERENCE):
        drawn = pattern.sub(lambda hit: f"{hit[1]}{ours.get(hit[2], hit[2])}{hit[3]}", drawn)
    spoken = html.escape(str(chart.get("description", "")), quote=True)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{spoken}" ', 1)
