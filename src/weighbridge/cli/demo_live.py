"""The demo's first half, for real: providers' stand-in, fleet, gateway, traffic, ledger."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from weighbridge.cli.demo_gateway import Fleet, GatewayProcess, make_keys, write_config
from weighbridge.cli.demo_phases import phases
from weighbridge.cli.demo_place import Place, write_scenario

if TYPE_CHECKING:
    from weighbridge.cli.demo_probe import Added
    from weighbridge.rehearsal.mix import Mix
    from weighbridge.rehearsal.provider_settings import Settings
    from weighbridge.rehearsal.replay import Tally
    from weighbridge.rehearsal.replay_rows import Row
    from weighbridge.usage.compaction import CompactionResult

Tell = Callable[[str, float], None]

HOURS_BEYOND = 1  # first and last request then lie whole days apart
PROVIDER_SPEED = 20.0  # of the stand-in against a real provider
PLAIN_SYSTEM = "You are a helpful assistant."  # of people who name neither feature nor template
FLEET_SLOTS = 2
FLEET_FEATURE = "search"  # as the rule of `demo_gateway` names it
EVENTS_PER_WRITE = 8  # as providers under load send them


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What a live run did, as each side saw it."""

    fleet: Fleet
    added: Added
    tally: Tally
    bill: dict[str, Any]
    stats: dict[str, Any]
    stored: CompactionResult
    n_days: int
    speed: float
    peak_ratio: float  # busiest minute against its hour, as drawn


