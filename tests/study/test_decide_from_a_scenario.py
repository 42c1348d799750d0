"""The study from a stated scenario: consistent with itself, reproducible, and honest about odds."""

from __future__ import annotations

import datetime as dt

import msgspec
import numpy as np
import pytest

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.study.decide import Run, decide
from weighbridge.study.result import Study
from weighbridge.study.scenario import Scenario, parse_scenario
from weighbridge.units import InputError

AS_OF = dt.date(2026, 11, 21)
FEW = Run(seed=3, n_draws=2048, as_of=AS_OF)

SCENARIO = """
name: Test
monthly_spend_usd: 47000
price: {input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, source: made for the test}
gpu: h100-sxm
throughput: {output_tokens_per_s: 2000, n_gpus: 2, source: made for the test}
assumptions: {gpu_purchase_usd_per_gpu: 30000, gpu_usd_per_gpu_hour: 2.5,
              hyperscaler_usd_per_gpu_hour: 6}
"""


@pytest.fixture(scope="module")
def study() -> Study:
    return decide(parse_scenario(SCENARIO), None, FEW)


def test_every_option_is_there_and_the_api_comes_first(study: Study) -> None:
    assert [o.id for o in study.options] == ["api", "managed", "rented", "owned"]


def test_odds_sum_to_one_and_regret_is_never_negative(study: Study) -> None:
    assert sum(o.cheapest_probability for o in study.options) == pytest.approx(1.0)
    assert min(o.expected_regret_usd for o in study.options) >= 0


def test_the_option_with_least_mean_cost_has_least_regret(study: Study) -> None:
    by_cost = min(study.options, key=lambda o: o.npv_usd.mean)
    by_regret = min(study.options, key=lambda o: o.expected_regret_usd)
    assert by_cost.id == by_regret.id


def test_bands_are_in_order_in_every_month(study: Study) -> None:
    for o in study.options:
        for series in (o.cash_usd_by_month, o.cumulative_usd_by_month):
            assert np.all(series.p10 <= series.p50)
            assert np.all(series.p50 <= series.p90)


def test_monthly_spend_is_the_first_months_api_bill(study: Study) -> None:
    tokens = next(line for line in study.option("api").lines if line.name == "API tokens")
    assert tokens.usd_by_month[0] == pytest.approx(47_000)
    assert study.monthly_api_usd == pytest.approx(47_000)
    blended = 0.75 * 2.5 + 0.25 * 10
    assert study.monthly_tokens == pytest.approx(47_000 / blended * 1e6)


def test_full_side_of_the_hidden_cost_statement_is_the_options_own_cost(study: Study) -> None:
    naive = study.naive
    assert naive is not None
    option = study.option(naive.option_id)
    central = sum(line.total_usd for line in option.lines) / study.horizon_months
    assert naive.full_option_usd_per_month == pytest.approx(central)
    assert sum(s.full_usd_per_month for s in naive.steps) == pytest.approx(central)
    assert sum(s.naive_usd_per_month for s in naive.steps) == pytest.approx(
        naive.naive_option_usd_per_month
    )


def test_the_same_seed_gives_the_same_study_and_another_seed_does_not(study: Study) -> None:
    again = decide(parse_scenario(SCENARIO), None, FEW)
    other = decide(parse_scenario(SCENARIO), None, Run(seed=4, n_draws=2048, as_of=AS_OF))
    assert again.option("rented").npv_usd == study.option("rented").npv_usd
    assert again.verdict == study.verdict
    assert other.option("rented").npv_usd != study.option("rented").npv_usd


def test_a_stated_spend_is_believed_and_its_tokens_are_not(study: Study) -> None:
    used = {a.name: a for a in study.assumptions}
    assert used["demand_multiplier_ratio"].p10 == used["demand_multiplier_ratio"].p90 == 1.0
    assert used["tokens_behind_spend_ratio"].p10 < 1 < used["tokens_behind_spend_ratio"].p90


def test_all_traffic_is_unknown_and_so_never_said_to_move(study: Study) -> None:
    assert {t.verdict for t in study.verdict.by_type} <= {"stay", "test-first"}
    assert study.verdict.decision in {"stay", "not-enough-evidence"}


def test_a_proven_type_moves_when_the_platform_is_far_cheaper() -> None:
    text = SCENARIO.replace("47000", "900000") + "query_types: [{replaceable: yes, evidence: t}]\n"
    study = decide(parse_scenario(text.replace("yes", "'yes'")), None, FEW)
    assert study.verdict.decision in {"managed", "self-host"}
    assert study.verdict.by_type[0].verdict == "move"


