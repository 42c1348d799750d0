"""Workers of one machine: real processes on one file, and what kills and restarts leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weighbridge.gateway.admission import Budget, Claim, Limit, Refusal
from weighbridge.gateway.admission.build import State, build_admission
from weighbridge.gateway.shared import file_bank
from weighbridge.gateway.shared.bank import RATE, Answer, Draw
from weighbridge.gateway.shared.file_bank import FileBank
from weighbridge.gateway.shared.leased import LeasedAdmission, LeasedGrant
from weighbridge.units import InputError

AT = 1_800_000_000.0
DAY_S = 86_400.0
USD = 10**12
CLAIM = Claim(None, "acme", "chat", "gpt", 10, 10**10)
Make = Callable[..., LeasedAdmission]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[LeasedAdmission] = []

    def of(worker: int, *rules: Limit | Budget, events: list[str] | None = None) -> LeasedAdmission:
        limits = [rule for rule in rules if isinstance(rule, Limit)]
        budgets = [rule for rule in rules if isinstance(rule, Budget)]
        heard = [] if events is None else events
        bank = FileBank(tmp_path / "bank", worker)
        gate = LeasedAdmission(limits, budgets, bank, on_event=lambda _, words: heard.append(words))
        opened.append(gate)
        return gate

    yield of
    for gate in opened:
        gate.bank.close()


def grants(gates: list[LeasedAdmission], n: int, now: float = 0.0) -> list[LeasedGrant]:
    """Of `n` claims in turns, those that were let in."""
    answers = [gates[i % len(gates)].admit(CLAIM, now, AT) for i in range(n)]
    return [one for one in answers if isinstance(one, LeasedGrant)]


@pytest.mark.parametrize("n_allowed", [1, 7, 100, 5000])
def test_workers_share_one_allowance_of_requests(make: Make, n_allowed: int) -> None:
    gates = [make(worker, Limit("tenant", "acme", n_allowed)) for worker in range(3)]
    n_passed = len(grants(gates, 3 * n_allowed + 10))
    assert n_allowed - 3 * (n_allowed // 16) <= n_passed <= n_allowed
    for gate in gates:
        gate.tick(0.0, AT)
        gate.tick(0.0, AT)
    assert n_passed + len(grants(gates, n_allowed)) == n_allowed


def test_workers_share_tokens_and_a_debt_is_everyones(make: Make) -> None:
    gates = [make(worker, Limit("tenant", "acme", tokens_per_minute=60)) for worker in range(2)]
    held = grants(gates, 20)
    assert len(held) == 6
    for grant in held:
        grant.settle(15, 0, 0.0, AT)
    for gate in gates:
        gate.tick(0.0, AT)
    refusal = gates[0].admit(CLAIM, 5.0, AT)
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s == pytest.approx(35.0, abs=0.01)
    assert isinstance(gates[0].admit(CLAIM, 40.001, AT), LeasedGrant)


def test_workers_share_concurrency_and_give_it_back(make: Make) -> None:
    gates = [make(worker, Limit("tenant", "acme", concurrency=5)) for worker in range(3)]
    for _ in range(4):
        held = grants(gates, 30)
        assert len(held) == 5
        for grant in held:
            grant.settle(10, 0, 0.0, AT)
            grant.settle(10, 0, 0.0, AT)
        for gate in gates:
            gate.tick(0.0, AT)


def test_a_claim_that_does_not_fit_takes_nothing_from_smaller_ones(make: Make) -> None:
    rules = (Limit("tenant", "acme", None, 100), Budget("tenant", "acme", "1", "day"))
    one, other = make(0, *rules), make(1, *rules)
    first = one.admit(Claim(None, "acme", "chat", "gpt", 50, USD // 2), 0.0, AT)
    assert isinstance(first, LeasedGrant)
    refusal = one.admit(Claim(None, "acme", "chat", "gpt", 80, 0), 0.0, AT)
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s == pytest.approx(18.0, abs=0.01)
    dear = one.admit(Claim(None, "acme", "chat", "gpt", 0, USD), 0.0, AT)
    assert isinstance(dear, Refusal)
    small = other.admit(Claim(None, "acme", "chat", "gpt", 40, USD // 3), 0.0, AT)
    assert isinstance(small, LeasedGrant)


def test_spend_that_no_grant_settles_is_counted_for_all(make: Make) -> None:
    rule = Budget("tenant", "acme", "0.1", "day")
    one, other = make(0, rule), make(1, rule)
    one.charge(Claim(None, "acme", None, "gpt", 0, 7 * 10**10), AT)
    one.tick(0.0, AT)
    assert len(grants([other], 10)) == 3


def test_the_last_slot_is_free_for_another_worker_as_soon_as_its_request_ends(make: Make) -> None:
    one, other = (make(worker, Limit("tenant", "acme", concurrency=1)) for worker in range(2))
    for gate in (one, other, one, other):
        (grant,) = grants([gate], 1)
        assert grants([one, other], 2) == []
        grant.settle(10, 0, 0.0, AT)


def test_a_file_that_cannot_be_locked_leaves_a_share(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    gate = make(0, Limit("tenant", "acme", 40), events=events)

    def fail(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(file_bank.fcntl, "lockf", fail)
    assert len(grants([gate], 100)) == 10
    assert gate.is_degraded
    assert gate.counters()["outages"] == 1
    monkeypatch.undo()
    gate.tick(0.0, AT)
    assert not gate.is_degraded
    assert len(events) == 2


def test_unused_leases_go_back_within_ticks(make: Make) -> None:
    rules = (Limit("tenant", "acme", 1600, None, 160), Budget("tenant", "acme", "1600", "day"))
    busy, other = make(0, *rules), make(1, *rules)
    for grant in grants([busy], 100):
        grant.settle(10, 0, 0.0, AT)
    for _ in range(12):
        busy.tick(0.0, AT)
    assert busy.courier.active == {}
    assert len(grants([other], 200)) == 160


def test_spend_is_counted_once_over_workers_periods_and_kinds(make: Make) -> None:
    rules = [Budget("tenant", "acme", "1", period, kind) for period in ("day", "month")
             for kind in ("hard", "soft")]  # fmt: skip
    events: list[str] = []
    gates = [make(worker, *rules, events=events) for worker in range(3)]
    for i in range(60):
        answer = gates[i % 3].admit(CLAIM, 0.0, AT)
        assert isinstance(answer, LeasedGrant)
        answer.settle(10, 9 * 10**9, 0.0, AT)
        gates[i % 3].tick(0.0, AT)
    for gate in gates:
        gate.tick(0.0, AT)
        gate.admit(CLAIM, 0.0, AT)
    for gate in gates:
        spent = {amount for *_, amount in gate.snapshot(AT)["spent"]}
        assert spent == {str(60 * 9 * 10**9)}
    assert len(events) == len(set(events)) == 4  # half of each, told by one worker


def test_a_new_day_starts_from_zero_and_keeps_reservations(make: Make) -> None:
    rule = Budget("tenant", "acme", "0.05", "day")
    one, other = make(0, rule), make(1, rule)
    held = grants([one], 9)
    assert len(held) == 5
    for grant in held[:3]:
        grant.settle(10, 10**10, 0.0, AT)
    late = AT + DAY_S
    new = [one.admit(CLAIM, 0.0, late) for _ in range(5)]
    new_grants = [grant for grant in new if isinstance(grant, LeasedGrant)]
    assert len(new_grants) == 3
    assert isinstance(other.admit(CLAIM, 0.0, late), Refusal)
    for grant in (*held[3:], *new_grants):
        grant.settle(10, 10**9, 0.0, late)
    one.tick(0.0, late)
    assert isinstance(other.admit(CLAIM, 0.0, late), LeasedGrant)
    assert len(grants([one], 5)) == 2  # a clock stepped back finds $0.03 spent


def test_what_a_request_cost_beyond_its_reservation_is_counted(make: Make) -> None:
    rule = Budget("tenant", "acme", "0.10", "day")
    one, other = make(0, rule), make(1, rule)
    for grant in grants([one], 1):
        grant.settle(10, 9 * 10**10, 0.0, AT)
    one.tick(0.0, AT)
    assert len(grants([other, one], 10)) == 1


def test_spend_of_before_a_restart_is_known_by_snapshot_even_without_the_file(
    make: Make, tmp_path: Path
) -> None:
    rule = Budget("tenant", "acme", "0.05", "day")
    first = make(0, rule)
    for grant in grants([first], 4):
        grant.settle(10, 10**10, 0.0, AT)
    first.tick(0.0, AT)
    snapshot = first.snapshot(AT)
    (tmp_path / "bank").unlink()
    again = make(0, rule)
    again.restore(snapshot)
    assert len(grants([again], 4)) == 1


def test_spend_outlives_a_worker_and_what_it_held_comes_back(make: Make) -> None:
    rules = (Budget("tenant", "acme", "0.10", "day"), Limit("tenant", "acme", concurrency=10))
    one, other = make(0, *rules), make(1, *rules)
    for grant in grants([one], 4):
        grant.settle(10, 10**10, 0.0, AT)
    grants([one], 4)
    bank = FileBank(Path(str(other.bank._path)), None)  # type: ignore[attr-defined]
    bank.forget(0)  # as the parent does that sees a worker die, even before any tick
    bank.close()
    assert len(grants([other], 20)) == 6


def test_a_hostile_number_of_names_finds_no_room_and_harms_no_count(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_bank, "N_CELLS", 64)
    gate = make(0)
    bank = gate.bank

    def draw(name: str, want: int) -> Answer:
        answers: list[Answer] = []
        bank.exchange([Draw(name, RATE, 10, 1.0, want)], 0.0, AT, lambda a: answers.extend(a or []))
        return answers[0]

    assert draw("mine", 10).granted == 10
    n_served = sum(draw(f"name-{n}", 1).granted for n in range(500))
    assert 0 < n_served < 64
    assert draw("mine", 1).granted == 0


def test_a_machine_started_anew_refills_from_its_new_clock(make: Make) -> None:
    gate = make(0, Limit("tenant", "acme", 60))
    assert len(grants([gate], 100, now=1e6)) == 60
    gate.tick(1e6, AT)
    assert len(grants([gate], 100, now=10.0)) <= 1
    assert len(grants([gate], 100, now=40.0)) in range(29, 33)


@pytest.mark.parametrize("content", [b"something else", b"\1" * 4_722_688])
def test_a_file_that_is_no_bank_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bank").write_bytes(content)
    with pytest.raises(InputError, match="no bank of this version"):
        FileBank(tmp_path / "bank", 0)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none/bank: cannot be opened: No such file"):
        FileBank(tmp_path / "none" / "bank", 0)


def test_a_full_disk_is_told_at_the_start_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, offset: int, n_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="cannot be made: No space left on device"):
        FileBank(tmp_path / "bank", 0)
    monkeypatch.undo()
    FileBank(tmp_path / "bank", 0).close()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State("memory", n_workers=2), "each of 2 workers would allow all of a limit"),
        (State("file:"), "names no place that is known"),
        (State("postgres://x"), "names no place that is known"),
    ],
)
def test_a_state_that_cannot_hold_is_refused(state: State, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build_admission([], [], state)


def test_a_budget_too_large_to_count_exactly_is_refused(tmp_path: Path) -> None:
    rich = Budget("tenant", "acme", "9000001", "day")
    with pytest.raises(InputError, match="counts exactly up to 9,000,000"):
        build_admission([], [rich], State(f"file:{tmp_path / 'bank'}"))


WORKER = """
import sys
from pathlib import Path
from weighbridge.gateway.admission import Budget, Claim, Limit
from weighbridge.gateway.shared.file_bank import FileBank
from weighbridge.gateway.shared.leased import LeasedAdmission, LeasedGrant

