"""Nothing is counted twice: idle hours, engineers, capital, upkeep, peaks."""

import numpy as np
import pytest

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.cashflow import discount_factors
from weighbridge.economics.distributions import Banded, Event, Fixed
from weighbridge.economics.fleet import Sizing
from weighbridge.economics.inputs import quasi_random
from weighbridge.economics.labour import OPPORTUNITY
from weighbridge.economics.lines import cash_by_month, total_usd
from weighbridge.economics.options import (
    Commitment,
    Option,
    Settings,
    memo_lines,
    option_lines,
    utilization_by_month,
)
from weighbridge.economics.views import depreciation_usd, profit_and_loss_usd

RENTED = Option("rented", "rented", (0,))
OWNED = Option("owned", "owned", (0,))
MANAGED = Option("managed", "managed", (0,))
HOSTINGS = (MANAGED, RENTED, OWNED)

FLEET_PRICES = {
    "gpu_usd_per_gpu_hour": 2,
    "hyperscaler_usd_per_gpu_hour": 5,
    "platform_fee_usd_per_month": 300,
    "supporting_infrastructure_frac": 0.3,
    "gpu_purchase_usd_per_gpu": 30_000,
    "gpu_power_kw": 1,
    "electricity_usd_per_kwh": 0.1,
    "hosting_usd_per_kw_month": 150,
    "hardware_maintenance_frac_per_year": 0.05,
    "residual_value_frac": 0.25,
    "reserved_frac": 0.3,
    "spot_frac": 0.2,
}


# --- a fleet is billed whether busy or not --------------------------------------------------------


@pytest.mark.parametrize("option", HOSTINGS, ids=lambda o: o.id)
@pytest.mark.parametrize("load", [0.0, 0.001, 0.25, 1.0])
def test_an_idle_fleet_costs_the_same_as_a_busy_one(world, query_type, option, load):
    settings = Settings(12)
    busy = world(types=(query_type(usd=0.0),), n_min_replicas=1, settings=settings, **FLEET_PRICES)
    other = world(
        types=(query_type(usd=0.0, tokens_per_s=load),),
        n_min_replicas=1,
        settings=settings,
        **FLEET_PRICES,
    )
    assert busy.total(option) > 1000
    assert other.table(option) == busy.table(option)


@pytest.mark.parametrize("option", HOSTINGS, ids=lambda o: o.id)
def test_utilisation_is_what_comes_out_of_load_and_fleet(world, query_type, option):
    quarter = world(types=(query_type(tokens_per_s=0.75),), n_spare_replicas=2)
    assert utilization_by_month(quarter.case, option).tolist() == pytest.approx([0.25] * 6)


def test_a_fleet_costs_by_its_replicas_and_never_by_its_load(world, query_type):
    loads = np.linspace(0.05, 3.95, 40)
    prices = {"gpu_usd_per_gpu_hour": 2, "settings": Settings(1)}
    rents = [
        world(types=(query_type(usd=0.0, tokens_per_s=x),), **prices).total(RENTED) for x in loads
    ]
    assert rents == pytest.approx([1440 * np.ceil(x) for x in loads])


# --- an engineer is paid once ---------------------------------------------------------------------

WORK = {
    "fte_usd_per_year": 240_000,
    "deployment_fte": 2.5,
    "deployment_months": 3.3,
    "go_live_frac": 0.6,
    "gpu_procurement_weeks": 3,
    "owned_procurement_weeks": 7,
    "managed_deployment_weeks": 5,
    "upkeep_fte": 0.7,
    "managed_upkeep_fte": 0.4,
    "model_upgrades_per_year": 4,
    "upgrade_days": 6.5,  # 26 of 260 days: 0.1 engineer
}
STANDING_WORK = ("deployment:", "on-call", "model upgrades")


