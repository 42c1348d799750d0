"""From draws to bands, odds, swings, break-evens and the surface."""

import dataclasses

import numpy as np
import pytest
from scipy.special import ndtri

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics import breakeven, risk
from weighbridge.economics.breakeven import Axis, along_ratio, crossings, surface
from weighbridge.economics.cashflow import discount_factors
from weighbridge.economics.distributions import Banded, Event, Fixed, Uniform
from weighbridge.economics.inputs import Beliefs, quasi_random
from weighbridge.economics.lines import cash_by_month
from weighbridge.economics.options import Option, Settings, option_lines
from weighbridge.economics.risk import (
    bands,
    monthly_bands,
    saving_usd,
    served_volume,
    simulate,
    sobol_total_frac,
    tornado,
    value_of_knowing_usd,
)

API = Option("api", "api", ())
MANAGED = Option("managed", "managed", (0, 1))
RENTED = Option("rented", "rented", (0, 1))
OWNED = Option("owned", "owned", (0, 1))
OPTIONS = (API, MANAGED, RENTED, OWNED)


@pytest.fixture
def uncertain(world, query_type):
    """Every default with its band, on traffic near the break-even."""

    def belief(row):
        if row.event:
            return Event(row.probability)
        if row.p10 == row.p90:
            return Fixed(row.p50)
        return Banded(row.p10, row.p50, row.p90, row.min, row.max)

    def make(options=OPTIONS, **kept):
        rows = load_assumptions()
        beliefs = {n: belief(r) for n, r in rows.items()}
        if kept:
            beliefs = {n: b if n in kept else Fixed(rows[n].p50) for n, b in beliefs.items()}
        types = (query_type("a", 30_000.0, 2000.0), query_type("b", 9000.0, 800.0))
        settings = Settings(12)
        return world(types=types, options=options, settings=settings, distributions=beliefs).problem

    return make


def test_quasi_random_draws_agree_with_plain_random_sampling(uncertain, rng):
    problem = uncertain()
    found = simulate(problem, 4096, rng).npv_usd.mean(axis=1)
    u = np.random.default_rng(77).random((len(problem.beliefs.uncertain), 20_000))
    case = problem.case(problem.beliefs.from_probabilities(u))
    for i, option in enumerate(OPTIONS):
        cash = cash_by_month(option_lines(case, option), (12, 20_000))
        worth = (cash * discount_factors(12, 0.10)[:, None]).sum(axis=0)
        error = worth.std() / np.sqrt(20_000)
        assert abs(found[i] - worth.mean()) < 4 * error
        assert error < 0.02 * worth.mean()


def test_draws_hold_what_each_draw_costs(uncertain, rng):
    problem = uncertain()
    draws = simulate(problem, 300, rng)
    assert draws.n_draws == 300
    assert draws.monthly_usd.shape == (4, 12, 300)
    case = problem.case(problem.beliefs.from_probabilities(draws.u))
    for i, option in enumerate(OPTIONS):
        cash = cash_by_month(option_lines(case, option), (12, 300))
        assert draws.total_usd[i] == pytest.approx(cash.sum(axis=0))
        assert draws.npv_usd[i] == pytest.approx(discount_factors(12, 0.10) @ cash)
        assert draws.monthly_usd[i] == pytest.approx(cash, rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 64, 10_000])
def test_how_draws_are_cut_into_chunks_does_not_matter(uncertain, monkeypatch, chunk):
    problem = uncertain()
    whole = simulate(problem, 100, np.random.default_rng(3))
    steps = []
    monkeypatch.setattr(risk, "CHUNK_DRAWS", chunk)
    cut = simulate(problem, 100, np.random.default_rng(3), steps.append)
    assert sum(steps) == 100
    assert max(steps) <= chunk
    assert cut.npv_usd == pytest.approx(whole.npv_usd, rel=1e-12)
    assert cut.monthly_usd == pytest.approx(whole.monthly_usd, rel=1e-6)
    assert cut.tokens == pytest.approx(whole.tokens)


