"""A calibration's plot as a file: SVG, PNG or a page."""

from __future__ import annotations

import html

from weighbridge.capacity.calibrate import EndpointProfile
from weighbridge.charts.calibration import calibration_errors
from weighbridge.report.svg import render_svg

PNG_SCALE = 2.0


def calibration_picture(profile: EndpointProfile, suffix: str) -> bytes:
    """Errors on held-out requests, as .svg, .png or .html."""
    chart = calibration_errors(profile.held_out)
    if suffix == ".png":
        import vl_convert  # noqa: PLC0415  (a JavaScript engine: only who draws should pay for it)

        png: bytes = vl_convert.vegalite_to_png(dict(chart), scale=PNG_SCALE)
        return png
    svg = render_svg(chart, "calibration")
    if suffix == ".svg":
        return svg.encode()
    title = html.escape(f"Calibration of {profile.settings.model or 'an endpoint'}")
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        f"<h1>{title}, {profile.made_on.isoformat()}</h1>\n{svg}\n</html>\n"
    ).encode()