path, worker, cost, keep = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "keep"
gate = LeasedAdmission(
    [Limit("tenant", "acme", 1000, None, 500)],
    [Budget("tenant", "acme", "1", "day")],
    FileBank(Path(path), worker),
)
claim = Claim(None, "acme", "chat", "gpt", 10, 10**10)
print("ready", flush=True)
sys.stdin.readline()
n_passed, held = 0, []
for step in range(400):
    answer = gate.admit(claim, 1.0, 1.8e9)
    if isinstance(answer, LeasedGrant):
        n_passed += 1
        held.append(answer)
    if not keep and len(held) > 3:
        held.pop(0).settle(10, cost, 1.0, 1.8e9)
    if step % 20 == 19:
        gate.tick(1.0, 1.8e9)
if not keep:
    for grant in held:
        grant.settle(10, cost, 1.0, 1.8e9)
    gate.tick(1.0, 1.8e9)
print(n_passed, flush=True)
sys.stdin.readline()
"""


class Worker:
    """A process of its own on the bank."""

    def __init__(self, path: Path, worker: int, cost: int, *, keep: bool = False) -> None:
        words = (str(path), str(worker), str(cost), "keep" if keep else "settle")
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, *, killed: bool = False) -> None:
        if killed:
            os.kill(self.process.pid, signal.SIGKILL)
        else:
            self.go()
        self.process.communicate()


@pytest.mark.parametrize("cost", [10**10, 4 * 10**9])
def test_a_dollar_over_three_real_processes_is_never_passed(tmp_path: Path, cost: int) -> None:
    path = tmp_path / "bank"
    workers = [Worker(path, place, cost) for place in range(3)]
    for worker in workers:
        worker.go()
    n_passed = sum(int(worker.read()) for worker in workers)
    for worker in workers:
        worker.end()
    most = 10**12 // cost
    assert n_passed * cost <= 10**12
    assert n_passed >= most * 0.85
    spent = build_admission([], [Budget("tenant", "acme", "1", "day")], State(f"file:{path}"))
    spent.admit(CLAIM, 1.0, AT)
    ((*_, amount),) = spent.snapshot(AT)["spent"]
    assert int(amount) == n_passed * cost
    assert isinstance(spent, LeasedAdmission)
    spent.bank.close()


def test_what_a_killed_process_held_comes_back_without_being_told(tmp_path: Path) -> None:
    path = tmp_path / "bank"
    doomed = Worker(path, 0, 0, keep=True)
    doomed.go()
    assert doomed.read() == "100"  # all of the dollar is reserved
    other = Worker(path, 1, 10**10)
    doomed.end(killed=True)
    other.go()
    assert other.read() == "100"
    other.end()


def test_a_budget_that_turns_hard_by_reload_knows_what_was_spent(make: Make) -> None:
    gate, other = (make(n, Budget("tenant", "acme", "0.1", "day", "soft")) for n in range(2))
    for grant in grants([gate, other], 8):
        grant.settle(10, 10**10, 0.0, AT)
    for one in (gate, other, gate, other):
        one.tick(0.0, AT)
    grants([gate], 1)[0].settle(10, 0, 0.0, AT)
    gate.tick(0.0, AT)
    gate.reconfigure([], [Budget("tenant", "acme", "0.1", "day", "hard")])
    assert len(grants([gate], 10)) == 2


def test_spend_past_what_a_word_holds_stays_there_and_refuses(make: Make) -> None:
    gate = make(0, Budget("tenant", "acme", "9000000", "day"))
    most_usd = 999_999
    for _ in range(12):
        for grant in grants([gate], 1):
            grant.settle(10, most_usd * USD, 0.0, AT)
    gate.tick(0.0, AT)
    assert not grants([gate], 1)
