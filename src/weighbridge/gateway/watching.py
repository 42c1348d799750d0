"""What targets are asked beside requests (health, engine metrics), and what fleets cost by time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from weighbridge.gateway.breaker import State
from weighbridge.gateway.engines import is_saturated, read_engine
from weighbridge.gateway.live import Live, origin_of
from weighbridge.gateway.metrics import quoted
from weighbridge.gateway.probes import Probe
from weighbridge.gateway.wire.pool import UpstreamPool
from weighbridge.ledger.lines import EngineLine, FleetLine
from weighbridge.ledger.spool import encode_line

if TYPE_CHECKING:
    from weighbridge.gateway.gateway import Gateway
    from weighbridge.gateway.setup import Setup

ENGINE_EVERY_S = 2.0
WRITE_EVERY_S = 60.0
TIMEOUT_S = 2.0
ENGINE_FIELDS = ("running_requests", "waiting_requests", "kv_usage_frac")
STATES = get_args(State)


class Watcher:
    """Asks every target of the current setup; one process of a machine writes what it hears."""

    def __init__(self, gateway: Gateway, *, writes: bool) -> None:
        self._gateway = gateway
        self._loop = gateway.loop
        self._writes = writes
        self._watches: dict[str, TargetWatch] = {}

    def start(self) -> None:
        """Begin."""
        self.follow(self._gateway.setup)

    def follow(self, setup: Setup) -> None:
        """Watch the targets of a new setup; those that stay go on as they are."""
        for name in [n for n in self._watches if n not in setup.live]:
            self._watches.pop(name).stop()
        for name, live in setup.live.items():
            watch = self._watches.get(name)
            if watch is not None and watch.live.target == live.target:
                watch.live = live
                continue
            if watch is not None:
                watch.stop()
            self._watches[name] = watch = TargetWatch(live, self._gateway, writes=self._writes)
            watch.start()

    def stop(self) -> None:
        """Ask no more; fleet hours up to now are written."""
        for watch in self._watches.values():
            watch.stop()
        self._watches.clear()

    def gauges(self) -> dict[str, float]:
        """What is known of each target, by metric and label; engines' words where it writes."""
        now = self._gateway.now()
        told: dict[str, float] = {}
        for name, live in self._gateway.setup.live.items():
            label, state = f"target={quoted(name)}", live.health.state(now)
            told[f"target_available{{{label}}}"] = float(live.health.available(now))
            told[f"target_saturated{{{label}}}"] = float(live.health.saturated(now))
            for one in STATES:
                told[f'target_state{{{label},state="{one}"}}'] = float(one == state)
            if live.gate is not None:
                told[f"gate_waiting{{{label}}}"] = live.gate.n_waiting
                told[f"gate_running{{{label}}}"] = live.gate.n_running
            if isinstance(live.pool, UpstreamPool):
                told[f"upstream_connections{{{label}}}"] = live.pool.n_open
                told[f"upstream_connections_idle{{{label}}}"] = live.pool.n_idle
            watch = self._watches.get(name)
            if watch is not None and self._writes:
                told |= watch.engine_gauges(label)
        return told