@pytest.mark.parametrize("staff_fte", [0, 0.1, 0.5, 0.8, 1, 2.5, 3, 40])
@pytest.mark.parametrize("option", HOSTINGS, ids=lambda o: o.id)
def test_cash_labour_and_opportunity_cost_make_the_whole_work_and_no_more(world, option, staff_fte):
    months = 9
    place = world(existing_mlops_fte=staff_fte, settings=Settings(months), **WORK)
    cash = np.zeros(months)
    for name, row in place.table(option).items():
        if name.startswith(STANDING_WORK):
            cash += row
    (memo,) = memo_lines(place.case, option)
    assert memo.name == OPPORTUNITY
    whole = 20_000 * engineers_at_work(option, months)
    assert cash + memo.cash_usd() == pytest.approx(whole)
    assert np.all(cash >= -1e-9)
    assert memo.cash_usd() == pytest.approx(20_000 * np.minimum(staff_fte, whole / 20_000))


def engineers_at_work(option, months):
    """By hand: 2.5 on the deployment between delivery and its end, then upkeep and upgrades."""
    week = 12 * 7 / 365  # in months
    start, end = {
        "rented": (3 * week, 3 * week + 3.3),
        "owned": (7 * week, 7 * week + 3.3),
        "managed": (5 * week, 5 * week),
    }[option.id]
    after = {"rented": 0.8, "owned": 0.8, "managed": 0.5}[option.id]
    edges = np.arange(months + 1.0)
    deploying = np.diff(np.clip(edges, start, end))
    return 2.5 * deploying + after * np.diff(np.maximum(edges, end))


def test_opportunity_cost_is_in_no_cash_line(world):
    place = world(existing_mlops_fte=1, **WORK)
    for option in HOSTINGS:
        assert OPPORTUNITY not in place.table(option)
        assert all(memo.cash_usd().any() for memo in memo_lines(place.case, option))


@pytest.mark.parametrize("hosting", ["api", "committed"])
def test_nobody_is_taken_off_the_project_where_nothing_moves(world, hosting):
    assert memo_lines(world(existing_mlops_fte=1, **WORK).case, Option("x", hosting, ())) == []


@pytest.mark.parametrize("option", HOSTINGS, ids=lambda o: o.id)
def test_upkeep_starts_when_the_deployments_engineers_have_left(world, option):
    table = world(settings=Settings(9), **WORK).table(option)
    deploying = sum(np.array(r) for n, r in table.items() if n.startswith("deployment:"))
    upkeep = np.array(table["on-call and upkeep"]) / (
        20_000 * (0.4 if option.id == "managed" else 0.7)
    )
    # the two share a month only where one hands over to the other
    busy = deploying / 50_000
    assert np.all(busy + upkeep <= 1 + 1e-9)
    assert upkeep[-1] == pytest.approx(1)


def test_upkeep_by_engineers_and_by_hours_are_never_both_charged(world):
    both = {"fte_usd_per_year": 208_000, "upkeep_fte": 0.5, "maintenance_hours_per_month": 20}
    by_fte = world(settings=Settings(1, upkeep_basis="fte"), **both).total(RENTED)
    by_hours = world(settings=Settings(1, upkeep_basis="hours"), **both).total(RENTED)
    assert by_fte == pytest.approx(208_000 * 0.5 / 12)
    assert by_hours == pytest.approx(20 * 100)


# --- a dollar of capital is spent once ------------------------------------------------------------


@pytest.mark.parametrize(("years", "months"), [(1, 12), (1, 24), (2, 30), (4, 48), (0.5, 18)])
@pytest.mark.parametrize("residual_frac", [0.0, 0.25, 1.0])
def test_profit_and_loss_over_a_life_sums_to_the_cash(world, years, months, residual_frac):
    prices = {**FLEET_PRICES, "residual_value_frac": residual_frac, "depreciation_years": years}
    place = world(settings=Settings(months), **prices)
    lines = place.lines(OWNED)
    pnl = profit_and_loss_usd(lines, round(12 * years), months)
    cash = cash_by_month(lines, (months,))
    if months % (12 * years) == 0 or residual_frac:
        assert pnl.sum() == pytest.approx(cash.sum())
    else:  # part of the replacement still stands on the books
        left = 30_000 * (1 - (months % (12 * years)) / (12 * years))
        assert pnl.sum() == pytest.approx(cash.sum() - left)


