"""What must hold for any traffic and any prices."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.cashflow import npv_usd, payback_month
from weighbridge.economics.distributions import Fixed
from weighbridge.economics.inputs import Beliefs
from weighbridge.economics.lines import cash_by_month, total_usd
from weighbridge.economics.options import Commitment, Option, Settings, option_lines
from weighbridge.economics.risk import Problem
from weighbridge.economics.views import cancellation_usd, commitments_usd
from weighbridge.economics.workload import QueryType, Workload

ROWS = load_assumptions()
MONTHS = 24
SETTINGS = Settings(MONTHS, commitment=Commitment(10.0, 1e5, 1e4, 12))
QUICK = settings(max_examples=12, deadline=None)

positive = st.floats(0.05, 20.0)
frac = st.floats(0.0, 1.0)
seeds = st.integers(0, 2**32 - 1)


def random_types(seed):
    rng = np.random.default_rng(seed)
    return tuple(
        QueryType(f"t{i}", *(rng.random(5) * [1e6, 5e9, 1e9, 1e9, 9000]), *(rng.random((2, 168))))
        for i in range(4)
    )


def random_values(seed):
    """Each input somewhere in its band; events at random."""
    rng = np.random.default_rng([seed, 7])

    def value(row):
        if row.event:
            return float(rng.random() < 0.5)
        return row.p50 if row.fixed else float(rng.uniform(row.p10, row.p90))

    return {name: value(row) for name, row in ROWS.items()}


def case(types, values):
    beliefs = Beliefs({name: Fixed(float(x)) for name, x in values.items()})
    problem = Problem(Workload(types), beliefs, SETTINGS, ())
    return problem.case(beliefs.central())


def cash(types, values, option):
    return cash_by_month(option_lines(case(types, values), option), (MONTHS,))


def options(n_types=4):
    everything = tuple(range(n_types))
    return {
        "api": Option("api", "api", ()),
        "committed": Option("committed", "committed", ()),
        "managed": Option("managed", "managed", everything),
        "rented": Option("rented", "rented", everything),
        "owned": Option("owned", "owned", everything),
        "hybrid": Option("hybrid", "rented", (0, 2)),
    }


each_option = pytest.mark.parametrize("option", options().values(), ids=options().keys())


@pytest.mark.parametrize(
    ("option_id", "name"),
    [
        ("rented", "gpu_usd_per_gpu_hour"),
        ("hybrid", "gpu_usd_per_gpu_hour"),
        ("managed", "hyperscaler_usd_per_gpu_hour"),
        ("owned", "electricity_usd_per_kwh"),
        ("owned", "gpu_purchase_usd_per_gpu"),
        ("committed", "api_price_ratio"),
        ("api", "api_overhead_frac"),
        ("rented", "fte_usd_per_year"),
        ("rented", "upkeep_fte"),
        ("managed", "verification_usd_per_type"),
        ("rented", "throughput_shortfall_frac"),
    ],
)
@QUICK
@given(seed=seeds, factor=st.floats(1.0, 1.8))
def test_a_dearer_input_never_makes_an_option_cheaper(option_id, name, seed, factor):
    values = random_values(seed)
    dearer = {**values, name: values[name] * factor}
    option, types = options()[option_id], random_types(seed)
    before, after = (cash(types, v, option).sum() for v in (values, dearer))
    assert after >= before * (1 - 1e-12)


@QUICK
@given(seed=seeds, ratio=positive)
def test_the_api_bill_is_linear_in_its_price(seed, ratio):
    option, types = options()["api"], random_types(seed)
    values = random_values(seed)

    def at(price):
        return cash(types, {**values, "api_price_ratio": price}, option)

    free = at(0.0)
    assert at(ratio) - free == pytest.approx(ratio * (at(1.0) - free), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("option_id", ["managed", "rented", "owned", "hybrid"])
@pytest.mark.parametrize("name", ["n_spare_replicas", "n_min_replicas", "headroom_frac"])
@QUICK
@given(seed=seeds, more=st.integers(1, 5))
def test_more_capacity_in_reserve_is_never_cheaper(option_id, name, seed, more):
    # resale above the cost of running would make it so, and no band says that
    values = random_values(seed)
    types, option = random_types(seed), options()[option_id]
    reserve = {**values, name: values[name] + more}
    assert cash(types, reserve, option).sum() >= cash(types, values, option).sum() * (1 - 1e-12)


@pytest.mark.parametrize("option_id", ["api", "committed", "managed", "rented", "hybrid"])
@QUICK
@given(seed=seeds)
def test_without_growth_or_price_paths_a_month_costs_what_the_last_did(option_id, seed):
    values = random_values(seed)
    still = {n: 0.0 for n, row in ROWS.items() if row.event}
    still |= {
        "demand_growth_frac_per_month": 0.0,
        "api_price_change_frac_per_year": 0.0,
        "gpu_price_change_frac_per_year": 0.0,
    }
    row = cash(random_types(seed), {**values, **still}, options()[option_id])
    settled = row[14:]  # 7 weeks of waiting and 8 months of deployment lie behind
    assert settled == pytest.approx(np.full(settled.shape, settled[0]), rel=1e-9)


@each_option
@QUICK
@given(seed=seeds, order=st.permutations(range(4)))
def test_the_order_of_query_types_means_nothing(option, seed, order):
    types, values = random_types(seed), random_values(seed)
    shuffled = tuple(types[i] for i in order)
    moved = tuple(order.index(i) for i in option.moved)
    again = Option(option.id, option.hosting, moved)
    assert cash(shuffled, values, again) == pytest.approx(cash(types, values, option), rel=1e-9)


@each_option
@QUICK
@given(seed=seeds)
def test_every_cost_is_finite_and_only_credits_and_resale_are_below_zero(option, seed):
    for line in option_lines(case(random_types(seed), random_values(seed)), option):
        row = line.cash_usd()
        assert np.all(np.isfinite(row)), line.name
        if line.name not in {"API credits", "resale of GPUs and servers"}:
            assert np.all(row >= 0), line.name


@each_option
@QUICK
@given(seed=seeds, rate=st.floats(0.001, 1.0))
def test_discounting_makes_costs_smaller_and_never_changes_their_sign(option, seed, rate):
    values = {**random_values(seed), "residual_value_frac": 0.0}
    row = cash(random_types(seed), values, option)
    assert 0 < npv_usd(row, rate) < row.sum()
    assert npv_usd(-row, rate) == pytest.approx(-npv_usd(row, rate))


@each_option
@QUICK
@given(seed=seeds)
def test_a_weighted_sum_of_lines_is_the_weighted_sum_of_months(option, seed):
    lines = option_lines(case(random_types(seed), random_values(seed)), option)
    weights = np.random.default_rng(seed).random(MONTHS)
    by_month = sum(np.broadcast_to(line.cash_usd(), (MONTHS,)) for line in lines)
    assert float(total_usd(lines, weights)) == pytest.approx(float(weights @ by_month))


@pytest.mark.parametrize("option_id", ["managed", "rented", "owned"])
@QUICK
@given(seed=seeds)
def test_giving_up_never_costs_less_than_what_is_owed(option_id, seed):
    place, option = case(random_types(seed), random_values(seed)), options()[option_id]
    lines = option_lines(place, option)
    owed = commitments_usd(place, lines)
    assert np.all(owed >= -1e-9)
    assert np.all(cancellation_usd(place, option, lines) >= owed - 1e-9)


@QUICK
@given(seed=seeds, share=frac)
def test_reserving_at_no_discount_never_costs_less_than_renting_by_the_hour(seed, share):
    """With no discount and no drift, how the fleet is bought changes no bill."""
    even = {
        **random_values(seed),
        "reserved_discount_frac": 0.0,
        "spot_frac": 0.0,
        "gpu_price_change_frac_per_year": 0.0,
    }
    types, rented = random_types(seed), options()["rented"]
    plain = cash(types, {**even, "reserved_frac": 0.0}, rented)
    reserved = cash(types, {**even, "reserved_frac": share}, rented)
    assert np.all(reserved >= plain - 1e-6 * np.abs(plain))  # a term is owed at its most


@QUICK
@given(st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=60))  # cents
def test_from_payback_on_the_cumulative_saving_stays_above_zero(savings):
    row = np.array(savings) / 100
    cumulative = np.cumsum(row)
    month = payback_month(row)
    assert (month is None) == bool(cumulative[-1] <= 0)
    assume(month is not None)
    assert 0 <= month <= len(row)
    assert np.all(cumulative[int(np.ceil(month)) :] > 0)
    if month > 0:
        assert cumulative[int(np.ceil(month)) - 2] <= 0 or month <= 1
