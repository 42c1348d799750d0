"""A calibration on a terminal of 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from weighbridge.capacity.calibrate import EndpointProfile

WIDTH = 100
_MEANING = {
    "decode_base_s": "every iteration",
    "decode_s_per_request": "per decoding request",
    "saturating_s": "grows with the batch at first",
    "saturating_requests": "… over so many requests",
    "kv_s_per_token": "per token of context read",
    "mixed_extra_s": "iterations with prompts, more",
    "mixed_s_per_token": "… per token of these",
    "attention_s_per_pair": "… per query-key pair",
    "first_token_s": "outside the engine",
}
_METRICS = {"ttft": "first token", "tpot": "per token after", "e2e": "end to end"}


def show(profile: EndpointProfile) -> None:
    """Print what was found, how wrong it was on held-out requests, and what to run next."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    told = profile.settings
    what = [told.model or "model not told", told.gpu or "GPU not told", told.engine or ""]
    n_requests = sum(one.n_requests for one in profile.sources)
    console.print(Text(", ".join(filter(None, what)), style="bold"))
    measured = f"{n_requests} requests of {len(profile.sources)} runs"
    if not profile.parameters:
        measured = f"{len(profile.sources)} aggregate points"
    console.print(f"{measured}, {profile.made_on.isoformat()}, {profile.n_evaluations} simulations")
    if profile.parameters:
        console.print(_parameters(profile))
        console.print(_errors(profile))
    if profile.curves:
        console.print(_curves(profile))
    if profile.suggested:
        console.print(_next_runs(profile))
    for note in profile.notes:
        console.print(Text(f"assumed: {note}", style="dim"))


def _number(value: float, name: str) -> str:
    if name.endswith("_requests"):
        return f"{value:.3g}"
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-12:.3g} ps"


def _parameters(profile: EndpointProfile) -> Table:
    table = Table(title="Step time", title_justify="left", box=None, pad_edge=False)
    table.add_column("parameter", no_wrap=True)
    table.add_column("what it costs", style="dim")
    for name in ("fitted", "90 % from", "to"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in profile.parameters:
        table.add_row(
            one.name,
            _MEANING[one.name],
            *(_number(value, one.name) for value in (one.value, one.low, one.high)),
            "" if one.is_identified else "not identified",
        )
    return table


def _errors(profile: EndpointProfile) -> Table:
    title = f"On the last {profile.held_out_frac:.0%} of each run, which a fit did not see"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("run", max_width=24, overflow="ellipsis", no_wrap=True)
    table.add_column("metric")
    for name in ("mean", "simulated", "error", "p90", "simulated", "error"):
        table.add_column(name, justify="right")
    for one in profile.held_out:
        table.add_row(
            _ending(one.run),
            _METRICS[one.metric],
            _number(one.measured_mean_s, ""),
            _number(one.simulated_mean_s, ""),
            f"{one.mean_error_frac:+.1%}",
            _number(one.measured_p90_s, ""),
            _number(one.simulated_p90_s, ""),
            f"{one.p90_error_frac:+.1%}",
        )
    return table


def _curves(profile: EndpointProfile) -> Table:
    table = Table(title="Latency over concurrency", title_justify="left", box=None, pad_edge=False)
    for name in ("metric", "input", "output"):
        table.add_column(name)
    for name in ("at once", "latency", "90 % from", "to"):
        table.add_column(name, justify="right")
    for curve in profile.curves:
        for n_concurrent in curve.n_concurrent:
            found, _ = curve.at(n_concurrent)
            table.add_row(
                _METRICS[curve.metric],
                f"{curve.input_tokens:.0f}",
                f"{curve.output_tokens:.0f}",
                f"{n_concurrent:.0f}",
                *(_number(value, "") for value in (found.mid, found.low, found.high)),
            )
    return table


def _next_runs(profile: EndpointProfile) -> Table:
    title = "Not identified: a closed-loop run that would tell"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("parameter")
    for name in ("at once", "input tokens", "output tokens"):
        table.add_column(name, justify="right")
    table.add_column("because then", style="dim")
    for one in profile.suggested:
        table.add_row(
            one.parameter,
            str(one.n_concurrent),
            str(one.input_tokens),
            str(one.output_tokens),
            one.why,
        )
    return table


def _ending(name: str) -> str:
    """The end of a path, where the telling part is."""
    end = name.replace("\\", "/").rsplit("/", 1)[-1]
    return end if len(end) <= 24 else f"…{end[-23:]}"
