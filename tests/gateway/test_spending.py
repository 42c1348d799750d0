"""Spend against budgets over the death of a process: exactly what was recorded, once."""

from __future__ import annotations

import datetime as dt
import os
import random
from pathlib import Path

import pytest

from weighbridge.catalog.prices import compile_prices
from weighbridge.gateway.admission import Budget, Claim
from weighbridge.gateway.admission.local import LocalAdmission
from weighbridge.gateway.keys import KeyRing
from weighbridge.gateway.shared.file_bank import FileBank
from weighbridge.gateway.shared.leased import LeasedAdmission
from weighbridge.gateway.spending import SpendKeeper
from weighbridge.ledger.exact import Pricer
from weighbridge.ledger.lines import OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.ledger.spool_files import close_abandoned
from weighbridge.usage import compaction

AT = 1_800_000_000.0
BUDGET = Budget("tenant", "*", "5", "day")
CLAIM = Claim(None, "search", None, "m", 0, 0)
PRICER = Pricer(compile_prices())
NO_KEYS = KeyRing(())


class Life:
    """One process: it spends, takes snapshots, and is gone without a word."""

    def __init__(self, folder: Path, worker: int = 0, *, admission=None, max_bytes=10**9) -> None:
        self.folder = folder / "spool"
        self.spool = SpoolWriter(self.folder, worker=f"w{worker}", max_segment_bytes=max_bytes)
        self.admission = admission or LocalAdmission((), (BUDGET,))
        path = folder / f"spend-{worker}.json"
        self.keeper = SpendKeeper(path, self.spool, worker, self.admission)
        self.n_charged = self.keeper.restore(NO_KEYS, PRICER)
        self.opened: dict[str, OpenLine] = {}
        self.save()

    def save(self) -> None:
        self.keeper.save(AT, self.opened.values())

    def finish(self, name: str, pico_usd: int) -> None:
        """A request ends and is paid for."""
        line = RequestLine(
            request_id=name, started_at_us=int(AT * 1e6), status="ok", price_state="priced",
            tenant="search", model_requested="m", list_cost_pico_usd=pico_usd,
        )  # fmt: skip
        assert self.spool.append(encode_line(line))
        grant = self.admission.admit(CLAIM, 0.0, AT)
        grant.settle(0, pico_usd, 0.0, AT)
        self.opened.pop(name, None)

    def open(self, name: str, input_pico_usd: int) -> None:
        """A request has been open for a while."""
        line = OpenLine(
            request_id=name, started_at_us=int(AT * 1e6), tenant="search", model_requested="m",
            price_state="priced", input_cost_pico_usd=input_pico_usd,
        )  # fmt: skip
        assert self.spool.append(encode_line(line))
        self.opened[name] = line

    def rotate(self) -> None:
        with self.spool._lock:
            self.spool._begin()
        self.keeper.hold()
        self.spool.sync()

    def die(self) -> None:
        """kill -9: what is written is written, and the lock is gone."""
        for segment in (self.spool._segment, *self.spool._ended):
            if segment is not None:
                os.close(segment.fd)
        os.close(self.spool._held)

    @property
    def spent_pico_usd(self) -> int:
        return sum(int(amount) for *_, amount in self.admission.snapshot(AT)["spent"])


def compact(folder: Path) -> None:
    """The real compaction, in this process."""
    compaction.compact(folder / "spool", folder / "ledger", now=dt.datetime.now(dt.UTC))