class TargetWatch:
    """Everything that is asked of one target."""

    def __init__(self, live: Live, gateway: Gateway, *, writes: bool) -> None:
        self.live = live
        self.sample: EngineLine | None = None
        self._gateway = gateway
        self._loop: asyncio.AbstractEventLoop = gateway.loop
        self._writes = writes
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._is_full = False
        self._answered_us = 0  # when the engine's metrics last came
        self._fleet_from_us: int | None = None  # since when the fleet costs; None: not now
        self._engine_written_s = float("-inf")
        fleet = live.target.self_hosted
        url = None if fleet is None else fleet.metrics_url
        self._metrics_path = b""
        self._metrics_pool: UpstreamPool | None = None
        if url is not None:
            parts = urlsplit(url)
            self._metrics_path = (
                (parts.path or "/") + (parts.query and f"?{parts.query}")
            ).encode()
            self._metrics_pool = UpstreamPool(
                origin_of(url), loop=self._loop, connect_timeout_s=TIMEOUT_S
            )

    def start(self) -> None:
        """Begin."""
        target = self.live.target
        if target.health is not None:
            self._ask_health()
        if self._metrics_pool is not None:
            self._ask_engine()
        if target.self_hosted is not None and self._writes:
            if target.self_hosted.accrue == "configured":
                self._fleet_from_us = self._now_us()
            self._again("fleet", WRITE_EVERY_S, self._each_minute)

    def stop(self) -> None:
        """End; what the fleet cost up to now is written."""
        if "fleet" in self._timers:
            self._write_fleet(self._now_us())
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._metrics_pool is not None:
            self._metrics_pool.close()

    def engine_gauges(self, label: str) -> dict[str, float]:
        """What the engine last said."""
        found = {field: getattr(self.sample, field, None) for field in ENGINE_FIELDS}
        return {
            f"engine_{field}{{{label}}}": value
            for field, value in found.items()
            if value is not None
        }

    def _now_us(self) -> int:
        return int(self._gateway.wall() * 1e6)

    def _again(self, what: str, after_s: float, then: object) -> None:
        self._timers[what] = self._loop.call_later(after_s, then)  # type: ignore[arg-type]

    def _ask_health(self) -> None:
        check = self.live.target.health
        assert check is not None
        self._again("health", check.interval_s, self._ask_health)
        probe = Probe(lambda status, _: self.live.health.on_health(200 <= status < 300))
        headers = [pair for pair in self.live.added if pair[0] != b"accept-encoding"]
        probe.send(self.live.pool, check.path.encode(), headers, check.timeout_s, self._loop)

    def _ask_engine(self) -> None:
        self._again("engine", ENGINE_EVERY_S, self._ask_engine)
        assert self._metrics_pool is not None
        Probe(self._heard_engine).send(
            self._metrics_pool, self._metrics_path, [], TIMEOUT_S, self._loop
        )

    def _heard_engine(self, status: int, body: bytes) -> None:
        target = self.live.target
        fleet = target.self_hosted
        if "engine" not in self._timers:  # stopped meanwhile
            return
        if fleet is not None and fleet.accrue == "metrics_answer" and self._writes:
            self._accrue(status == 200)
        if status != 200 or fleet is None or fleet.engine is None:
            self.sample = None
            return
        now = self._gateway.now()
        sample = read_engine(
            fleet.engine, body.decode("utf-8", "replace"), target.name, self._now_us()
        )
        self.sample = sample
        self._is_full = is_saturated(sample, fleet.saturation, self._is_full)
        self.live.health.on_engine(self._is_full, now)
        if self._writes and now - self._engine_written_s >= WRITE_EVERY_S:
            self._engine_written_s = now
            self._gateway.meter.spool.append(encode_line(sample))

    def _accrue(self, answers: bool) -> None:
        """A fleet that costs while its metrics answer: from the first answer to the last."""
        if answers:
            self._answered_us = self._now_us()
            if self._fleet_from_us is None:
                self._fleet_from_us = self._answered_us
        elif self._fleet_from_us is not None:
            self._write_fleet(self._answered_us)
            self._fleet_from_us = None

    def _each_minute(self) -> None:
        self._again("fleet", WRITE_EVERY_S, self._each_minute)
        self._write_fleet(self._now_us())

    def _write_fleet(self, until_us: int) -> None:
        fleet, began_us = self.live.target.self_hosted, self._fleet_from_us
        if fleet is None or began_us is None:
            return
        self._fleet_from_us = until_us
        if until_us <= began_us:  # the clock was set back: the stretch is counted from there on
            return
        line = FleetLine(
            target=self.live.target.name,
            gpu=fleet.gpu,
            n_gpus=fleet.n_gpus,
            usd_per_gpu_hour=str(fleet.usd_per_gpu_hour),
            started_at_us=began_us,
            ended_at_us=until_us,
            source=f"gateway, {fleet.accrue}",
        )
        self._gateway.meter.spool.append(encode_line(line))
