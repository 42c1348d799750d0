"""One process of the gateway, put together from a configuration, run and taken apart again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from weighbridge.catalog.prices import compile_prices
from weighbridge.gateway.access_log import AccessLog
from weighbridge.gateway.admin import Admin
from weighbridge.gateway.admission.build import (
    AnyAdmission,
    State,
    build_admission,
    check_shared_budget,
    give_back,
)
from weighbridge.gateway.config import Config
from weighbridge.gateway.gateway import Gateway
from weighbridge.gateway.homes import StateHomes
from weighbridge.gateway.key_admin import KeyAdmin
from weighbridge.gateway.key_store import KeyStore
from weighbridge.gateway.keys import KeyRing
from weighbridge.gateway.listening import MIB, client_tls, wire_limits
from weighbridge.gateway.meter import Meter
from weighbridge.gateway.metrics import Metrics
from weighbridge.gateway.observing import observed
from weighbridge.gateway.pools import PoolMaker
from weighbridge.gateway.portions import portioned
from weighbridge.gateway.rehearsal_clock import (
    EVENT,
    ID_PREFIX,
    RehearsalClock,
    refuse_outside_rehearsal,
)
from weighbridge.gateway.reloading import Reloader, with_fixed
from weighbridge.gateway.secrets import read_secret, ref_of
from weighbridge.gateway.setup import Parts, Setup, set_up
from weighbridge.gateway.shared.bank import TICK_S
from weighbridge.gateway.spending import SpendKeeper
from weighbridge.gateway.tracing import Tracer, build_tracer
from weighbridge.gateway.upkeep import Compactor, SpoolKeeper, settle_memory
from weighbridge.gateway.watching import Watcher
from weighbridge.gateway.wire.outbox import Outbox
from weighbridge.gateway.wire.server import Server
from weighbridge.gateway.worker_metrics import take_over, write_snapshot
from weighbridge.ledger.exact import Pricer
from weighbridge.ledger.fingerprint import load_or_make_key
from weighbridge.ledger.lines import EventLine
from weighbridge.ledger.prompt_shape import PromptShaper
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.units import InputError

SNAPSHOT_S = 1.0
SNAPSHOT_SHARE = 100  # with very many names they come less often: what follows one is replayed


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a process is run, besides its configuration."""

    worker: int = 0
    n_workers: int = 1
    observe: bool = False
    clock: RehearsalClock | None = None  # refused unless all is on loopback