def run_live(place: Place, seed: int, days: int, speed: float) -> None:
    """Run it, leave ledger and scenario, and show the gateway's figures."""
    from weighbridge.cli.demo_figures import show
    from weighbridge.cli.demo_probe import measure_added

    with ended_by_sigterm(), phases() as tell:
        added = measure_added(place, tell)
        run = _replayed(place, seed, days, speed, added, tell)
    name = f"Demo company, a week rehearsed {speed:,.0f} times as fast"
    write_scenario(place, name, run.peak_ratio, speed)
    show(run, place)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, so that it stops what it started."""
    import signal

    def stop(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)  # whoever is at work knows how to end on it

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _replayed(
    place: Place, seed: int, days: int, speed: float, added: Added, tell: Tell
) -> LiveRun:
    from weighbridge.rehearsal.live_mix import LIVE_MIX
    from weighbridge.rehearsal.provider_process import ProviderProcess
    from weighbridge.rehearsal.replay_rows import MIX_START, mix_rows

    stage = "start fleet and gateway"
    tell(stage, 0.0)
    rows = list(mix_rows(LIVE_MIX, days * 24 + HOURS_BEYOND, seed))
    place.gateway.mkdir()
    keys = make_keys(place.gateway, LIVE_MIX.tenants)
    clock = f"{MIX_START.isoformat()},{speed:g}"
    with ProviderProcess(provider_settings(LIVE_MIX, seed)) as provider, fleet_of() as fleet:
        config = write_config(place.gateway, provider.url, fleet)
        if fleet.is_real:
            _warm(place, fleet, rows)
        with GatewayProcess(config, clock) as gateway:
            tell(stage, 1.0)
            tally = _send(place, gateway.url, rows, keys, speed, tell)
        bill, stats = provider.bill(), provider.stats()
    stored = _compacted(place, tell)
    return LiveRun(fleet, added, tally, bill, stats, stored, days, speed, peak_ratio(rows))


def peak_ratio(rows: Sequence[Row]) -> float:
    """Rate of the busiest minute over that of the busiest hour, in output tokens."""
    import numpy as np

    offsets_s = np.array([row.offset_s for row in rows])
    tokens = np.array([row.output_tokens for row in rows], dtype=float)
    most = [
        np.bincount((offsets_s // window_s).astype(int), tokens).max() for window_s in (60, 3600)
    ]
    return max(1.0, float(most[0] * 60 / most[1]))


def provider_settings(mix: Mix, seed: int) -> Settings:
    """The stand-in: the mix's models, at the catalog's prices, with now and then a fault."""
    from weighbridge.catalog.prices import compile_prices
    from weighbridge.rehearsal.provider_settings import Cache, Fault, Latency, Model, Settings
    from weighbridge.rehearsal.replay_rows import MIX_START

    book, models = compile_prices(), []
    for service in dict.fromkeys(template.service for template in mix.templates):
        rates = book.rates_usd_per_mtok(service.provider, service.model, MIX_START.date())
        assert rates is not None, f"the price list has lost {service.model}"
        thinks = max(t.reasoning_frac for t in mix.templates if t.service == service)
        models.append(
            Model(
                service.model,
                _usd(rates.input_usd_per_mtok),
                _usd(rates.cache_read_usd_per_mtok),
                _usd(rates.cache_write_usd_per_mtok),
                _usd(rates.output_usd_per_mtok),
                output_median_tokens=1,  # the traffic asks for its own lengths
                output_max_tokens=16_000,
                reasoning_frac=thinks,
                latency=Latency(
                    service.ttft_base_s,
                    1 / service.prefill_tokens_per_s,
                    1 / service.output_tokens_per_s,
                ),
                cache=Cache(hit_probability=0.5, prefix_frac=0.3),
            )
        )
    return Settings(
        seed=seed,
        speed=PROVIDER_SPEED,
        models=tuple(models),
        other_models=None,
        faults=(Fault(fault="status_500", share=0.004), Fault(fault="status_503", share=0.002)),
        events_per_write=EVENTS_PER_WRITE,
        n_bill_lines_kept=0,
    )


def _usd(rate: float) -> Decimal:
    return Decimal(str(rate))


@contextmanager
def fleet_of() -> Iterator[Fleet]:
    """The real local model where it is installed, else a second stand-in."""
    from weighbridge.rehearsal.local_model import LocalModel, ModelSettings, available
    from weighbridge.rehearsal.provider_process import ProviderProcess
    from weighbridge.rehearsal.provider_settings import Model, Settings

    reason = available()
    if reason is None:
        settings = ModelSettings(n_slots=FLEET_SLOTS, n_threads=1)
        with LocalModel(settings) as real:
            words = "SmolLM2-135M on llama.cpp, answering for real on this machine's CPU"
            yield Fleet(real.url, real.name, "llamacpp", FLEET_SLOTS, words, True)
        return
    missing, _, mend = reason.partition(": ")
    stand_in = Settings(models=(Model("stand-in"),), n_slots=FLEET_SLOTS, n_bill_lines_kept=0)
    with ProviderProcess(stand_in) as process:
        words = f"a second stand-in, since {missing} ({mend})"
        yield Fleet(process.url, "stand-in", "vllm", FLEET_SLOTS, words, False)


def _warm(place: Place, fleet: Fleet, rows: list[Row]) -> None:
    """Let each slot of the fleet read its template's prompt once: a cold CPU takes seconds."""
    from weighbridge.rehearsal.replay_prompt import PromptSettings
    from weighbridge.rehearsal.replay_run import ReplaySettings, run_replay

    first = next((row for row in rows if row.feature == FLEET_FEATURE), None)
    if first is None:
        return
    out = place.gateway / "warm-up.jsonl"
    settings = ReplaySettings(fleet.url, out, prompt=PromptSettings(model=fleet.model))
    _, was_cut = run_replay([replace(first, offset_s=0.0)] * fleet.n_slots, settings)
    out.unlink()
    if was_cut:
        raise KeyboardInterrupt


def _send(
    place: Place,
    url: str,
    rows: list[Row],
    keys: dict[str | None, str],
    speed: float,
    tell: Tell,
) -> Tally:
    from weighbridge.rehearsal.replay_prompt import PromptSettings
    from weighbridge.rehearsal.replay_run import ReplaySettings, run_replay

    settings = ReplaySettings(
        to=url,
        out=place.answers,
        keys=keys,
        prompt=PromptSettings(exact_output=True, plain_system=PLAIN_SYSTEM),
        speed=speed,
        timeout_s=60.0,
    )
    stage = f"send {len(rows):,} requests"
    tally, was_cut = run_replay(
        rows, settings, lambda seen: tell(stage, seen.n_ended / max(len(rows), 1))
    )
    if was_cut:
        raise KeyboardInterrupt
    return tally


def _compacted(place: Place, tell: Tell) -> CompactionResult:
    from weighbridge.usage.compaction import compact

    tell("compact", 0.0)
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    stored = compact(place.gateway / "spool", place.usage, now=now)
    tell("compact", 1.0)
    return stored
