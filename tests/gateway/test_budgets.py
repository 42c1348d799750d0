from __future__ import annotations

import datetime as dt
import json

import pytest

from weighbridge.gateway.admission import Budget, Claim, Limit, Refusal, VirtualKey
from weighbridge.gateway.admission.local import LocalAdmission, LocalGrant
from weighbridge.gateway.admission.spent import replay
from weighbridge.gateway.budgets import PICO_PER_USD, period_of
from weighbridge.ledger.lines import RequestLine
from weighbridge.units import InputError

NOON = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC).timestamp()
DAY_S = 86_400.0
KEY = VirtualKey("k1", b"", "acme")
USD = PICO_PER_USD


def claim(usd: float, key: VirtualKey | None = KEY) -> Claim:
    return Claim(key, "acme", "chat", "gpt", 1, round(usd * USD))


def admission(*budgets: Budget, events: list[str] | None = None) -> LocalAdmission:
    def hear(name: str, detail: str) -> None:
        assert name == "budget_threshold"
        if events is not None:
            events.append(detail)

    return LocalAdmission([], budgets, on_event=hear)


def spend(gate: LocalAdmission, usd: float, at: float = NOON) -> LocalGrant:
    answer = gate.admit(claim(usd), 0.0, at)
    assert isinstance(answer, LocalGrant), answer
    answer.settle(1, round(usd * USD), 0.0, at)
    return answer


def refused(answer: LocalGrant | Refusal) -> Refusal:
    assert isinstance(answer, Refusal)
    assert (answer.status, answer.code) == (429, "budget_exceeded")
    return answer


def spent(gate: LocalAdmission) -> dict[str, float]:
    return {one.what: one.used for one in gate.levels(0.0)}


def test_spend_and_reservations_together_never_pass_a_hard_budget() -> None:
    gate = admission(Budget("tenant", "acme", "10", "day"))
    spend(gate, 4)
    open_one = gate.admit(claim(5), 0.0, NOON)
    assert isinstance(open_one, LocalGrant)
    refusal = refused(gate.admit(claim(1.5), 0.0, NOON))
    assert refusal.retry_after_s == DAY_S / 2
    assert refusal.message == (
        "Tenant acme has a budget of $10.00 a day: $4.00 is spent, $5.00 reserved by requests in "
        "flight, and this one may cost $1.50. The period ends 2026-12-01 00:00 UTC."
    )
    open_one.settle(1, 1 * USD, 0.0, NOON)
    spend(gate, 5)
    refused(gate.admit(claim(0.0001), 0.0, NOON))


def test_a_claim_beyond_the_whole_budget_is_told_that_it_never_fits() -> None:
    gate = admission(Budget("tenant", "acme", "1", "day"))
    refusal = refused(gate.admit(claim(2), 0.0, NOON))
    assert refusal.retry_after_s is None
    assert "can never fit" in refusal.message


def test_what_a_request_cost_beyond_its_reservation_is_counted() -> None:
    gate = admission(Budget("tenant", "acme", "10", "day"))
    grant = gate.admit(claim(1), 0.0, NOON)
    assert isinstance(grant, LocalGrant)
    grant.settle(1, 11 * USD, 0.0, NOON)
    grant.settle(1, 11 * USD, 0.0, NOON)
    assert spent(gate) == {"usd_day": 11.0}
    refused(gate.admit(claim(0), 0.0, NOON))


def test_a_new_period_starts_from_zero_and_charges_what_settles_in_it() -> None:
    gate = admission(Budget("key", "*", "10", "day"), Budget("key", "*", "100", "month"))
    spend(gate, 6)
    over_night = gate.admit(claim(3), 0.0, NOON)
    assert isinstance(over_night, LocalGrant)
    assert spent(gate) == {"usd_day": 9.0, "usd_month": 9.0}
    over_night.settle(1, 2 * USD, 0.0, NOON + DAY_S)
    assert spent(gate) == {"usd_day": 2.0, "usd_month": 2.0}


def test_a_clock_stepped_back_and_forward_resets_nothing_and_counts_nothing_twice() -> None:
    gate = admission(Budget("tenant", "acme", "10", "day"))
    spend(gate, 6, NOON)
    spend(gate, 7, NOON + DAY_S)
    refused(gate.admit(claim(5), 0.0, NOON))
    spend(gate, 3, NOON)
    assert spent(gate) == {"usd_day": 9.0}
    refused(gate.admit(claim(4), 0.0, NOON + DAY_S))
    spend(gate, 10, NOON + 1000 * DAY_S)
    refused(gate.admit(claim(4), 0.0, NOON + DAY_S))


def test_a_soft_budget_tells_each_threshold_once_a_period() -> None:
    events: list[str] = []
    gate = admission(Budget("tenant", "acme", "10", "day", "soft"), events=events)
    for _ in range(30):
        spend(gate, 0.5)
    assert events == [
        "Tenant acme: 50% of the soft budget of $10.00 a day is spent ($5.00)",
        "Tenant acme: 80% of the soft budget of $10.00 a day is spent ($8.00)",
        "Tenant acme: 100% of the soft budget of $10.00 a day is spent ($10.00)",
    ]
    spend(gate, 9, NOON + DAY_S)
    assert len(events) == 5
    spend(gate, 1, NOON)
    assert len(events) == 5


