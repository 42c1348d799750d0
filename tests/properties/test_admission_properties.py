"""Limits and budgets hold for any order of claims, settlings, ticks and deaths of workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.admission import Budget, Claim, Limit, Refusal
from weighbridge.gateway.admission.local import LocalAdmission, LocalGrant
from weighbridge.gateway.shared.bank import TICK_S
from weighbridge.gateway.shared.file_bank import FileBank
from weighbridge.gateway.shared.leased import LeasedAdmission, LeasedGrant

AT = 1_800_000_000.0
USD = 10**12


def claim(tokens: int, pico_usd: int = 0) -> Claim:
    return Claim(None, "acme", "chat", "gpt", tokens, pico_usd)


steps = st.lists(
    st.tuples(
        st.floats(0.0, 20.0),  # seconds that pass
        st.integers(0, 120),  # tokens claimed
        st.integers(0, 200),  # tokens taken by the oldest open request, which ends
        st.booleans(),
    ),
    max_size=60,
)


class Exact:
    """A bucket in exact arithmetic, which keeps no level: it sums what happened."""

    def __init__(self, per_minute: int) -> None:
        self.cap = self.level = Fraction(per_minute)
        self.at = Fraction(0)

    def at_time(self, now: float) -> Fraction:
        elapsed = Fraction(now) - self.at
        self.at = Fraction(now)
        self.level = min(self.cap, self.level + elapsed * self.cap / 60)
        return self.level


@given(steps, st.integers(1, 10), st.integers(1, 100), st.integers(1, 5))
def test_one_process_agrees_with_exact_buckets(
    steps: list[tuple[float, int, int, bool]], rpm: int, tpm: int, n_slots: int
) -> None:
    gate = LocalAdmission([Limit("tenant", "acme", rpm, tpm, n_slots)])
    requests, tokens = Exact(rpm), Exact(tpm)
    held: list[tuple[LocalGrant, int]] = []
    now = 0.0
    for passed_s, claimed, taken, ends in steps:
        now += passed_s
        n_free, free_tokens = requests.at_time(now), tokens.at_time(now)
        margins = (n_free - 1, free_tokens - claimed)
        fits = min(margins) >= 0 and len(held) < n_slots
        answer = gate.admit(claim(claimed), now, AT)
        is_close = any(abs(margin) < Fraction(1, 10**6) for margin in margins)
        assert isinstance(answer, LocalGrant) == fits or is_close
        if isinstance(answer, LocalGrant):
            held.append((answer, claimed))
            requests.level -= 1
            tokens.level -= claimed
        if ends and held:
            grant, reserved = held.pop(0)
            grant.settle(taken, 0, now, AT)
            tokens.level = min(tokens.cap, tokens.level + reserved - taken)


@given(steps, st.integers(1, 200), st.integers(120, 100_000))
def test_the_wait_that_a_refusal_names_is_enough_and_no_longer_than_needed(
    steps: list[tuple[float, int, int, bool]], rpm: int, tpm: int
) -> None:
    gate = LocalAdmission([Limit("tenant", "*", rpm, tpm)])
    now = 1e6  # the clock of a machine that has run for days
    for passed_s, claimed, taken, ends in steps:
        now += passed_s / 10
        answer = gate.admit(claim(claimed), now, AT)
        if isinstance(answer, Refusal):
            assert answer.retry_after_s is not None
            early = gate.admit(claim(claimed), now + 0.98 * answer.retry_after_s - 1e-5, AT)
            assert isinstance(early, Refusal)
            now += answer.retry_after_s
            answer = gate.admit(claim(claimed), now, AT)
        assert isinstance(answer, LocalGrant)
        if ends:
            answer.settle(taken, 0, now, AT)


def most_in_any_window(events: list[tuple[float, int]], cap: float, rate_per_s: float) -> float:
    """By how much what was let in exceeds what one bucket allows, over all windows."""
    return max(
        (
            sum(amount for when, amount in events if start <= when <= end)
            - cap
            - rate_per_s * (end - start)
            for start, _ in events
            for end, _ in events
            if end >= start
        ),
        default=0.0,
    )


moves = st.lists(
    st.tuples(
        st.integers(0, 2),  # worker
        st.sampled_from(["admit", "admit", "admit", "settle", "tick", "wait", "die"]),
        st.integers(1, 40),
        st.integers(0, 100),  # percent of the reservation that is spent
    ),
    max_size=150,
)


class Workers:
    """Three workers on one file, what they let in and what they owe."""

    def __init__(self, path: Path, limit: Limit, budget: Budget) -> None:
        self.path, self.limit, self.budget = path, limit, budget
        self.gates = [self.make(worker) for worker in range(3)]
        self.open: list[list[tuple[LeasedGrant, int]]] = [[], [], []]
        self.passed: list[tuple[float, int]] = []
        self.spent = 0
        self.now = 0.0

    def make(self, worker: int) -> LeasedAdmission:
        return LeasedAdmission([self.limit], [self.budget], FileBank(self.path, worker))

    def move(self, worker: int, what: str, amount: int, percent: int) -> None:
        gate, held = self.gates[worker], self.open[worker]
        if what == "admit":
            answer = gate.admit(claim(amount, amount * USD // 100), self.now, AT)
            if isinstance(answer, LeasedGrant):
                held.append((answer, amount))
                self.passed.append((self.now, amount))
        elif what == "settle" and held:
            grant, reserved = held.pop(0)
            cost = reserved * USD // 100 * percent // 100
            grant.settle(reserved, cost, self.now, AT)
            self.spent += cost
        elif what == "tick":
            self.tick()
        elif what == "wait":
            self.now += amount / 10
            self.tick()  # in life it ticks all the time
        elif what == "die":
            gate.bank.close()
            held.clear()
            self.gates[worker] = self.make(worker)

    def tick(self) -> None:
        for gate in self.gates:
            gate.tick(self.now, AT)

    def reserved(self) -> Iterable[int]:
        return (amount for held in self.open for _, amount in held)


@settings(max_examples=60, deadline=None)
@given(moves)
def test_workers_of_one_file_never_pass_a_limit_or_a_budget_together(
    moves: list[tuple[int, str, int, int]],
) -> None:
    limit = Limit("tenant", "acme", 600, 900, 9)
    with tempfile.TemporaryDirectory() as folder:
        workers = Workers(Path(folder) / "bank", limit, Budget("tenant", "acme", "3", "day"))
        for move in moves:
            workers.move(*move)
            assert sum(len(held) for held in workers.open) <= 9
            assert workers.spent + sum(workers.reserved()) * USD // 100 <= 3 * USD
        over_tokens = most_in_any_window(workers.passed, 900, 15)
        assert over_tokens <= 15 * TICK_S + 3 * 900 / 16
        for worker in range(3):
            while workers.open[worker]:
                workers.move(worker, "settle", 0, 100)
        for _ in range(12):
            workers.tick()
        workers.gates[0].admit(claim(0, 1), workers.now + 100, AT)  # it hears of all
        totals = [
            int(amount) for gate in workers.gates for *_, amount in gate.snapshot(AT)["spent"]
        ]
        assert max(totals, default=0) == workers.spent
        for gate in workers.gates:
            gate.bank.close()


@given(st.lists(st.tuples(st.integers(-400, 400), st.integers(0, 10**12)), max_size=40))
def test_spend_is_conserved_over_any_steps_of_the_clock(steps: list[tuple[int, int]]) -> None:
    gate = LocalAdmission([], [Budget("tenant", "*", "100000", "month", "soft")])
    at, total = AT, 0
    for hours, cost in steps:
        answer = gate.admit(claim(0, cost), 0.0, at)
        assert isinstance(answer, LocalGrant)
        answer.settle(0, cost, 0.0, at)
        total += cost
        at = min(max(at + hours * 3600, AT - 30 * 86_400), AT + 30 * 86_400)
    snapshot = gate.snapshot(AT)
    assert sum(int(amount) for *_, amount in snapshot["spent"]) == total
    periods = [start_at for *_, start_at, _ in snapshot["spent"]]
    assert len(periods) == len(set(periods))
    assert all(after > before for before, after in pairwise(sorted(periods)))


@pytest.mark.parametrize("n_claims", [1, 100])
def test_an_unlimited_gate_lets_all_in(n_claims: int) -> None:
    gate = LocalAdmission()
    for _ in range(n_claims):
        assert isinstance(gate.admit(claim(10**9, 10**15), 0.0, AT), LocalGrant)
