from __future__ import annotations

import tracemalloc

import pytest

from weighbridge.gateway.admission import Claim, Limit, Refusal, Scope, VirtualKey
from weighbridge.gateway.admission.local import LocalAdmission, LocalGrant
from weighbridge.units import InputError

AT = 1_800_000_000.0
KEY = VirtualKey("k1", b"", "acme")


def claim(tokens: int = 1, feature: str | None = "chat", key: VirtualKey | None = KEY) -> Claim:
    return Claim(key, "acme", feature, "gpt", tokens, 0)


def admission(*limits: Limit, max_free: int = 20_000) -> LocalAdmission:
    return LocalAdmission(limits, max_free=max_free)


def granted(answer: LocalGrant | Refusal) -> LocalGrant:
    assert isinstance(answer, LocalGrant), answer
    return answer


def refused(answer: LocalGrant | Refusal, code: str) -> Refusal:
    assert isinstance(answer, Refusal)
    assert answer.code == code, answer
    return answer


def test_a_minute_of_requests_passes_at_once_and_then_at_the_rate() -> None:
    gate = admission(Limit("tenant", "acme", requests_per_minute=60))
    for _ in range(60):
        granted(gate.admit(claim(), 10.0, AT))
    refusal = refused(gate.admit(claim(), 10.25, AT), "rate_limit_requests")
    assert refusal.status == 429
    assert refusal.retry_after_s == pytest.approx(0.75, abs=1e-5)
    assert refusal.message == (
        "Tenant acme may send 60 requests a minute; the next fits in 0.75 s."
    )
    granted(gate.admit(claim(), 10.25 + (refusal.retry_after_s or 0), AT))


@pytest.mark.parametrize("scope", ["key", "tenant", "feature", "model"])
def test_every_scope_is_limited_by_its_name_and_by_a_star(scope: Scope) -> None:
    name = {"key": "k1", "tenant": "acme", "feature": "chat", "model": "gpt"}[scope]
    for written in (name, "*"):
        gate = admission(Limit(scope, written, requests_per_minute=1))
        granted(gate.admit(claim(), 0.0, AT))
        assert name in refused(gate.admit(claim(), 0.0, AT), "rate_limit_requests").message
    granted(admission(Limit(scope, "other", requests_per_minute=1)).admit(claim(), 0.0, AT))


def test_a_star_gives_each_name_an_allowance_of_its_own() -> None:
    gate = admission(Limit("feature", "*", requests_per_minute=1))
    for feature in ("a", "b", None):
        granted(gate.admit(claim(feature=feature), 0.0, AT))
        refused(gate.admit(claim(feature=feature), 0.0, AT), "rate_limit_requests")


def test_requests_that_name_nothing_share_one_allowance() -> None:
    gate = admission(Limit("key", "*", requests_per_minute=1))
    granted(gate.admit(claim(key=None), 0.0, AT))
    refusal = refused(gate.admit(claim(key=None), 0.0, AT), "rate_limit_requests")
    assert refusal.message.startswith("Key (none) may send 1 requests a minute")


def test_a_name_of_its_own_wins_over_the_star_number_by_number() -> None:
    gate = admission(
        Limit("tenant", "*", requests_per_minute=1, concurrency=2),
        Limit("tenant", "acme", requests_per_minute=100),
    )
    for _ in range(2):
        granted(gate.admit(claim(), 0.0, AT))
    refused(gate.admit(claim(), 0.0, AT), "concurrency_limit")


def test_a_key_brings_its_own_limits_and_the_strictest_named_one_holds() -> None:
    own = VirtualKey("k1", b"", "acme", limits=(Limit("key", "k1", requests_per_minute=2),))
    for written, n_passing in ((Limit("key", "*", 1), 2), (Limit("key", "k1", 1), 1)):
        gate = admission(written)
        for _ in range(n_passing):
            granted(gate.admit(claim(key=own), 0.0, AT))
        refused(gate.admit(claim(key=own), 0.0, AT), "rate_limit_requests")


def test_unused_tokens_come_back_and_excess_becomes_a_debt() -> None:
    gate = admission(Limit("tenant", "acme", tokens_per_minute=600))
    grant = granted(gate.admit(claim(600), 0.0, AT))
    refused(gate.admit(claim(1), 0.0, AT), "rate_limit_tokens")
    grant.settle(100, 0, 0.0, AT)
    grant = granted(gate.admit(claim(500), 0.0, AT))
    grant.settle(1100, 0, 0.0, AT)
    refusal = refused(gate.admit(claim(10), 0.0, AT), "rate_limit_tokens")
    assert refusal.retry_after_s == pytest.approx(61.0, abs=1e-5)
    assert refusal.message == (
        "Tenant acme may use 600 tokens a minute; this request may take 10 and fits in 61 s."
    )


def test_tokens_given_back_never_pass_one_minutes_worth() -> None:
    gate = admission(Limit("tenant", "acme", tokens_per_minute=600))
    grant = granted(gate.admit(claim(600), 0.0, AT))
    granted(gate.admit(claim(600), 60.0, AT)).settle(0, 0, 60.0, AT)
    grant.settle(0, 0, 60.0, AT)
    granted(gate.admit(claim(600), 60.0, AT))
    refused(gate.admit(claim(1), 60.0, AT), "rate_limit_tokens")