def test_profit_and_loss_spreads_the_purchase_and_books_the_loss_on_resale(world):
    place = world(
        gpu_purchase_usd_per_gpu=48_000,  # 1,000 a month over four years
        residual_value_frac=0.5,  # at three years; at half a year 0.5^(1/6) of the price
        storage_gb=1,
        storage_usd_per_gb_month=7,
        settings=Settings(6),
    )
    pnl = profit_and_loss_usd(place.lines(OWNED), 48, 6)
    loss = 42_000 - 48_000 * 0.5 ** (6 / 36)  # 42,000 still stand on the books
    assert pnl.tolist() == pytest.approx([1007] * 5 + [1007 + loss])


def test_profit_and_loss_books_a_gain_where_resale_beats_the_book(world):
    place = world(
        gpu_purchase_usd_per_gpu=1200,
        depreciation_years=1,
        residual_value_frac=0.25,
        settings=Settings(12),
    )
    pnl = profit_and_loss_usd(place.lines(OWNED), 12, 12)
    assert pnl.tolist() == pytest.approx([100] * 11 + [100 - 1200 * 0.25 ** (12 / 36)])


def test_without_capital_profit_and_loss_is_the_cash(world):
    lines = world(settings=Settings(12), **FLEET_PRICES).lines(RENTED)
    assert profit_and_loss_usd(lines, 48, 12) == pytest.approx(cash_by_month(lines, (12,)))


def test_depreciation_beyond_the_horizon_is_left_out():
    assert depreciation_usd(np.array([120.0, 60.0, 0.0]), 4).tolist() == [30.0, 45.0, 45.0]


# --- peaks do not multiply ------------------------------------------------------------------------


@pytest.mark.parametrize("option", HOSTINGS, ids=lambda o: o.id)
def test_a_stated_utilisation_replaces_peak_and_headroom(world, option):
    def cost(utilization_frac, **values):
        settings = Settings(3, sizing=Sizing(False, utilization_frac))
        return world(settings=settings, **FLEET_PRICES, **values).total(option)

    peaky = {"peak_to_mean_ratio": 4, "headroom_frac": 0.5}
    assert cost(0.25, **peaky) == pytest.approx(cost(0.25))
    assert cost(None, **peaky) == pytest.approx(cost(1 / 6))


def test_a_measured_rhythm_replaces_the_assumed_peak(world, query_type):
    rhythm = np.ones(168)
    rhythm[10] = 29.0  # mean (167 + 29) / 168 = 7/6: peak 174/7
    known = query_type(hourly_input_tokens=np.zeros(168), hourly_output_tokens=rhythm)
    settings = Settings(1, sizing=Sizing(whole_replicas=False))
    values = {"gpu_usd_per_gpu_hour": 1, "within_hour_peak_ratio": 1.5, "settings": settings}
    for assumed in (1, 3.5, 10):
        rent = world(types=(known,), peak_to_mean_ratio=assumed, **values).total(RENTED)
        assert rent == pytest.approx(720 * 174 / 7 * 1.5)


def test_without_a_rhythm_the_minute_within_the_hour_is_inside_the_assumed_peak(world):
    settings = Settings(1, sizing=Sizing(whole_replicas=False))
    for within in (1, 2, 5):
        rent = world(
            peak_to_mean_ratio=3,
            within_hour_peak_ratio=within,
            gpu_usd_per_gpu_hour=1,
            settings=settings,
        ).total(RENTED)
        assert rent == pytest.approx(720 * 3)


