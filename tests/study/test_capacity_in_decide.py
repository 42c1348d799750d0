"""`decide` rests on simulated fleets: their size, their error, and what they cannot do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from weighbridge.capacity.slo import parse_slo
from weighbridge.catalog.facts import load_catalog
from weighbridge.study import simulated_fleet
from weighbridge.study.capacity_model import Log, simulation
from weighbridge.study.decide import Run, decide
from weighbridge.study.ladder import Bounds
from weighbridge.study.machine_choice import Slack, _weighed
from weighbridge.study.measured import open_facts
from weighbridge.study.pose import pose
from weighbridge.study.result import Study
from weighbridge.study.scenario import parse_scenario
from weighbridge.study.traffic import from_scenario
from weighbridge.units import InputError

AS_OF = dt.date(2026, 11, 21)
FEW = Run(seed=3, n_draws=1024, as_of=AS_OF, with_surface=False)
STATED = """
monthly_requests: 6000000
tokens_per_request: 1200
price: {input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, source: made for the test}
candidate: llama-3.1-8b
gpu: h100-sxm
slo: ttft_p95=1s,tpot_p95=60ms
query_types: [{replaceable: 'yes', evidence: made for the test}]
"""
LIGHT = STATED.replace("6000000", "1000000")
IMPOSSIBLE = STATED.replace("ttft_p95=1s", "ttft_p95=1ms")


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """A few requests: what is tested here does not hang on their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated_fleet, "bounds_of", lambda *_: Bounds(60, 180, compiled=False))
        yield


@cache
def study(text: str) -> Study:
    return decide(parse_scenario(text), None, FEW)


def assumption(found: Study, name: str):
    return next(a for a in found.assumptions if a.name == name)


def test_the_capacity_section_is_of_the_fleet_that_the_options_keep():
    found = study(STATED)
    capacity = found.capacity
    assert capacity is not None
    kept = found.option(capacity.option_id).fleet
    assert kept is not None
    assert capacity.basis == "roofline"
    assert capacity.deployment in kept.throughput_basis
    # At the first live month traffic is a percent or two above today's.
    assert capacity.n_replicas.p10 <= kept.n_replicas_by_month[-1]
    today = int(np.argmin(np.abs(capacity.demand_ratio - 1)))
    assert capacity.n_replicas_by_demand.p50[today] == pytest.approx(capacity.n_replicas.p50)


def test_targets_are_met_and_told_with_what_was_reached():
    capacity = study(STATED).capacity
    assert capacity is not None
    assert capacity.slo == "ttft_p95=1s,tpot_p95=60ms"
    assert [row.target for row in capacity.latencies] == ["ttft_p95", "tpot_p95"]
    assert all(0 < row.reached_s <= row.limit_s for row in capacity.latencies)


def test_reserved_tokens_cost_the_full_load_price_over_utilisation():
    capacity = study(STATED).capacity
    assert capacity is not None
    ratio = capacity.full_load_usd_per_mtok.p50 / capacity.reserved_usd_per_mtok.p50
    assert ratio == pytest.approx(capacity.utilization_frac.p50, rel=0.25)
    assert 0 < capacity.utilization_frac.p90 < 1


def test_the_error_of_the_simulation_is_among_the_draws():
    free = study(STATED)
    error = assumption(free, "capacity_error_ratio")
    assert error.origin == "catalog"
    assert error.p10 < 1 < error.p90
    known = study(STATED + "assumptions: {capacity_error_ratio: 1}\n")
    assert free.capacity is not None
    assert known.capacity is not None
    ours, theirs = free.capacity.n_replicas_by_demand, known.capacity.n_replicas_by_demand
    assert ours.p10[-1] < ours.p50[-1] < ours.p90[-1]  # at five times the traffic
    assert np.array_equal(theirs.p10, theirs.p90)
    assert "capacity_error_ratio" in {bar.input for bar in free.tornado}