def test_a_request_that_can_never_pass_is_told_so() -> None:
    gate = admission(Limit("tenant", "acme", tokens_per_minute=600, requests_per_minute=1))
    granted(gate.admit(claim(), 0.0, AT))
    refusal = refused(gate.admit(claim(601), 0.0, AT), "request_too_large_for_limit")
    assert (refusal.status, refusal.retry_after_s) == (400, None)


def test_concurrency_ends_with_the_one_settling_that_counts() -> None:
    gate = admission(Limit("key", "*", concurrency=2))
    first, _ = granted(gate.admit(claim(), 0.0, AT)), granted(gate.admit(claim(), 0.0, AT))
    refusal = refused(gate.admit(claim(), 0.0, AT), "concurrency_limit")
    assert refusal.message == "Key k1 may have 2 requests open at one time, and has."
    first.settle(1, 0, 0.0, AT)
    first.settle(1, 0, 0.0, AT)
    granted(gate.admit(claim(), 0.0, AT))
    refused(gate.admit(claim(), 0.0, AT), "concurrency_limit")
    assert gate.n_settled_twice == 1


def test_a_refused_claim_takes_nothing_anywhere() -> None:
    gate = admission(
        Limit("key", "*", requests_per_minute=10, tokens_per_minute=100, concurrency=5),
        Limit("model", "gpt", requests_per_minute=1),
    )
    granted(gate.admit(claim(), 0.0, AT))
    before = gate.levels(0.0)
    refused(gate.admit(claim(50), 0.0, AT), "rate_limit_requests")
    assert gate.levels(0.0) == before


def test_of_several_refusals_the_longest_wait_is_told() -> None:
    gate = admission(Limit("key", "*", requests_per_minute=60), Limit("model", "gpt", 1))
    granted(gate.admit(claim(), 0.0, AT))
    for _ in range(59):
        granted(gate.admit(Claim(KEY, "acme", "chat", "o1", 1, 0), 0.0, AT))
    assert refused(gate.admit(claim(), 0.0, AT), "rate_limit_requests").message.startswith("Model")


def test_a_clock_that_goes_back_refills_nothing() -> None:
    gate = admission(Limit("tenant", "acme", requests_per_minute=1))
    granted(gate.admit(claim(), 100.0, AT))
    refused(gate.admit(claim(), 0.0, AT), "rate_limit_requests")
    refused(gate.admit(claim(), 159.0, AT), "rate_limit_requests")
    granted(gate.admit(claim(), 160.001, AT))


def test_a_reload_keeps_what_was_taken() -> None:
    gate = admission(Limit("tenant", "acme", requests_per_minute=10))
    grants = [granted(gate.admit(claim(), 0.0, AT)) for _ in range(8)]
    gate.reconfigure([Limit("tenant", "acme", requests_per_minute=9, concurrency=9)], [])
    granted(gate.admit(claim(), 0.0, AT))
    refused(gate.admit(claim(), 0.0, AT), "rate_limit_requests")
    for grant in grants:
        grant.settle(1, 0, 0.0, AT)
    gate.reconfigure([], [])
    granted(gate.admit(claim(), 0.0, AT))


def test_a_million_feature_names_cost_no_memory_and_reset_no_limit() -> None:
    gate = admission(Limit("feature", "*", requests_per_minute=1), max_free=100)
    granted(gate.admit(claim(feature="mine"), 0.0, AT))
    tracemalloc.start()
    n_bytes = []
    for n in range(8_000):
        answer = gate.admit(claim(feature=f"name-{n}"), n * 5e-4, AT)
        if isinstance(answer, LocalGrant):
            answer.settle(1, 0, n * 5e-4, AT)
        if n % 4_000 == 3_999:
            n_bytes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert n_bytes[1] < n_bytes[0] + 200_000
    assert gate.n_crowded > 0
    refused(gate.admit(claim(feature="mine"), 59.9, AT), "rate_limit_requests")


def test_idle_names_make_room_for_new_ones() -> None:
    gate = admission(Limit("feature", "*", requests_per_minute=60), max_free=50)
    for n in range(1000):
        grant = granted(gate.admit(claim(feature=f"name-{n}"), n * 1.0, AT))
        grant.settle(1, 0, n * 1.0, AT)
    assert gate.n_crowded == 0


def test_names_that_find_no_room_share_one_allowance() -> None:
    gate = admission(Limit("feature", "*", requests_per_minute=2), max_free=32)
    answers = [gate.admit(claim(feature=f"name-{n}"), 0.0, AT) for n in range(40)]
    assert sum(isinstance(one, LocalGrant) for one in answers) == 34
    refusal = refused(gate.admit(claim(feature="more"), 0.0, AT), "rate_limit_requests")
    assert refusal.message.startswith("Feature (others)")


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (Limit("target", "gpu", 5), "a target is not limited here"),
        (Limit("tenant", "a"), "limits nothing"),
        (Limit("tenant", "a", requests_per_minute=0), "requests_per_minute: is 0"),
        (Limit("tenant", "", requests_per_minute=1), "name: is empty"),
        (Limit("team", "a", requests_per_minute=1), "scope: is 'team'"),  # type: ignore[arg-type]
    ],
)
def test_a_limit_that_cannot_hold_is_refused(limit: Limit, told: str) -> None:
    with pytest.raises(InputError, match=told):
        admission(limit)