def test_a_fleet_sees_the_peak_of_the_sum_and_not_the_sum_of_peaks(world, query_type):
    day, night = np.zeros(168), np.zeros(168)
    day[:84], night[84:] = 2.0, 2.0
    nothing = np.zeros(168)
    a = query_type("day", hourly_input_tokens=nothing, hourly_output_tokens=day)
    b = query_type("night", hourly_input_tokens=nothing, hourly_output_tokens=night)
    place = world(types=(a, b), gpu_usd_per_gpu_hour=1, settings=Settings(1))
    assert place.total(Option("one", "rented", (0,))) == pytest.approx(720 * 2 + 1000)
    assert place.total(Option("both", "rented", (0, 1))) == pytest.approx(720 * 2)


# --- the sum is the sum of its parts --------------------------------------------------------------


def default_beliefs():
    def belief(row):
        if row.event:
            return Event(row.probability)
        if row.p10 == row.p90:
            return Fixed(row.p50)
        return Banded(row.p10, row.p50, row.p90, row.min, row.max)

    return {name: belief(row) for name, row in load_assumptions().items()}


ALL_WAYS = (
    Option("api", "api", ()),
    Option("committed", "committed", ()),
    Option("managed", "managed", (0, 1)),
    Option("rented", "rented", (0, 1)),
    Option("owned", "owned", (0, 1)),
    Option("hybrid", "rented", (1,)),
)
OFTEN_ZERO = {
    "api_credits_usd": Fixed(20_000.0),
    "api_commitment_usd_per_year": Fixed(90_000.0),
    "reserved_frac": Fixed(0.4),
    "spot_frac": Fixed(0.3),
    "existing_mlops_fte": Banded(0.2, 0.8, 1.5),
    "compliance_audits_per_year": Fixed(1.0),
    "training_usd": Fixed(5000.0),
}


@pytest.mark.parametrize("option", ALL_WAYS, ids=lambda o: o.id)
def test_lines_add_up_to_the_total_in_every_draw_and_month(world, query_type, option, rng):
    settings = Settings(15, commitment=Commitment(10.0, 600.0, 60.0, 12))
    place = world(
        types=(query_type("a", 9000.0, 2000.0), query_type("b", 500.0, 800.0)),
        settings=settings,
        distributions={**default_beliefs(), **OFTEN_ZERO},
    )
    beliefs = place.problem.beliefs
    u = quasi_random(len(beliefs.uncertain), 64, rng)
    lines = option_lines(place.problem.case(beliefs.from_probabilities(u)), option)
    naive = np.zeros((15, 64))
    for line in lines:
        naive = naive + line.cash_usd()
    assert cash_by_month(lines, (15, 64)) == pytest.approx(naive, rel=1e-12)
    factors = discount_factors(15, 0.1)
    discounted = np.broadcast_to(total_usd(lines, factors), (64,))
    assert discounted == pytest.approx((naive * factors[:, None]).sum(axis=0), rel=1e-12)


def test_all_ways_give_each_draw_what_that_draw_alone_gives(world, query_type, rng):
    settings = Settings(15, commitment=Commitment(10.0, 600.0, 60.0, 12))
    place = world(
        types=(query_type("a", 9000.0, 2000.0), query_type("b", 500.0, 800.0)),
        settings=settings,
        distributions={**default_beliefs(), **OFTEN_ZERO},
    )
    problem = place.problem
    u = quasi_random(len(problem.beliefs.uncertain), 8, rng)
    together = problem.case(problem.beliefs.from_probabilities(u))
    for draw in range(8):
        alone = problem.case(problem.beliefs.from_probabilities(u[:, draw : draw + 1]))
        for option in ALL_WAYS:
            many = cash_by_month(option_lines(together, option), (15, 8))[:, draw]
            one = cash_by_month(option_lines(alone, option), (15, 1))[:, 0]
            assert many == pytest.approx(one, rel=1e-12), option.id