def test_data_that_must_stay_inside_rules_out_api_and_platform_and_has_its_price() -> None:
    text = SCENARIO + "query_types: [{stays_inside: true, replaceable: 'yes'}]\n"
    study = decide(parse_scenario(text), None, FEW)
    assert not study.option("api").feasible
    assert not study.option("managed").feasible
    assert study.verdict.option_id in {"rented", "owned"}
    assert study.control_prices[0].premium_usd > 0
    used = {a.name: a for a in study.assumptions}
    assert used["compliance_audits_per_year"].p50 == 1.0


def test_no_people_and_no_hiring_rules_out_a_fleet_of_ones_own() -> None:
    text = SCENARIO + "mlops_fte: 0\ncan_hire: false\n"
    study = decide(parse_scenario(text), None, FEW)
    assert not study.option("rented").feasible
    assert study.option("managed").feasible


def test_surface_at_todays_point_agrees_with_the_simulation() -> None:
    study = decide(parse_scenario(SCENARIO), None, Run(seed=1, n_draws=4096, as_of=AS_OF))
    surface = study.surface
    assert surface is not None
    column = int(np.argmin(np.abs(np.log(surface.x / surface.here_x))))
    row = int(np.argmin(np.abs(np.log(surface.y / surface.here_y))))
    best = min(o.npv_usd.mean for o in study.options if o.id != "api")
    saving = study.option("api").npv_usd.mean - best
    # The nearest cells lie 5 % off today's point on both axes, and hold 256 draws.
    assert surface.saving_usd[row, column] == pytest.approx(
        saving, abs=0.15 * study.option("api").npv_usd.mean
    )


def test_value_of_information_never_exceeds_the_regret_of_choosing_now(study: Study) -> None:
    least = min(o.expected_regret_usd for o in study.options)
    assert all(0 < i.value_usd <= least * 1.001 for i in study.information)


def test_nothing_to_go_by_is_an_error_that_says_what_to_give() -> None:
    with pytest.raises(InputError, match="model: is missing"):
        decide(Scenario(), None, FEW)
    with pytest.raises(InputError, match="monthly_spend_usd: is missing, and there is no log"):
        decide(parse_scenario("model: gpt-4o"), None, FEW)
    with pytest.raises(InputError, match="no known price"):
        decide(parse_scenario("{model: no-such-model, monthly_spend_usd: 5}"), None, FEW)


def test_a_rule_about_a_feature_needs_a_log() -> None:
    text = SCENARIO + "query_types: [{match: {feature: chat}, replaceable: 'no'}]\n"
    with pytest.raises(InputError, match="there is no log to find them in"):
        decide(parse_scenario(text), None, FEW)


def test_zeroing_every_cost_of_self_hosting_leaves_the_api_lines_only() -> None:
    zero = {
        name: 0
        for name, row in load_assumptions().items()
        if "usd" in name and (row.min or 0) <= 0 and not row.event
    }
    text = SCENARIO.split("assumptions", maxsplit=1)[0]
    scenario = parse_scenario(text)
    scenario = msgspec.structs.replace(scenario, assumptions=zero)
    study = decide(scenario, None, FEW)
    left = {line.name for line in study.option("rented").lines}
    assert left == {"API tokens until go-live"}


def test_yes_no_and_on_are_words_and_not_booleans() -> None:
    text = (
        "query_types: [{replaceable: yes}, {replaceable: no}]\ncan_hire: false\n"
        "currency: {code: EUR, per_usd: 0.9, on: 2026-11-20, source: s}\n"
    )
    scenario = parse_scenario(text)
    assert [r.replaceable for r in scenario.query_types] == ["yes", "no"]
    assert scenario.can_hire is False
    assert scenario.currency is not None
    assert scenario.currency.on == dt.date(2026, 11, 20)


def test_committed_throughput_from_the_catalog_is_an_option_with_its_liability() -> None:
    text = SCENARIO.replace("assumptions", "committed: {offer: azure-ptu-gpt-4o-12m}\nassumptions")
    text += "options: [api, committed, rented]\n"
    study = decide(parse_scenario(text), None, FEW)
    committed = study.option("committed")
    assert [line.name for line in committed.lines if line.category == "tokens"] == [
        "committed throughput"
    ]
    assert committed.commitment_liability_usd_by_month[0] > 0
    assert committed.commitment_liability_usd_by_month[11] == 0  # the first term has run out
