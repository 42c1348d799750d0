"""Published rules of thumb: each is computed, listed once, and comes out as its arithmetic says."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.economics.breakeven import along_ratio
from weighbridge.study.pose import pose
from weighbridge.study.rule_file import (
    Assumed,
    Compute,
    MeasureName,
    Published,
    Rule,
    Unit,
    load_rule_files,
    priced_on,
    read_rule_file,
)
from weighbridge.study.rule_measures import MEASURES
from weighbridge.study.rule_world import NEEDS, WORLD_INPUTS, check_inputs, described, facts_of
from weighbridge.study.rules_of_thumb import (
    VERDICTS,
    Computed,
    run_rule,
    verdict_of,
)
from weighbridge.study.scenario import Scenario, Throughput
from weighbridge.units import InputError

AS_OF = dt.date(2026, 11, 21)
LEAST_COMPUTED = 40
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
SALARY_USD = 250_000.0


@pytest.fixture(scope="module")
def by_id(recomputed):
    return {result.rule.id: result for result in recomputed.results}


@pytest.fixture(scope="module")
def facts():
    return facts_of(AS_OF)


def ends(by_id, rule):
    computed = by_id[rule].computed
    return computed.low, computed.high


def rule_of(compute, published=None, **fields):
    published = published or Published(unit="usd", value=1.0)
    fields = {"id": "r", "claim": "c", "figures": ("1",), **fields}
    return Rule(compute=compute, published=published, **fields)


# what is there


def test_every_claim_has_a_verdict_and_at_least_forty_are_computed(recomputed):
    verdicts = Counter(result.verdict for result in recomputed.results)
    assert set(verdicts) == set(VERDICTS)
    assert verdicts.total() - verdicts["not derivable"] >= LEAST_COMPUTED
    for result in recomputed.results:
        assert (result.computed is None) == (result.verdict == "not derivable")
        assert (result.computed is None) == bool(result.rule.missing)
        if result.computed is not None:
            assert result.computed.low <= result.computed.high, result.rule.id


def spans_of(article, text):
    """(start, end, who) of every place of every figure; figures that are nowhere."""
    owners = [(rule.id, rule.figures) for rule in article.rules]
    owners += [(f"no claim: {row.because}", row.figures) for row in article.no_claims]
    spans, lost = [], []
    for who, figures in owners:
        for figure in figures:
            hits = [m.start() for m in re.finditer(re.escape(figure), text)]
            spans += [(start, start + len(figure), who) for start in hits]
            lost += [] if hits else [f"{who}: {figure!r}"]
    return spans, lost


def test_every_figure_of_every_article_is_listed_exactly_once(checkout: Path):
    folder = checkout.parent / "shared" / "background"
    if not folder.is_dir():
        pytest.skip("no ../shared/background beside this checkout")
    faults, n_figures = [], 0
    for article in load_rule_files(checkout / "rules_of_thumb"):
        if not article.background:
            continue
        lines = (folder / article.background).read_text("utf-8").splitlines()
        text = "\n".join(line for line in lines if not line.startswith("- http"))
        spans, lost = spans_of(article, text)
        faults += [f"{article.short}: not in the article: {figure}" for figure in lost]
        for hit in NUMBER.finditer(text):
            n_figures += 1
            whose = {who for start, end, who in spans if start < hit.end() and hit.start() < end}
            if len(whose) != 1:
                place = text[max(0, hit.start() - 25) : hit.end() + 25]
                faults.append(f"{article.short}: {len(whose)} rules claim {place!r}: {whose}")
    assert not faults, "\n".join(faults)
    assert n_figures > 300


def test_nothing_is_stated_that_no_computation_can_use(recomputed):
    for result in recomputed.results:
        rule = result.rule
        named = {*rule.values(), *rule.against()}
        assert all(described(name) for name in named), rule.id


def test_every_input_of_the_world_is_used_by_some_rule_or_drawing(checkout, recomputed):
    used = {n for r in recomputed.results for n in (*r.rule.values(), *r.rule.against())}
    for file in load_rule_files(checkout / "rules_of_thumb"):
        used |= {name for drawn in (*file.curves, *file.thresholds) for name in drawn.inputs}
    assert set(WORLD_INPUTS) <= used


def test_every_measure_and_unit_is_used_by_some_rule(recomputed):
    computed = [r.rule for r in recomputed.results if r.computed is not None]
    assert (
        {rule.compute.measure for rule in computed} == set(MEASURES) == set(get_args(MeasureName))
    )
    assert {rule.published.unit for rule in computed} == set(get_args(Unit))


# what comes out


@pytest.mark.parametrize(
    ("row", "requests", "usd_per_request"),
    [(5, 260_000, 0.0055), (25, 1.3e6, 0.0011), (60, 3.1e6, 0.00046), (90, 4.6e6, 0.00031)],
)
def test_table_of_ai_tldr_comes_out_within_two_percent(by_id, row, requests, usd_per_request):
    served, cost = by_id[f"tldr-served-{row}"], by_id[f"tldr-cost-{row}"]
    assert served.computed.low == served.computed.high == pytest.approx(requests, rel=0.02)
    assert cost.computed.low == cost.computed.high == pytest.approx(usd_per_request, rel=0.02)
    assert (served.verdict, cost.verdict) == ("holds", "holds")


MONTH_USD = SALARY_USD / 12
BY_HAND = {  # done on paper, apart from the engine
    "tldr-break-even-utilisation": (1440 / (2 * 720 * 3600 * 0.00125),) * 2,
    "tldr-million-requests": (1440 / 0.00125,) * 2,
    "tldr-standby-and-staff": (  # beyond what one GPU serves, so that it grows with the traffic
        (1440 + 0.2 * MONTH_USD) / (0.00125 - 1440 / (2 * 720 * 3600)),
    )
    * 2,
    "bvb-staff-share-of-engineer": (0.2 * MONTH_USD, 0.3 * MONTH_USD),
    "bvb-wrapper": (2 * SALARY_USD / 52, 4 * SALARY_USD / 52),
    "bvb-hardware-share": (15 / 21, 40 / 43),
    "bvb-hybrid-40-70": (1 - (2000 + 5000) / 10_000, 1 - (10_000 + 1500) / 50_000),
    "bvb-fintech-8k": (75 * 1500 + 47_000 * 5 / 605, 75 * 5000 + 47_000 * 5 / 605),
    "bvb-scale-stage": (100 * (0.75 * 2.5 + 0.25 * 10),) * 2,
    "bvb-34-months": (math.inf, math.inf),
    "bvb-maintenance-hours": (8 * 12 / 2080 + 4 / 260, 20 * 12 / 2080 + 12 / 260),
    "az-5k-to-20k": (5000 * 0.7 / 0.4, 5000 * 0.8 / 0.2),
    "az-peaks-utilisation": (0.1, 0.2),
    "az-side-project": (20.0, 25.0),
    "az-operations": (MONTH_USD, 1.25 * MONTH_USD),
    "az-steady": (8000 * 1.25 + 12_000, 12_000 * 1.25 + 15_000),
    "az-first-months": (8000 * 1.25 + 2 * MONTH_USD, 12_000 * 1.25 + 2 * MONTH_USD),
    "az-break-even-10b": (22_000 / 2 * 1e6, 30_000 / 1 * 1e6),
    "az-break-even-5-10b": (math.inf, math.inf),
    "az-unit-cost": ((10 * 10_000 + 12_000) / 10_000, (10 * 15_000 + 15_000) / 10_000),
    "az-platform-from-500m": (4000 / 2 * 1e6, 6000 / 1 * 1e6),
    "az-optimisation-worth": (
        8000 * 0.01 * 365 / 12 * (1 - 1 / 1.3),
        12_000 * 0.01 * 365 / 12 * (1 - 1 / 1.4),
    ),
    "az-stabilising": (6 * 7 * 12 / 365, 8 * 7 * 12 / 365),
}


@pytest.mark.parametrize("rule", BY_HAND)
def test_engine_makes_of_the_inputs_what_paper_makes_of_them(by_id, rule):
    assert ends(by_id, rule) == pytest.approx(BY_HAND[rule], rel=1e-4)


def test_contradictions_come_out_as_the_arithmetic_says(by_id):
    for rule in ("bvb-hardware-share", "bvb-wins-3-5x", "az-break-even-5-10b", "az-platform-net"):
        assert by_id[rule].verdict == "fails", rule


def test_threshold_in_the_full_model_is_that_of_a_study_of_the_scenario(by_id, facts):
    scenario = Scenario(
        model="gpt-4o",
        monthly_tokens=1e9,
        gpu="h100-sxm",
        throughput=Throughput(
            output_tokens_per_s=1500, input_tokens=750, output_tokens=250, n_gpus=1
        ),
        assumptions={"api_overhead_frac": 0},
        mlops_fte=0,
    )
    problem = pose(scenario, None, facts, "scenario").problem
    rented = next(o for o in problem.options if o.id == "rented")
    ratio = along_ratio(problem, rented, "demand_multiplier_ratio").first
    bill_usd = problem.workload.whole.api_usd_per_month
    assert ends(by_id, "bvb-self-host-from-50k") == pytest.approx((ratio * bill_usd,) * 2, rel=1e-6)


def test_every_combination_of_the_ends_of_ranges_is_computed(facts):
    ranges = {"upkeep_fte": [0.5, 1.0], "fte_usd_per_year": [120_000, 240_000]}
    compute = Compute(measure="cost", categories=("on-call and upkeep",))
    crossed = run_rule(rule_of(compute, inputs=ranges), facts).computed
    assert (crossed.low, crossed.high) == pytest.approx((5000, 20_000))
    ratio = Compute(measure="cost", against={"upkeep_fte": [0.5, 1.0]}, express="ratio")
    free = run_rule(rule_of(ratio, inputs=ranges), facts).computed
    assert (free.low, free.high) == pytest.approx((0.5, 2.0))


# verdicts


@pytest.mark.parametrize(
    ("computed", "verdict"),
    [
        ((100, 110), "holds"),
        ((95, 115.5), "holds"),
        ((94.9, 110), "roughly"),
        ((75, 137.5), "roughly"),
        ((74.9, 110), "fails"),
        ((100, math.inf), "fails"),
    ],
)
def test_verdict_follows_the_farther_end(computed, verdict):
    published = Published(unit="usd", low=100, high=110)
    assert verdict_of(Computed(*computed), published) == verdict


def test_claim_of_one_end_leaves_the_other_open():
    at_least = Published(unit="tokens_per_month", low=1e10)
    assert verdict_of(Computed(1e10, math.inf), at_least) == "holds"
    assert verdict_of(Computed(0, 1e12), at_least) == "fails"
    assert verdict_of(Computed(0.2, 0.9), Published(unit="ratio", high=1)) == "holds"


@given(st.floats(1, 1e6), st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_wider_result_is_never_judged_milder(low, span, down, up):
    published = Published(unit="usd", low=1000.0, high=2000.0)
    narrow = Computed(low, low * (1 + span))
    wide = Computed(narrow.low * (1 - down), narrow.high * (1 + up))
    rank = VERDICTS.index
    assert rank(verdict_of(wide, published)) >= rank(verdict_of(narrow, published))


# faults in a file of rules

HEAD = "title: T\nshort: S\nbackground: ''\norder: 1\nrules:\n"
FAULTS = {
    "id: a, claim: c, figures: ['1'], missing: x, colour: red": (
        "rules.yaml: rules[0]: Object contains unknown field `colour`; "
        "see rules_of_thumb/README.md for fields"
    ),
    "id: a, claim: c, figures: [], missing: x": (
        "rules.yaml: a: names no figures; give them as the article prints them"
    ),
    "id: a, claim: c, figures: ['1']": (
        "rules.yaml: a: must be computed or not derivable; give either compute and published, or "
        "missing: the input that nobody states"
    ),
    "id: a, claim: c, figures: ['1'], compute: {measure: cost}": (
        "rules.yaml: a.published: is missing; give the figure in print"
    ),
    "id: a, claim: c, figures: ['1'], compute: {measure: cost}, published: {unit: usd}": (
        "rules.yaml: a.published: names no figure; give value, or low and high"
    ),
    "id: a, claim: c, figures: ['1'], compute: {measure: cost}, "
    "published: {unit: usd, low: 2, high: 1}": (
        "rules.yaml: a.published: runs from 2.0 to 1.0; put the lower end first"
    ),
    "id: a, claim: c, figures: ['1'], compute: {measure: cost, as: ratio}, "
    "published: {unit: ratio, value: 1}": (
        "rules.yaml: a.compute.against: is missing with as: ratio; give against: where as: is "
        "other than value, or measure: is equal_cost; only there"
    ),
    "id: a, claim: c, figures: ['1'], compute: {measure: break_even}, "
    "published: {unit: usd, value: 1}": (
        "rules.yaml: a.compute.along: is ''; name the input along which break_even or equal_cost "
        "looks, and only there"
    ),
    "id: a, claim: c, figures: ['1'], inputs: {n_gpu: 1}, compute: {measure: cost}, "
    "published: {unit: usd, value: 1}": (
        "rules.yaml, a.n_gpu: assumptions.n_gpu: is no assumption of the model; see "
        "`weighbridge init --full` for all"
    ),
    "id: a, claim: c, figures: ['1'], inputs: {upkeep_fte: 1, staff_usd_per_month: 1}, "
    "compute: {measure: cost}, published: {unit: usd, value: 1}": (
        "rules.yaml: a.staff_usd_per_month: is given beside upkeep_fte, and each makes the other; "
        "keep one of them"
    ),
    "id: a, claim: c, figures: ['1'], inputs: {upkeep_fte: [2, 1]}, "
    "compute: {measure: cost}, published: {unit: usd, value: 1}": (
        "rules.yaml: a.upkeep_fte: is (2, 1); give [low, high]"
    ),
    "id: a, claim: c, figures: ['1'], compute: {measure: payback}, "
    "published: {unit: usd, value: 1}": (
        "rules.yaml: a.published.unit: is usd; payback gives months"
    ),
    "id: a, claim: c, figures: ['1'], world: full, inputs: {utilization_frac: 0.5}, "
    "compute: {measure: cost}, published: {unit: usd, value: 1}": (
        "rules.yaml: a.utilization_frac: means nothing in the full world; state what a scenario "
        "can: assumptions, traffic, a price, a rate of one replica"
    ),
    "id: a, claim: c, figures: ['1'], inputs: {go_live_weeks: 4}, "
    "compute: {measure: deployment}, published: {unit: months, value: 1}": (
        "rules.yaml: a.go_live_weeks: is given alone; state deployment_months or deployment_weeks "
        "as well"
    ),
    "id: a, claim: c, figures: ['1'], inputs: {tokens_per_month: many}, "
    "compute: {measure: cost}, published: {unit: usd, value: 1}": (
        "rules.yaml: a.tokens_per_month: is 'many'; give a number or [low, high]"
    ),
}


@pytest.mark.parametrize("body", FAULTS)
def test_faulty_rule_is_told_with_file_field_and_mend(body):
    with pytest.raises(InputError) as told:
        read_rule_file(f"{HEAD}  - {{{body}}}\n", "rules.yaml")
    assert str(told.value).replace("\n  mend: ", "; ") == FAULTS[body]


def test_key_given_twice_is_refused():
    with pytest.raises(InputError, match="key 'id' is given twice"):
        read_rule_file(f"{HEAD}  - {{id: a, id: b, claim: c}}\n", "rules.yaml")


def test_stated_input_cannot_be_assumed_as_well():
    with pytest.raises(InputError, match="is stated and assumed"):
        read_rule_file(
            f"{HEAD}  - {{id: a, claim: c, figures: ['1'], missing: x, inputs: {{upkeep_fte: 1}}, "
            "assumed: {upkeep_fte: {value: 1, because: y}}}\n",
            "rules.yaml",
        )


def test_same_id_in_two_files_is_refused(tmp_path: Path):
    text = f"{HEAD}  - {{id: a, claim: c, figures: ['1'], missing: x}}\n"
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"one\.yaml has one of that id"):
        load_rule_files(tmp_path)


def test_folder_without_rules_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no rules"):
        load_rule_files(tmp_path)


def test_reader_must_be_sent_to_a_rule_that_is_there(tmp_path: Path):
    reader = "readers: [{you: y, rule: nowhere, then: t, command: weighbridge --help}]\n"
    (tmp_path / "a.yaml").write_text(HEAD.replace("rules:", "rules: []") + reader)
    with pytest.raises(InputError, match="names 'nowhere'"):
        load_rule_files(tmp_path)


def test_day_of_the_prices_is_stated_once(tmp_path: Path):
    (tmp_path / "a.yaml").write_text(HEAD.replace("rules:", "rules: []"))
    with pytest.raises(InputError, match="is stated 0 times"):
        priced_on(load_rule_files(tmp_path))


def test_model_without_a_price_is_told(facts):
    rule = rule_of(Compute(measure="api_price"), inputs={"model": "no-such-model"})
    with pytest.raises(InputError, match="no-such-model"):
        run_rule(rule, facts)


def test_assumed_value_counts_as_an_input(facts):
    compute = Compute(measure="cost", categories=("on-call and upkeep",))
    rule = rule_of(
        compute,
        inputs={"upkeep_fte": 0.5},
        assumed={"fte_usd_per_year": Assumed(value=240_000, because="round")},
    )
    assert run_rule(rule, facts).computed == Computed(10_000, 10_000)


def test_names_of_the_world_are_not_assumptions_of_the_model():
    for name in WORLD_INPUTS:
        value = "h100-sxm" if name in {"gpu", "model", "candidate"} else 1.0
        needed = dict.fromkeys(sorted(NEEDS.get(name, ()))[:1], 1.0)
        check_inputs({name: value, **needed}, "bare", "field", "file")
