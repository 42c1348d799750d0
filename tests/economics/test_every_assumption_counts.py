"""No row of the assumptions is read and ignored: each one changes an answer somewhere."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import weighbridge
from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.capacity_curve import CapacityCurve, TypeWork
from weighbridge.economics.fleet import Sizing
from weighbridge.economics.options import Commitment, Option, Settings, memo_lines
from weighbridge.economics.views import cancellation_usd, commitments_usd, profit_and_loss_usd
from weighbridge.economics.workload import QueryType

ROWS = load_assumptions()
USED_BY_THE_STUDY = {  # in no cost line: in the cost per accepted answer, in made traffic
    "api_acceptance_frac": "study/options.py",
    "candidate_acceptance_frac": "study/options.py",
    "length_p90_to_median_ratio": "study/capacity_model.py",
}
OF_SIZING = {  # of `weighbridge size`, which simulates; no cost of a comparison hangs on them
    "spot_interruptions_per_replica_month",
    "spot_restart_hours",
    "replica_start_up_s",
}
OPTIONS = (
    Option("api", "api", ()),
    Option("committed", "committed", ()),
    Option("managed", "managed", (0, 1)),
    Option("rented", "rented", (0, 1)),
    Option("owned", "owned", (0, 1)),
    Option("hybrid", "rented", (1,)),
)
SWITCHED_ON = {  # so that what hangs on them is seen
    "batch_eligible_frac": 0.2,
    "api_credits_usd": 1000.0,
    "api_commitment_usd_per_year": 300_000.0,
    "reserved_frac": 0.3,
    "spot_frac": 0.3,
    "compliance_audits_per_year": 1.0,
    "training_usd": 1000.0,
    "reserved_term_months": 6.0,
    "reference_input_per_output_ratio": 2.0,
}


def switched_on():
    medians = {name: 1.0 if row.event else row.p50 for name, row in ROWS.items()}
    return {**medians, **SWITCHED_ON}


def types(rhythm):
    hours = 1.0 + np.arange(168.0) % 24 if rhythm else None
    second = hours if hours is None else hours[::-1].copy()
    return (
        QueryType("a", 1e6, 8e8, 3e8, 3e8, 9000.0, hours, hours),
        QueryType("b", 1e6, 5e8, 9e8, 2e8, 7000.0, second, hours),
    )


def frames():
    """Structures of the comparison; some rows speak only in one of them."""
    for basis, rhythm, whole in itertools.product(("fte", "hours"), (False, True), (False, True)):
        offer = Commitment(30.0, 3e5, 3e4, 12)
        yield {"types": types(rhythm), "settings": Settings(30, Sizing(whole), basis, offer)}
    for rhythm in (False, True):
        sizing = Sizing(whole_replicas=False, capacity=simulated())
        offer = Commitment(30.0, 3e5, 3e4, 12)
        yield {"types": types(rhythm), "settings": Settings(30, sizing, "fte", offer)}


def simulated():
    work = {name: TypeWork(0.001, 0.01) for name in "ab"}
    return CapacityCurve(np.array([0.3, 1.0]), np.array([1.0, 3.0]), 0.7, 1e7, 3.0, work)


def everything_that_comes_out(place):
    out = []
    case = place.case
    for option in OPTIONS:
        lines = place.lines(option)
        out += [np.broadcast_to(line.cash_usd(), (30,)) for line in lines]
        out += [np.broadcast_to(memo.cash_usd(), (30,)) for memo in memo_lines(case, option)]
        out.append(profit_and_loss_usd(lines, 48, 30))
        out.append(commitments_usd(case, lines))
        out.append(cancellation_usd(case, option, lines))
    out.append(place.problem.discount_factors)
    return np.stack(out)


def another_value(row, now):
    """A different value inside the bounds of the row's meaning."""
    if row.event:
        return 0.0
    wanted = now * 1.6 + (0.3 if now == 0 else 0.0)
    if row.fixed:
        wanted = now + 5.0
    if row.max is not None and wanted > row.max:
        wanted = max(row.min or 0.0, now * 0.6)
    return wanted


@pytest.mark.parametrize("name", [n for n in ROWS if n not in OF_SIZING | USED_BY_THE_STUDY.keys()])
def test_changing_the_row_changes_an_answer(world, name):
    changed = {**switched_on(), name: another_value(ROWS[name], switched_on()[name])}
    assert changed[name] != switched_on()[name]
    for frame in frames():
        before = everything_that_comes_out(world(**frame, **switched_on()))
        after = everything_that_comes_out(world(**frame, **changed))
        if before.shape != after.shape or not np.allclose(before, after, rtol=1e-9):
            return
    pytest.fail(f"{name} is read and ignored")


@pytest.mark.parametrize(("name", "path"), USED_BY_THE_STUDY.items())
def test_rows_that_no_cost_uses_are_read_where_we_say(name, path):
    source = Path(weighbridge.__file__).parent / path
    assert f'"{name}"' in source.read_text("utf-8")