def test_a_hard_budget_tells_its_thresholds_too() -> None:
    events: list[str] = []
    gate = admission(Budget("tenant", "acme", "10", "day"), events=events)
    spend(gate, 10)
    assert len(events) == 3


def test_a_named_budget_stands_in_for_the_star_of_its_period_and_kind() -> None:
    gate = admission(
        Budget("tenant", "*", "1", "day"),
        Budget("tenant", "*", "20", "month"),
        Budget("tenant", "acme", "15", "day"),
    )
    spend(gate, 14)
    assert "a day" in refused(gate.admit(claim(4), 0.0, NOON)).message
    spend(gate, 5, NOON - DAY_S)
    assert "a month" in refused(gate.admit(claim(4), 0.0, NOON - DAY_S)).message


def test_a_keys_own_budget_holds() -> None:
    own = VirtualKey("k1", b"", "acme", budgets=(Budget("key", "k1", "1", "day"),))
    gate = admission()
    assert isinstance(gate.admit(claim(0.7, own), 0.0, NOON), LocalGrant)
    refused(gate.admit(claim(0.7, own), 0.0, NOON))


def test_spend_survives_a_restart_by_snapshot_and_replay() -> None:
    budgets = (Budget("tenant", "acme", "10", "day"), Budget("key", "*", "10", "month"))
    gate = admission(*budgets)
    spend(gate, 4)
    snapshot = json.loads(json.dumps(gate.snapshot(NOON, mark=["spool-3", 512])))
    spend(gate, 2.5)
    again = admission(*budgets)
    assert again.restore(snapshot) == ["spool-3", 512]
    line = RequestLine(
        request_id="r",
        started_at_us=round(NOON * 1e6),
        status="ok",
        price_state="priced",
        tenant="acme",
        feature="chat",
        key_id="k1",
        model_requested="gpt",
        list_cost_pico_usd=round(2.5 * USD),
    )
    assert replay([line], {"k1": KEY}.get, again.charge) == 1
    assert spent(again) == spent(gate) == {"usd_day": 6.5, "usd_month": 6.5}
    refused(again.admit(claim(4), 0.0, NOON))


def test_a_snapshot_of_names_not_seen_since_keeps_them() -> None:
    gate = admission(Budget("tenant", "*", "10", "day"))
    spend(gate, 4)
    again = admission(Budget("tenant", "*", "10", "day"))
    again.restore(gate.snapshot(NOON))
    third = admission(Budget("tenant", "*", "10", "day"))
    third.restore(again.snapshot(NOON))
    refused(third.admit(claim(7), 0.0, NOON))
    assert again.snapshot(NOON + 90 * DAY_S)["spent"] == []


def test_thresholds_told_before_a_restart_are_not_told_again() -> None:
    events: list[str] = []
    gate = admission(Budget("tenant", "acme", "10", "day"), events=events)
    spend(gate, 6)
    again = admission(Budget("tenant", "acme", "10", "day"), events=events)
    again.restore(gate.snapshot(NOON))
    spend(again, 1)
    assert len(events) == 1


def test_a_snapshot_that_cannot_be_read_is_refused() -> None:
    for snapshot in ({}, {"format": 1}, {"format": 1, "spent": [["a", "b", "day", "x", "y"]]}):
        with pytest.raises(InputError, match="budget snapshot"):
            admission().restore(snapshot)


def test_a_refused_budget_takes_no_limit() -> None:
    gate = LocalAdmission(
        [Limit("tenant", "acme", requests_per_minute=5, concurrency=5)],
        [Budget("tenant", "acme", "0", "day")],
    )
    free = gate.admit(claim(0), 0.0, NOON)
    assert isinstance(free, LocalGrant)
    before = gate.levels(0.0)
    refused(gate.admit(claim(1), 0.0, NOON))
    assert gate.levels(0.0) == before


@pytest.mark.parametrize("year", [1972, 2024, 2026, 2100])
def test_periods_meet_without_gap_over_years(year: int) -> None:
    at = dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()
    for _ in range(24):
        start_at, end_at = period_of(at, "month")
        assert period_of(end_at - 0.001, "month") == (start_at, end_at)
        assert dt.datetime.fromtimestamp(end_at, dt.UTC).day == 1
        at = end_at


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (Budget("tenant", "a", "much", "day"), "'much' is no amount"),
        (Budget("tenant", "a", "-1", "day"), "'-1' is no amount"),
        (Budget("tenant", "a", "inf", "day"), "'inf' is no amount"),
        (Budget("tenant", "a", "1", "year"), "period: is 'year'"),  # type: ignore[arg-type]
        (Budget("tenant", "a", "1", "day", "firm"), "kind: is 'firm'"),  # type: ignore[arg-type]
    ],
)
def test_a_budget_that_cannot_hold_is_refused(budget: Budget, told: str) -> None:
    with pytest.raises(InputError, match=told):
        admission(budget)


def test_a_budget_that_turns_hard_by_reload_knows_what_was_spent() -> None:
    gate = admission(Budget("tenant", "acme", "10", "day", "soft"))
    spend(gate, 8)
    gate.reconfigure([], [Budget("tenant", "acme", "10", "day", "hard")])
    refused(gate.admit(claim(3), 0.0, NOON))
    spend(gate, 2)