def test_a_seed_reproduces_the_study_and_another_changes_it_a_little(uncertain):
    problem = uncertain()
    one, same, other = (simulate(problem, 2048, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one.npv_usd, same.npv_usd)
    assert not np.array_equal(one.npv_usd, other.npv_usd)
    assert one.npv_usd.mean(axis=1) == pytest.approx(other.npv_usd.mean(axis=1), rel=0.02)


def test_a_study_without_uncertainty_gives_the_central_case_in_every_draw(world, rng):
    place = world(options=(API,), api_discount_frac=0.25, settings=Settings(3))
    draws = simulate(place.problem, 5, rng)
    assert draws.total_usd == pytest.approx(np.full((1, 5), 2250.0))


def test_served_volume_counts_growth_and_multiplier(world):
    place = world(demand_growth_frac_per_month=1.0, demand_multiplier_ratio=2, settings=Settings(3))
    tokens, requests = served_volume(place.case)
    assert float(tokens) == pytest.approx(2 * 7 * 720 * 3600)
    assert float(requests) == pytest.approx(2 * 7 * 1e6)


def test_bands_are_the_quantiles_and_the_mean():
    assert bands(np.arange(101.0)) == pytest.approx((10, 50, 90, 50))


def test_monthly_bands_are_close_to_the_quantiles_of_each_month(rng):
    cash = rng.normal(size=(3, 4001)).astype(np.float32)
    assert monthly_bands(cash) == pytest.approx(
        np.quantile(cash, [0.1, 0.5, 0.9], axis=1), abs=0.01
    )


def test_tornado_moves_one_input_at_a_time_and_sorts_by_width(uncertain):
    problem = uncertain()
    swings = tornado(problem, RENTED)
    assert {s.name for s in swings} == set(problem.beliefs.uncertain)
    assert [s.width_usd for s in swings] == sorted((s.width_usd for s in swings), reverse=True)
    central = problem.beliefs.central()
    for swing in swings[:5]:
        event = swing.name.endswith("_event")
        row = load_assumptions()[swing.name]
        ends = (0.0, 1.0) if event else (row.p10, row.p90)
        assert (swing.low_input, swing.high_input) == pytest.approx(ends)
        for value, saving in zip(
            ends, (swing.saving_at_low_usd, swing.saving_at_high_usd), strict=True
        ):
            moved = central.replaced(**{swing.name: value})
            assert saving == pytest.approx(float(saving_usd(problem, moved, RENTED)))


def test_tornado_of_a_certain_world_is_empty(world):
    assert tornado(world(options=(API, Option("rented", "rented", (0,)))).problem, API) == []


def test_sobol_indices_give_the_shares_of_variance_of_a_sum(world, rng):
    # saving = bill x ratio - platform fee x 6: linear in both, spreads 3 to 1, variances 9 to 1
    place = world(
        options=(API, Option("managed", "managed", (0,))),
        distributions={
            "api_price_ratio": Banded(0.7, 1.0, 1.3, None, None),
            "platform_fee_usd_per_month": Banded(0.0, 100.0, 200.0),
        },
    )
    # log-normal price: variance by hand from its own quantiles
    u = (np.arange(200_000) + 0.5) / 200_000
    price = 1000 * Banded(0.7, 1.0, 1.3).quantile(u)
    fee = Banded(0.0, 100.0, 200.0).quantile(u)
    expected = price.var() / (price.var() + fee.var())
    found = sobol_total_frac(place.problem, place.problem.options[1], 4096, rng)
    assert found["api_price_ratio"] == pytest.approx(expected, abs=0.02)
    assert found["platform_fee_usd_per_month"] == pytest.approx(1 - expected, abs=0.02)


# --- break-even -----------------------------------------------------------------------------------


def test_every_sign_change_of_a_step_function_is_found():
    edges = [0.013, 0.4, 2.0, 77.0]

    def saving(x):
        return np.where(np.searchsorted(edges, x, side="right") % 2 == 0, -1.0, 1.0)

    found = crossings(saving, np.geomspace(1e-3, 1e3, 200))
    assert found.values == pytest.approx(edges, rel=1e-9)
    assert not found.cheaper_at_start
    assert (found.first, found.last) == (found.values[0], found.values[-1])


def test_without_a_sign_change_there_is_no_break_even():
    for level in (-1.0, 1.0):
        found = crossings(lambda x, level=level: np.full(x.shape, level), np.geomspace(0.1, 10, 9))
        assert found.values == ()
        assert found.first is None
        assert found.last is None
        assert found.cheaper_at_start is (level > 0)


def test_break_even_price_is_where_the_saving_is_nothing(uncertain):
    problem = uncertain()
    found = along_ratio(problem, RENTED, "api_price_ratio")
    (root,) = found.values
    central = problem.beliefs.central()
    bill = float(saving_usd(problem, central.replaced(api_price_ratio=1e6), RENTED)) / 1e6
    for ratio, sign in ((root * (1 - 1e-6), -1), (root * (1 + 1e-6), 1)):
        saving = float(saving_usd(problem, central.replaced(api_price_ratio=ratio), RENTED))
        assert saving * sign > 0
        assert abs(saving) < 1e-5 * abs(bill)


def test_break_even_by_hand(world):
    # the API at 1,000 a month, one GPU at 1,440: even at 1.44 times the price, or at 1 / 1.44 of
    # the GPU's; in volume never below one whole replica, so 1,000 x ratio = 1,440 only up to 1
    place = world(
        options=(API, Option("rented", "rented", (0,))), gpu_usd_per_gpu_hour=2, n_min_replicas=1
    )
    option = place.problem.options[1]
    assert along_ratio(place.problem, option, "api_price_ratio").values == pytest.approx((1.44,))
    gpu = along_ratio(place.problem, option, "gpu_usd_per_gpu_hour")
    assert gpu.values == pytest.approx((1 / 1.44,))
    assert gpu.cheaper_at_start
    assert along_ratio(place.problem, option, "demand_multiplier_ratio").values == ()
    both = along_ratio(place.problem, option, "api_price_ratio", "gpu_usd_per_gpu_hour")
    assert both.values == ()


def test_whole_replicas_give_several_break_evens_and_all_are_told(world, query_type):
    # 2,000 a month per token/s against 1,440 per whole replica: even at 0.72, dearer again from 1
    # (2 replicas: 2,880) until 1.44, dearer from 2 (4,320) until 2.16, then cheaper for good
    place = world(
        types=(query_type(usd=2000.0),),
        options=(API, Option("rented", "rented", (0,))),
        gpu_usd_per_gpu_hour=2,
    )
    found = along_ratio(place.problem, place.problem.options[1], "demand_multiplier_ratio")
    assert found.values == pytest.approx((0.72, 1.0, 1.44, 2.0, 2.16))


def test_a_cell_of_the_surface_is_the_mean_over_the_same_draws(uncertain):
    problem = uncertain()
    x = Axis("demand_multiplier_ratio", np.array([0.3, 1.0, 4.0]))
    y = Axis("api_price_ratio", np.array([0.5, 2.0]))
    n_draws = 40  # not a multiple of the draws taken at once
    grid = surface(problem, x, y, n_draws, np.random.default_rng(9))
    u = quasi_random(len(problem.beliefs.uncertain), n_draws, np.random.default_rng(9))
    inputs = problem.beliefs.from_probabilities(u)
    for row, price in enumerate(y.values):
        for column, volume in enumerate(x.values):
            cell = inputs.replaced(api_price_ratio=price, demand_multiplier_ratio=volume)
            savings = np.stack([saving_usd(problem, cell, o) for o in OPTIONS[1:]])
            mean = savings.mean(axis=1)
            assert grid.saving_usd[row, column] == pytest.approx(mean.max())
            wins = (savings.max(axis=0) > 0).mean()
            assert grid.win_probability[row, column] == pytest.approx(wins)
            best = 1 + int(mean.argmax()) if mean.max() > 0 else 0
            assert grid.best[row, column] == best


def test_the_surface_does_not_depend_on_how_many_draws_are_taken_at_once(uncertain, monkeypatch):
    problem = uncertain()
    axes = (Axis("gpu_usd_per_gpu_hour", np.array([1.0, 3.0])), Axis("upkeep_fte", np.array([0.1])))
    one = surface(problem, *axes, 33, np.random.default_rng(4))
    monkeypatch.setattr(breakeven, "DRAWS_AT_ONCE", 5)
    other = surface(problem, *axes, 33, np.random.default_rng(4))
    assert one.saving_usd == pytest.approx(other.saving_usd)
    assert one.win_probability == pytest.approx(other.win_probability)


def test_of_two_inputs_that_move_together_either_tells_what_both_tell(world, rng):
    # saving = 6 x (1,000 x ratio - fee), and fee = 2,000 - 1,000 x ratio nearly
    place = world(
        options=(API, Option("managed", "managed", (0,))),
        distributions={
            "api_price_ratio": Uniform(0.5, 1.5),
            "platform_fee_usd_per_month": Uniform(500.0, 1500.0),
        },
    )
    pair = ("api_price_ratio", "platform_fee_usd_per_month")
    beliefs = Beliefs(place.problem.beliefs.distributions, {pair: -0.999})
    problem = dataclasses.replace(place.problem, beliefs=beliefs)
    draws = simulate(problem, 2**14, rng)
    first, second = value_of_knowing_usd(draws.u, draws.npv_usd)
    assert first == pytest.approx(6 * 2000 / 8, rel=0.05)  # mean of the saving's positive part
    assert second == pytest.approx(first, rel=0.05)


def test_scores_of_the_points_have_mean_zero_and_spread_one(rng):
    z = ndtri(quasi_random(4, 2**12, rng))
    assert z.mean(axis=1) == pytest.approx(np.zeros(4), abs=0.01)
    assert z.std(axis=1) == pytest.approx(np.ones(4), abs=0.01)
