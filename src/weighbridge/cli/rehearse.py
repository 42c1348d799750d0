"""`weighbridge rehearse`: a stand-in provider, a real small model, and traffic for either."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from weighbridge.units import InputError


@click.group()
def rehearse() -> None:
    """Try things out: a stand-in provider, a real small model, traffic for either."""


@rehearse.command()
@click.option("--host", default=None, help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes any free one.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML file: models with prices and latency, limits, faults.",
)
@click.option("--seed", type=int, help="Another seed, other answers.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    help="Times as fast as a real provider; 0: no delays.  [default: 1]",
)
def provider(config: Path | None, **given: Any) -> None:
    """Stand in for OpenAI and Anthropic on loopback, with faults on demand and an exact bill.

    \b
    GET    /rehearsal/bill     what was billed, per request and in total
    GET    /rehearsal/stats    requests seen, in flight, cancelled by the client, per fault
    POST   /rehearsal/faults   {"fault": "torn_stream", "share": 0.1, "after_events": 3}
    DELETE /rehearsal/faults   no fault any more
    POST   /rehearsal/engine   {"running": 3, "waiting": 9, "kv_usage_frac": 0.97}
    GET    /metrics            as a vLLM engine has it

    One request alone: the header `x-rehearsal-fault: torn_stream;after_events=3`.
    """
    import msgspec

    from weighbridge.rehearsal.provider_process import READY, run
    from weighbridge.rehearsal.provider_settings import Settings, read_settings

    told = {name: value for name, value in given.items() if value is not None}
    settings = read_settings(config, **told) if config else msgspec.convert(told, Settings)
    try:
        run(settings, lambda url: click.echo(f"{READY}{url}"))
    except OSError as fault:
        where = f"{settings.host}:{settings.port}"
        raise InputError(where, "", f"cannot listen ({fault})", "name another port") from fault


@rehearse.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes any free one.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--slots",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Requests that run at once; more wait.",
)
def model(port: int, threads: int, slots: int) -> None:
    """Serve a real small model (SmolLM2-135M on llama.cpp) on loopback.

    Its load stands at /metrics, as llama.cpp tells it.
    """
    from weighbridge.rehearsal.local_model import READY, LocalModel, ModelSettings, available

    reason = available()
    if reason is not None:
        problem, _, mend = reason.partition(": ")
        raise InputError("rehearse model", "", problem, mend)
    with LocalModel(ModelSettings(port=port, n_threads=threads, n_slots=slots)) as running:
        click.echo(f"{READY}{running.url} model {running.name}")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.pause()