def test_nothing_that_the_simulation_holds_moves_the_answer_again():
    inputs = {bar.input for bar in study(STATED).tornado}
    inside = {"within_hour_peak_ratio", "throughput_shortfall_frac", "input_token_work_ratio"}
    assert not inside & inputs
    assert "peak_to_mean_ratio" in inputs  # how far the true peak is from the one simulated


def test_a_target_that_no_size_meets_rules_fleets_out_and_says_the_best_there_is():
    found = study(IMPOSSIBLE)
    assert found.option("api").feasible
    for name in ("managed", "rented", "owned"):
        option = found.option(name)
        assert not option.feasible
        assert "ttft_p95 is" in option.infeasible_because[0]
        assert "at best, with a replica for each request alone" in option.infeasible_because[0]
    capacity = found.capacity
    assert capacity is not None
    assert "The nearest is Llama 3.1 8B" in capacity.unmet
    assert capacity.latencies == ()
    assert found.verdict.option_id == "api"


def test_a_tighter_target_never_needs_fewer_gpus():
    loose = study(LIGHT.replace("ttft_p95=1s", "ttft_p95=20s")).capacity
    tight = study(LIGHT.replace("ttft_p95=1s", "ttft_p95=300ms")).capacity
    assert loose is not None
    assert tight is not None
    gpus = [c.n_replicas.p50 * c.n_gpus_per_replica for c in (loose, tight)]
    assert gpus[0] <= gpus[1]


def test_a_stated_rate_stands_in_for_the_simulation():
    text = STATED.replace(
        "slo: ttft_p95=1s,tpot_p95=60ms", "throughput: {output_tokens_per_s: 900}"
    )
    capacity = study(text).capacity
    assert capacity is not None
    assert (capacity.basis, capacity.slo, capacity.latencies) == ("stated", "", ())
    assert assumption(study(text), "capacity_error_ratio").p90 == 1.0
    assert assumption(study(text), "replica_output_tokens_per_s").p50 == 900
    assert np.all(np.diff(capacity.n_replicas_by_demand.p50) >= 0)


def test_prompts_longer_than_the_model_takes_rule_it_out():
    text = STATED.replace("tokens_per_request: 1200", "tokens_per_request: 200000")
    found = study(text.replace("6000000", "20000"))
    assert not found.option("rented").feasible
    assert "longer than the" in found.option("rented").infeasible_because[0]


def test_where_nothing_may_move_nothing_is_simulated():
    found = study(STATED.replace("replaceable: 'yes'", "replaceable: 'no'"))
    assert found.capacity is None


def test_a_candidate_that_fits_on_no_gpu_is_an_error_that_says_what_would():
    text = STATED.replace("gpu: h100-sxm", "gpu: a10g").replace("llama-3.1-8b", "llama-3.1-405b")
    with pytest.raises(InputError, match="needs") as fault:
        study(text)
    assert "use" in fault.value.mend or "choose" in fault.value.mend


def test_the_chosen_deployment_is_the_cheapest_of_all_simulated_one_by_one():
    scenario = parse_scenario(STATED)
    facts = open_facts(scenario, AS_OF)
    traffic = from_scenario(scenario, facts.book, AS_OF, "s")
    found = simulation(scenario, load_catalog(), traffic, "s", Log())
    assert found is not None
    slack = Slack(0.2, 1.0)
    every = [_weighed(bench, slack) for bench in found.choice.benches]
    cheapest = min(every, key=lambda w: w.usd_per_hour)
    assert cheapest.bench.machine.words == found.choice.fleet.machine.words
    assert found.slo == parse_slo("ttft_p95=1s,tpot_p95=60ms")


def test_the_same_scenario_is_simulated_the_same_each_time():
    scenario = parse_scenario(LIGHT)
    curves = [
        pose(scenario, None, open_facts(scenario, AS_OF), "s").problem.settings.sizing.capacity
        for _ in range(2)
    ]
    assert curves[0] is not None
    assert curves[1] is not None
    assert np.array_equal(curves[0].demand_ratio, curves[1].demand_ratio)
