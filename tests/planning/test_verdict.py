"""Every decision from evidence made by hand, with reasons that say what they rest on."""

import dataclasses
import datetime as dt
import re

import pytest

from weighbridge.planning.constraints import Demand, standing
from weighbridge.planning.verdict import (
    RERUN_DAYS,
    SURE_ENOUGH_PROBABILITY,
    Candidate,
    Evidence,
    TypeCost,
    judge,
)

TODAY = dt.date(2026, 11, 21)
TYPES = ("chat", "search", "tagging")
YES = Demand("yes", "1,000 answers compared")
UNKNOWN = Demand()
NO = Demand("no", "legal wants this model")


def candidate(option_id, mean_npv_usd, *, moved=TYPES, hosting=None, beats=0.9, obstacles=()):
    return Candidate(
        id=option_id,
        hosting=hosting or option_id,
        moved=() if option_id in {"api", "committed"} else moved,
        feasible=not obstacles,
        obstacles=obstacles,
        mean_npv_usd=mean_npv_usd,
        cheapest_probability=0.71,
        beats_api_probability=0.0 if option_id == "api" else beats,
        expected_regret_usd=1000.0,
        payback_month=7.0,
    )


def evidence(*candidates, demands=(YES, YES, YES), in_split=TYPES, **more):
    standings = {t: standing(t, d, None) for t, d in zip(TYPES, demands, strict=True)}
    costs = tuple(TypeCost(t, 900.0, 400.0 if t in in_split else 0.0, 1 / 3) for t in TYPES)
    return Evidence(
        candidates=candidates,
        standings=standings,
        type_costs=lambda _: costs,
        flips_when=lambda _: more.get("flips_when", ("the API price falls below 0.62 of today's",)),
        measure_next=more.get("measure_next", ("benchmark the candidate",)),
        engines=("engine A",),
        engine_warnings=("engine B is for one user",),
        left_out=("taxes",),
        horizon_months=36,
        as_of=TODAY,
    )


API = candidate("api", 500_000.0)


# --- every decision -------------------------------------------------------------------------------


def test_stay_where_the_api_costs_least():
    found = judge(evidence(API, candidate("rented", 800_000.0, beats=0.2)))
    assert (found.decision, found.option_id) == ("stay", "api")
    assert found.headline == "Stay on the API: it is the cheapest way in 71% of the draws."
    assert found.confidence_probability == 0.71


@pytest.mark.parametrize("option_id", ["rented", "owned"])
def test_self_host_where_a_fleet_costs_least_and_quality_is_proven(option_id):
    found = judge(evidence(API, candidate(option_id, 300_000.0)))
    assert (found.decision, found.option_id) == ("self-host", option_id)
    assert "saves about $5.56k a month" in found.headline  # (500,000 - 300,000) / 36
    assert "90% of the draws" in found.headline


def test_managed_where_a_platform_costs_least():
    found = judge(evidence(API, candidate("managed", 300_000.0), candidate("rented", 400_000.0)))
    assert (found.decision, found.option_id) == ("managed", "managed")


def test_committed_where_an_offer_costs_least_and_no_quality_need_be_proven():
    found = judge(evidence(API, candidate("committed", 300_000.0), demands=(UNKNOWN,) * 3))
    assert (found.decision, found.option_id) == ("committed", "committed")


@pytest.mark.parametrize("hosting", ["managed", "rented", "owned"])
def test_split_where_some_types_move_and_some_stay(hosting):
    hybrid = candidate("hybrid", 300_000.0, moved=("chat", "tagging"), hosting=hosting)
    found = judge(evidence(API, hybrid, demands=(YES, NO, YES), in_split=("chat", "tagging")))
    assert (found.decision, found.option_id) == ("split", "hybrid")
    assert "move 2 query types" in found.headline
    assert [t.verdict for t in found.by_type] == ["move", "stay", "move"]


@pytest.mark.parametrize(
    ("hosting", "decision"),
    [("managed", "managed"), ("rented", "self-host"), ("owned", "self-host")],
)
def test_a_split_that_moves_everything_is_called_by_where_it_goes(hosting, decision):
    found = judge(evidence(API, candidate("hybrid", 300_000.0, hosting=hosting)))
    assert found.decision == decision


def test_not_enough_evidence_where_the_odds_are_a_toss_up():
    just_below = SURE_ENOUGH_PROBABILITY - 0.01
    found = judge(evidence(API, candidate("rented", 300_000.0, beats=just_below)))
    assert found.decision == "not-enough-evidence"
    assert found.headline == (
        "Not enough evidence: self-hosted on rented GPUs beats the API in only 59% of the draws. "
        "Measure first: benchmark the candidate."
    )
    sure = judge(evidence(API, candidate("rented", 300_000.0, beats=SURE_ENOUGH_PROBABILITY)))
    assert sure.decision == "self-host"


