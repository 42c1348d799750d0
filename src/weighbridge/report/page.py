"""What all pages share: their templates, with autoescape on and nothing left undefined."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def page_environment(template: str) -> Environment:
    """Environment that holds one template, the style and the parts of every page."""
    from jinja2 import DictLoader, Environment, StrictUndefined  # noqa: PLC0415  # --help is light

    folder = files("weighbridge.report") / "templates"
    sources = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in (template, "report.css", "parts.html.j2")
    }
    return Environment(
        loader=DictLoader(sources),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
