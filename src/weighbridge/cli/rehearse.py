"""`weighbridge rehearse`: a stand-in provider, a real small model, and traffic for either."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.rehearsal.replay import Tally
    from weighbridge.rehearsal.replay_rows import Row

HOURS_OF_MIX = 168  # a week, where neither --duration nor --limit says less
INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, as shells report it


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


@rehearse.command()
@click.option("--to", required=True, metavar="URL", help="Endpoint, as http://127.0.0.1:8000.")
@click.option(
    "--key-env",
    multiple=True,
    metavar="[TENANT=]VAR",
    help="Environment variable that holds the API key, for all or for one tenant. Repeatable.",
)
@click.option("--ledger", type=click.Path(path_type=Path), help="Ledger directory to replay.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Public trace to replay: Azure 2023 (.csv) or Mooncake (.jsonl).",
)
@click.option("--mix", type=click.Choice(["demo"]), help="Synthetic traffic to send.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Times as fast as it was.",
)
@click.option("--duration", type=click.FloatRange(min=0), help="Send for so many seconds.")
@click.option("--limit", type=click.IntRange(min=1), help="Send so many requests.")
@click.option("--model", help="Send all to this model, in OpenAI's dialect.")
@click.option("--stream-share", type=click.FloatRange(0, 1), help="Stream so many of all, as 0.3.")
@click.option(
    "--api",
    type=click.Choice(["auto", "openai", "anthropic"]),
    default="auto",
    show_default=True,
    help="Dialect; auto: Anthropic's for rows of that provider.",
)
@click.option(
    "--exact-output", is_flag=True, help="Ask for exactly the row's output, as vLLM takes it."
)
@click.option(
    "--max-open",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Requests open at once; what is due beyond is dropped, and reported.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=600.0, show_default=True, help="Seconds."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Result file: one JSON line per request.",
)
def traffic(**given: Any) -> None:
    """Send traffic again, open loop: requests leave when the source says, answers or not.

    Prompts are words of the rows' lengths; equal templates get equal system prompts. Ctrl-C keeps
    what was measured. Exits 1 where no request succeeded.
    """
    from weighbridge.cli.rehearse_screen import Bar, show
    from weighbridge.rehearsal.replay_prompt import PromptSettings
    from weighbridge.rehearsal.replay_rows import within
    from weighbridge.rehearsal.replay_run import ReplaySettings, run_replay

    duration_s, speed, limit = given["duration"], given["speed"], given["limit"]
    until_s = None if duration_s is None else duration_s * speed
    rows = within(_source(given, until_s), limit, until_s)
    settings = ReplaySettings(
        to=given["to"],
        out=given["out"],
        keys=_keys(given["key_env"]),
        prompt=PromptSettings(
            seed=given["seed"],
            model=given["model"],
            stream_frac=given["stream_share"],
            api=given["api"],
            exact_output=given["exact_output"],
        ),
        speed=speed,
        n_open_most=given["max_open"],
        timeout_s=given["timeout"],
    )
    bar = Bar(limit, duration_s)
    with bar.progress:
        tally, was_cut = run_replay(rows, settings, bar.update)
    show(tally, was_cut)
    if was_cut:
        sys.exit(INTERRUPTED_EXIT_CODE)
    if not tally.n_ok:
        click.echo(_nothing_good(tally, given["out"]), err=True)
        sys.exit(1)


def _nothing_good(tally: Tally, out: Path) -> str:
    if not tally.n_scheduled:
        return "nothing was sent: the source holds no requests for this stretch"
    kinds = ", ".join(f"{kind} ({n:,})" for kind, n in tally.errors.most_common())
    return f"none of {tally.n_scheduled:,} requests succeeded: {kinds}; see {out}"


def _source(given: dict[str, Any], until_s: float | None) -> Iterator[Row]:
    """Rows of the one source that was named."""
    from weighbridge.rehearsal import replay_rows

    named = [name for name in ("ledger", "trace", "mix") if given[name] is not None]
    if len(named) != 1:
        problem = f"{' and '.join(f'--{name}' for name in named) or 'no source'} given"
        raise InputError("rehearse traffic", "", problem, "give one of --ledger, --trace, --mix")
    if given["ledger"] is not None:
        return replay_rows.ledger_rows(given["ledger"])
    if given["trace"] is not None:
        return replay_rows.trace_rows(given["trace"])
    from weighbridge.rehearsal.demo_mix import DEMO_MIX

    n_hours = HOURS_OF_MIX if until_s is None else int(until_s // 3600) + 1
    return replay_rows.mix_rows(DEMO_MIX, n_hours, given["seed"])


def _keys(named: tuple[str, ...]) -> dict[str | None, str]:
    """API keys from the environment, by tenant; None stands for all others."""
    keys: dict[str | None, str] = {}
    for text in named:
        tenant, equals, variable = text.rpartition("=")
        key = os.environ.get(variable)
        if not key:
            mend = f"export {variable}=…, or name another variable"
            raise InputError("--key-env", variable, "is not set in the environment", mend)
        keys[tenant if equals else None] = key
    return keys