class Worker:
    """A gateway process: listens, keeps the spool, reloads, drains."""

    def __init__(
        self,
        read: Callable[[], Config],
        options: ServeOptions,
        environ: Mapping[str, str] = os.environ,
        say: Callable[[str], None] = print,
    ) -> None:
        self._read = read
        self._options = options
        self.environ = environ
        self._say = say
        self.wall: Callable[[], float] = options.clock or time.time
        self.loop = asyncio.get_running_loop()
        self.config = self._read_config()
        self.metrics = Metrics()
        self.server: Server | None = None
        self.stopping = asyncio.Event()
        self._make_folders()
        settings = self.config.settings
        self.spool = SpoolWriter(
            self.config.place(settings.spool.path),
            worker=f"w{options.worker}",
            max_segment_bytes=settings.spool.segment_mib * MIB,
            max_segment_age_s=settings.spool.segment_s,
        )
        self.access_log = self._access_log()
        self.tracer = self._tracer()
        self.outbox = Outbox(self.loop.call_soon, self._report)
        self.meter = Meter(
            self.spool, self.metrics, self.outbox, self.access_log, self.tracer, tell=self.tell
        )
        self.admission = self._admission()
        self.pools = PoolMaker(self.config, self.loop)
        self.parts = self._parts()
        self.gateway = Gateway(
            self._set_up(self.config, None),
            self.meter,
            self.metrics,
            self.loop,
            self.outbox,
            random=random.random,
            boot=(ID_PREFIX if options.clock else "") + os.urandom(5).hex(),
            wall=self.wall,
        )
        self._welcome(self.gateway.setup)
        self.spend = self._spend_keeper()
        self._restore_spend()
        hold = self.spend.hold if self.spend is not None else _nothing
        self.keeper = SpoolKeeper(self.spool, settings.spool.sync_s, hold)
        asked = self.state / "reload" if options.n_workers > 1 else None
        self.reloader = Reloader(self._watched, self._apply, self.tell, self.loop, asked)
        self.key_admin = KeyAdmin(self)
        self.watcher = Watcher(self.gateway, writes=options.worker == 0)
        self.admin = Admin(self)
        self.compactor = self._compactor()
        if options.n_workers > 1:
            take_over(self)
        self._parent = os.getppid()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._spool_is_well = True

    # parts

    def _read_config(self) -> Config:
        config = self._read()
        if self._options.clock is not None:
            refuse_outside_rehearsal(config, self._options.n_workers)
        if self._options.observe:
            config = observed(config)
        return portioned(config, self._options.worker, self._options.n_workers)

    def _make_folders(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> Path:
        """Folder of what a restart needs: spend, homes of stored responses, counters."""
        return self.config.place(self.config.settings.state_path)

    @property
    def n_workers(self) -> int:
        """How many processes share this machine's port."""
        return self._options.n_workers

    @property
    def address(self) -> tuple[str, int]:
        """Where clients are served."""
        assert self.server is not None
        return self.config.listen[0], self.server.port

    @property
    def admin_address(self) -> tuple[str, int]:
        """Where the admin port is."""
        return self.config.admin_listen[0], self.admin.port

    @property
    def worker(self) -> int:
        """Number of this process among its siblings."""
        return self._options.worker

    def _access_log(self) -> AccessLog | None:
        words = self.config.settings.access_log
        if words == "off":
            return None
        return AccessLog(words if words == "-" else self.config.place(words))

    def _tracer(self) -> Tracer | None:
        settings = self.config.settings.otlp
        if settings is None:
            return None
        return build_tracer(settings, str(self.config.path), random.random)

    def _state_words(self) -> str:
        words = self.config.settings.state
        if words.startswith("env:"):
            where = str(self.config.path)
            return read_secret(ref_of(words, where, "state"), self.environ, where, "state")
        if words != "auto":
            return words
        if self._options.n_workers == 1:
            return "memory"
        return f"file:{self.state / 'shared'}"

    def _admission(self) -> AnyAdmission:
        config, options = self.config, self._options
        shared = config.settings.shared
        state = State(
            url=self._state_words(),
            worker=options.worker,
            n_workers=options.n_workers,
            n_replicas=shared.expected_replicas,
            timeout_s=shared.timeout_ms / 1000.0,
            prefix=shared.prefix,
        )
        return build_admission(config.limits, config.budgets, state, self.loop, self.tell)

    @property
    def _prices(self) -> Path | None:
        name = self.config.settings.prices
        return None if name is None else self.config.place(name)

    def _parts(self) -> Parts:
        config = self.config
        settings = config.settings
        fingerprinter = None
        if settings.identify.fingerprint:
            key = load_or_make_key(config.place(settings.identify.fingerprint_key))
            fingerprinter = PromptShaper(key)
        return Parts(
            environ=self.environ,
            random=random.random,
            pool_for=self.pools.make,
            pricer=Pricer(compile_prices(self._prices)),
            homes=StateHomes(self.state / "homes"),
            fingerprinter=fingerprinter,
        )

    def _keys(self, config: Config) -> KeyRing:
        if config.settings.clients == "passthrough":
            return KeyRing(())
        return KeyStore(config.place(config.settings.keys)).load()

    def _set_up(self, config: Config, before: Setup | None) -> Setup:
        keys = self._keys(config)
        has_limits = bool(config.limits or config.budgets) or any(
            key.limits or key.budgets for key in keys
        )
        admission = self.admission if has_limits and not self._options.observe else None
        return set_up(config, keys, admission, self.parts, before)

    def _welcome(self, setup: Setup) -> None:
        targets = setup.policy.targets
        models = {name for rule in setup.policy.rules for name in rule.match.models}
        self.metrics.welcome(models, {name: one.provider for name, one in targets.items()})
        if self.tracer is not None:
            self.tracer.follow(targets)

    def _compactor(self) -> Compactor | None:
        settings = self.config.settings
        if settings.ledger is None or self._options.worker != 0:
            return None
        return Compactor(
            self.config.place(settings.spool.path),
            self.config.place(settings.ledger),
            settings.compact_s,
            self.tell,
            self._prices,
        )

    # reload

    def _watched(self) -> tuple[Path, ...]:
        return self.config.path, self.config.place(self.config.settings.keys)

    def _apply(self) -> tuple[str, ...]:
        """Take a new configuration into use; raises where anything of it is wrong."""
        config, waits = with_fixed(self.config, self._read_config())
        if self.admission.keeps_spend:
            for budget in config.budgets:
                check_shared_budget(budget)
        before = self.gateway.setup
        self.pools.turn_to(config)
        try:
            after = self._set_up(config, before)
            self.admission.reconfigure(config.limits, config.budgets)
        except Exception:
            self.pools.turn_back(self.config)
            raise
        self._welcome(after)
        self.config = config
        self.gateway.setup = after
        for name, live in before.live.items():
            kept = after.live.get(name)
            if kept is None or kept.pool is not live.pool:
                live.pool.close()
        self.watcher.follow(after)
        return waits

    # events

    def _report(self, error: Exception) -> None:
        """A fault in writing to one connection; the others go on."""
        self.loop.call_exception_handler({"message": "a write failed", "exception": error})

    def tell(self, name: str, detail: str) -> None:
        """Something an operator should see: to the spool, the counters and standard error."""
        self.metrics.count(f'events_total{{name="{name}"}}')
        line = EventLine(at_us=int(self.wall() * 1e6), name=name, detail=detail)
        self.spool.append(encode_line(line))
        self._say(f"weighbridge: {name}" + (f": {detail}" if detail else ""))

    # spend over restarts

    def _spend_keeper(self) -> SpendKeeper | None:
        if self._options.observe:
            return None
        name = f"open-{self.worker}.json" if self.admission.keeps_spend else "spend.json"
        return SpendKeeper(self.state / name, self.spool, self.worker, self.admission)

    def _restore_spend(self) -> None:
        if self.spend is not None:
            setup = self.gateway.setup
            self.spend.restore(setup.keys, setup.pricer)

    def _snapshot(self) -> None:
        began_s = time.perf_counter()
        self._timers["snapshot"] = self.loop.call_later(SNAPSHOT_S, self._snapshot)
        self.outbox.flush()  # spend that is counted must stand in the spool before its mark
        self._watch_spool()
        try:
            self._make_folders()  # somebody may have removed them
            if self.spend is not None:
                self.spend.save(self.wall(), self.meter.opened.values())
            if self._options.n_workers > 1:
                write_snapshot(self)
        except OSError as error:
            self.metrics.count("state_write_failures_total")
            if self.metrics.counters["state_write_failures_total"] == 1:
                self.tell("state_not_saved", str(error))
        wait_s = SNAPSHOT_SHARE * (time.perf_counter() - began_s)
        if wait_s > SNAPSHOT_S:
            self._timers["snapshot"].cancel()
            self._timers["snapshot"] = self.loop.call_later(wait_s, self._snapshot)
        if self._parent != os.getppid():  # nobody would pass signals on, or start others anew
            self.stopping.set()

    def _watch_spool(self) -> None:
        """A spool that fails, or records again, is an event."""
        why = self.spool.failing
        if self._spool_is_well is (why is None):
            return
        self._spool_is_well = why is None
        if why is None:
            self.tell("spool_records_again", f"{self.spool.unrecorded} lines were not recorded")
        else:
            self.tell("spool_failing", why)

    def _settle_accounts(self) -> None:
        """Leases of shared limits are renewed and given back."""
        self._timers["leases"] = self.loop.call_later(TICK_S, self._settle_accounts)
        self.admission.tick(time.monotonic(), self.wall())

    # life

    async def start(self) -> None:
        """Listen."""
        config = self.config
        limits = wire_limits(config.settings.http)
        self.server = Server(self.gateway, limits, client_tls(config), outbox=self.outbox)
        await self._listen(self.server)
        self.gateway.start()
        self.keeper.start()
        if self.access_log is not None:
            self.access_log.start()
        self.reloader.start()
        self.watcher.start()
        if self.compactor is not None:
            self.compactor.start()
        self._snapshot()
        settle_memory()
        if self._options.clock is not None:
            self._options.clock.start()
            self.tell(EVENT, self._options.clock.words)
        self.admission.warm(time.monotonic(), self.wall())
        self._settle_accounts()

    async def _listen(self, server: Server) -> None:
        where, (host, port) = str(self.config.path), self.config.listen
        field, mend = "listen", "end what listens there, or name another address"
        try:
            await server.start(host, port, reuse_port=self._options.n_workers > 1)
            field = "admin.listen"
            await self.admin.start()
        except OSError as error:
            await server.drain(0.0)  # a loop with a server that listens never closes
            raise InputError(where, field, f"cannot be listened on: {error}", mend) from None

    async def stop(self) -> int:
        """Drain, write down what is left, let go; returns how many clients were cut off."""
        assert self.server is not None
        self.admin.is_ready = False
        end_s = time.monotonic() + self.config.settings.drain_s
        n_cut = await self.server.drain(self.config.settings.drain_s)
        await self.gateway.wind_up(end_s - time.monotonic())
        self.gateway.stop()
        self.reloader.stop()
        self.watcher.stop()
        self._snapshot()
        for timer in self._timers.values():
            timer.cancel()
        await give_back(self.admission, time.monotonic(), self.wall())
        await self.admin.stop()
        for live in self.gateway.setup.live.values():
            live.pool.close()
        await asyncio.to_thread(self.keeper.stop)
        if self.spool.unrecorded:
            self._say(f"weighbridge: {self.spool.unrecorded} lines could not be recorded")
        if self.compactor is not None:
            await self.compactor.stop()
        for part in (self.access_log, self.tracer):
            if part is not None:
                await asyncio.to_thread(part.stop)
        return n_cut

    async def run(self, started: Callable[[], None] = lambda: None) -> int:
        """Serve until SIGTERM or SIGINT, then drain."""
        self.loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        self.loop.add_signal_handler(signal.SIGINT, self.stopping.set)
        self.loop.add_signal_handler(signal.SIGHUP, self.reloader.reload)
        await self.start()
        started()
        await self.stopping.wait()
        return await self.stop()


def _nothing() -> None:
    """There is nothing to do."""
