"""Charts drawn to SVG, without a browser and without the network."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

IDS = re.compile(r'\bid="([^"]+)"')


def render_svg(chart: Mapping[str, Any], name: str = "chart") -> str:
    """A chart as an `<svg>` element that can stand in a page beside others.

    Its ids start with `name`, since ids of all charts in one page share one space; what it says to
    those who do not see it is the chart's description.
    """
    import vl_convert  # noqa: PLC0415  (a JavaScript engine: only who draws should pay for it)

    drawn: str = vl_convert.vegalite_to_svg(dict(chart), allowed_base_urls=[])
    for found in sorted(set(IDS.findall(drawn)), key=len, reverse=True):
        drawn = drawn.replace(f'id="{found}"', f'id="{name}-{found}"')
        drawn = drawn.replace(f"url(#{found})", f"url(#{name}-{found})")
    spoken = html.escape(str(chart.get("description", "")), quote=True)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{spoken}" ', 1)