def test_not_enough_evidence_where_nobody_has_checked_the_quality():
    found = judge(evidence(API, candidate("rented", 300_000.0), demands=(YES, UNKNOWN, UNKNOWN)))
    assert found.decision == "not-enough-evidence"
    assert "test first" in found.headline
    assert "2 query types that nobody has checked" in found.headline
    (reason,) = [r for r in found.reasons if r.rule == "quality-unknown"]
    assert "2 of the query types" in reason.text
    assert "67% of all tokens" in reason.text


def test_a_proven_split_is_advised_though_moving_unknown_types_too_looks_cheaper():
    everything = candidate("owned", 200_000.0)
    proven = candidate("hybrid", 300_000.0, moved=("chat",), hosting="rented")
    found = judge(evidence(API, everything, proven, demands=(YES, UNKNOWN, UNKNOWN)))
    assert (found.decision, found.option_id) == ("split", "hybrid")
    assert [t.verdict for t in found.by_type] == ["move", "test-first", "test-first"]
    (reason,) = [r for r in found.reasons if r.rule == "quality-unknown"]
    assert "would save $100k more" in reason.text
    assert found.confidence_probability == proven.beats_api_probability


def test_a_proven_split_that_costs_more_than_the_api_is_no_reason_to_move():
    everything = candidate("owned", 200_000.0)
    proven = candidate("hybrid", 600_000.0, moved=("chat",), hosting="rented")
    found = judge(evidence(API, everything, proven, demands=(YES, UNKNOWN, UNKNOWN)))
    assert (found.decision, found.option_id) == ("not-enough-evidence", "owned")
    assert "test first" in found.headline


def test_nothing_is_said_to_move_while_the_odds_are_a_toss_up():
    found = judge(evidence(API, candidate("rented", 300_000.0, beats=0.5)))
    assert {t.verdict for t in found.by_type} == {"stay"}


def test_not_enough_evidence_where_no_option_meets_every_constraint():
    blocked = candidate("rented", 1.0, obstacles=("needs 1.5 engineers to run it",))
    api = candidate("api", 2.0, obstacles=("leaves chat on the API, against a hard constraint",))
    found = judge(evidence(api, blocked))
    assert found.decision == "not-enough-evidence"
    assert "leaves chat on the API" in found.headline


# --- constraints before money ---------------------------------------------------------------------


def test_an_option_that_a_constraint_forbids_is_not_chosen_however_cheap():
    forbidden = candidate("managed", 1.0, obstacles=("chat may not go to a third party",))
    found = judge(evidence(API, forbidden, candidate("rented", 300_000.0)))
    assert found.option_id == "rented"
    (reason,) = [r for r in found.reasons if r.rule == "feasibility"]
    assert reason.text == "A managed platform is out: chat may not go to a third party."


def test_where_the_api_is_forbidden_the_verdict_says_what_control_costs():
    api = candidate("api", 360_000.0, obstacles=("leaves chat on the API",))
    demands = (Demand(stays_inside=True), YES, YES)
    found = judge(evidence(api, candidate("rented", 720_000.0, beats=0.1), demands=demands))
    assert found.decision == "self-host"
    assert found.headline == (
        "Self-host on rented GPUs: your constraints demand it, at $10.0k a month of present value "
        "above the API."
    )


def test_the_cheapest_on_average_is_taken_and_not_the_first():
    found = judge(evidence(API, candidate("owned", 400_000.0), candidate("rented", 300_000.0)))
    assert found.option_id == "rented"


# --- query types ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "best",
    [
        candidate("rented", 300_000.0),
        candidate("hybrid", 300_000.0, moved=("chat",), hosting="rented"),
        candidate("committed", 300_000.0),
        candidate("rented", 900_000.0, beats=0.1),
        candidate("rented", 300_000.0, beats=0.3),
    ],
    ids=["all move", "one moves", "committed", "stay", "toss-up"],
)
def test_a_type_of_unknown_quality_is_never_said_to_move(best):
    found = judge(evidence(API, best, demands=(UNKNOWN, YES, UNKNOWN)))
    for one in found.by_type:
        if one.replaceable == "unknown":
            assert one.verdict in {"stay", "test-first"}
            assert not re.search(r"moving it saves", " ".join(r.text for r in one.reasons))


def test_what_an_unknown_type_would_save_is_said_with_its_condition():
    found = judge(evidence(API, candidate("rented", 300_000.0), demands=(UNKNOWN, YES, YES)))
    (reason,) = found.by_type[0].reasons
    assert reason.text == (
        "chat: $900 a month on the API; moving it would save $400 a month if quality holds: "
        "test this first."
    )
    assert found.by_type[0].saving_usd_per_month == 400


def test_a_type_marked_not_replaceable_stays_and_quotes_its_evidence():
    hybrid = candidate("hybrid", 300_000.0, moved=("chat", "tagging"), hosting="rented")
    found = judge(evidence(API, hybrid, demands=(YES, NO, YES)))
    search = found.by_type[1]
    assert (search.verdict, search.saving_usd_per_month) == ("stay", 0.0)
    assert "legal wants this model" in search.reasons[0].text