def test_what_came_after_the_last_snapshot_is_charged_once(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.finish("a", 100)
    first.save()
    first.finish("b", 20)
    first.finish("c", 3)
    first.die()
    second = Life(tmp_path)
    assert (second.n_charged, second.spent_pico_usd) == (2, 123)
    second.die()
    third = Life(tmp_path)
    assert (third.n_charged, third.spent_pico_usd) == (0, 123)
    third.die()


def test_a_stream_open_at_the_snapshot_and_never_ended_is_charged_its_input_once(
    tmp_path: Path,
) -> None:
    first = Life(tmp_path)
    first.open("a", 7)
    first.open("b", 11)
    first.save()
    first.finish("b", 100)
    first.open("c", 13)
    first.die()
    for n_charged in (3, 0):
        life = Life(tmp_path)
        assert (life.n_charged, life.spent_pico_usd) == (n_charged, 120)
        life.die()


def test_a_process_that_dies_before_its_first_snapshot_changes_nothing(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.open("a", 7)
    first.finish("b", 100)
    first.die()
    path = tmp_path / "spend-0.json"
    saved = path.read_bytes()
    second = Life(tmp_path)
    path.write_bytes(saved)  # as if its own had not been written
    second.die()
    third = Life(tmp_path)
    assert third.spent_pico_usd == 107
    third.die()


def test_compaction_between_two_lives_takes_nothing_away(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.open("old", 5)
    first.finish("a", 100)
    first.rotate()
    first.save()
    compact(tmp_path)  # the stream's beginning is no longer in the spool
    first.finish("b", 20)
    first.rotate()  # two segments since the snapshot
    first.finish("c", 3)
    first.die()
    compact(tmp_path)
    assert not list((tmp_path / "spool").glob("*.jsonl"))
    for n_charged in (3, 0):
        life = Life(tmp_path)
        assert (life.n_charged, life.spent_pico_usd) == (n_charged, 128)
        life.die()
        compact(tmp_path)


def test_segments_are_held_only_for_as_long_as_a_snapshot_needs_them(tmp_path: Path) -> None:
    life = Life(tmp_path)
    for number in range(5):
        life.finish(f"r{number}", 1)
        life.rotate()
        life.save()
        held = [path.stem for path in (life.folder / "held-0").iterdir()]
        assert held == [life.spool.segment.stem]
    life.die()


def test_where_a_folder_takes_no_links_the_spools_own_number_do(
    tmp_path: Path, monkeypatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("weighbridge.gateway.spending.os.link", refuse)
    first = Life(tmp_path)
    first.finish("a", 100)
    first.save()
    first.finish("b", 20)
    first.die()
    close_abandoned(tmp_path / "spool")
    second = Life(tmp_path)
    assert second.spent_pico_usd == 120
    second.die()


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_snapshots_rotations_compactions_and_deaths_counts_all_once(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    owed, life = 0, Life(tmp_path)
    for number in range(1, 121):
        step = rng.choice(
            ("finish",) * 6 + ("open",) * 3 + ("end",) * 2 + ("save", "rotate", "die")
        )
        if step == "finish":
            life.finish(f"r{number}", number)
            owed += number
        elif step == "open":
            life.open(f"r{number}", number)
        elif step == "end" and life.opened:
            life.finish(rng.choice(list(life.opened)), number)
            owed += number
        elif step == "save":
            life.save()
        elif step == "rotate":
            life.rotate()
        elif step == "die":
            owed += sum(line.input_cost_pico_usd for line in life.opened.values())
            life.die()
            if rng.random() < 0.2:
                compact(tmp_path)
            life = Life(tmp_path)
        assert life.spent_pico_usd == owed
    life.die()


def test_with_shared_state_only_what_a_dead_worker_left_open_is_charged(tmp_path: Path) -> None:
    def shared(worker: int) -> LeasedAdmission:
        return LeasedAdmission((), (BUDGET,), FileBank(tmp_path / "shared", worker))

    def spent(life: Life) -> float:
        life.admission.tick(0.0, AT)
        (level,) = life.admission.levels(0.0)
        return round(level.used * 1e12)

    first = Life(tmp_path, 1, admission=shared(1))
    first.finish("a", 100)
    first.open("b", 7)
    first.save()
    first.finish("c", 20)
    first.admission.tick(0.0, AT)
    first.die()
    second = Life(tmp_path, 1, admission=shared(1))
    second.finish("d", 1)
    assert second.n_charged == 1
    assert spent(second) == 128
    second.die()
    third = Life(tmp_path, 1, admission=shared(1))
    third.finish("e", 1)
    assert (third.n_charged, spent(third)) == (0, 129)
    third.die()