def test_a_type_bound_to_leave_must_move():
    demands = (Demand(stays_inside=True), YES, YES)
    found = judge(evidence(API, candidate("rented", 300_000.0), demands=demands))
    assert found.by_type[0].verdict == "must-move"
    assert found.by_type[0].reasons[0].rule == "residency"


def test_a_type_outside_the_split_stays_for_its_price():
    hybrid = candidate("hybrid", 300_000.0, moved=("chat",), hosting="rented")
    found = judge(evidence(API, hybrid, in_split=("chat",)))
    assert [t.verdict for t in found.by_type] == ["move", "stay", "stay"]
    assert "$900 a month on the API; moving it would not pay" in found.by_type[1].reasons[0].text


# --- reasons --------------------------------------------------------------------------------------

SITUATIONS = {
    "stay": evidence(API, candidate("rented", 800_000.0, beats=0.2)),
    "stay, alone": evidence(API),
    "move": evidence(API, candidate("rented", 300_000.0)),
    "unproven": evidence(API, candidate("owned", 300_000.0), demands=(UNKNOWN, NO, YES)),
    "split": evidence(
        API,
        candidate("hybrid", 2e5, moved=("chat",), hosting="managed"),
        candidate("managed", 1.0, obstacles=("chat may not go there",)),
        demands=(Demand(custom_weights=True), UNKNOWN, NO),
        in_split=("chat",),
        flips_when=(),
    ),
    "latency": evidence(
        API, candidate("rented", 3e5), demands=(Demand("yes", ttft_p95_s=0.05), YES, YES)
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_every_reason_rests_on_a_number_or_a_name_and_says_what_flips_it(situation):
    found = judge(situation)
    reasons = [*found.reasons, *(r for t in found.by_type for r in t.reasons)]
    assert found.reasons
    assert all(t.reasons for t in found.by_type)
    for reason in reasons:
        named = any(t in reason.text for t in TYPES) or "platform" in reason.text
        assert re.search(r"\d", reason.text) or named, reason
        assert reason.rule
        assert reason.flips_when
        assert reason.text.endswith(".")


def test_the_money_reason_quotes_both_sums_and_the_odds():
    found = judge(evidence(API, candidate("rented", 1_230_000.0, beats=0.25)))
    (reason,) = [r for r in found.reasons if r.rule == "cost"]
    for part in ("$500k", "$1.23M", "36 months", "25% of the draws"):
        assert part in reason.text
    assert reason.flips_when == "the API price falls below 0.62 of today's"


def test_the_verdict_says_when_to_run_again():
    found = judge(evidence(API, candidate("rented", 800_000.0)))
    assert found.rerun.on == TODAY + dt.timedelta(days=RERUN_DAYS)
    assert found.rerun.triggers[0] == "the API price falls below 0.62 of today's"


def test_what_was_found_elsewhere_is_handed_on():
    found = judge(evidence(API))
    assert found.measure_next == ("benchmark the candidate",)
    assert (found.engines, found.engine_warnings) == (("engine A",), ("engine B is for one user",))
    assert found.left_out == ("taxes",)


def test_the_share_of_tokens_and_the_bill_of_each_type_are_kept():
    for one in judge(evidence(API)).by_type:
        assert one.tokens_share_frac == pytest.approx(1 / 3)
        assert one.api_usd_per_month == 900


# --- what falls short -----------------------------------------------------------------------------


def test_where_nothing_is_possible_the_constraints_are_the_reasons():
    api = candidate("api", 2.0, obstacles=("leaves chat on the API, against a hard constraint",))
    blocked = candidate("rented", 1.0, obstacles=("needs 1.5 engineers to run it",))
    demands = (Demand(stays_inside=True), YES, YES)
    found = judge(evidence(api, blocked, demands=demands))
    assert {r.rule for r in found.reasons} == {"residency", "feasibility"}


def test_a_proven_type_is_not_told_to_be_tested_where_the_api_is_kept():
    hybrid = candidate("hybrid", 600_000.0, moved=("chat",), hosting="managed", beats=0.3)
    found = judge(evidence(API, hybrid, in_split=("chat",)))
    assert found.decision == "stay"
    assert found.by_type[0].verdict == "stay"


def test_a_verdict_to_stay_promises_no_type_a_saving():
    hybrid = candidate("hybrid", 600_000.0, moved=("chat",), hosting="managed", beats=0.3)
    dearer = evidence(API, hybrid, in_split=("chat",), demands=(UNKNOWN, UNKNOWN, UNKNOWN))
    costs = tuple(
        dataclasses.replace(t, saving_usd_per_month=-50.0) for t in dearer.type_costs("hybrid")
    )
    found = judge(dataclasses.replace(dearer, type_costs=lambda _: costs))
    assert "would save $-50" not in found.by_type[0].reasons[0].text
    assert "would save" not in found.by_type[0].reasons[0].text
