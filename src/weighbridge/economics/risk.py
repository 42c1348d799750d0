"""From many draws to what a decision needs: bands, odds, regret, sensitivity, value of knowing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import sobol_indices, uniform

from weighbridge.economics.cashflow import discount_factors
from weighbridge.economics.distributions import Floats
from weighbridge.economics.inputs import SOBOL_FLOOR, Beliefs, Inputs, quasi_random
from weighbridge.economics.lines import cash_by_month, total_usd
from weighbridge.economics.options import Case, Option, Settings, option_lines
from weighbridge.economics.workload import Workload

CHUNK_DRAWS = 4096  # measured best of 1024 to 8192
QUANTILES = (0.1, 0.5, 0.9)

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Problem:
    """One decision: the traffic, what is believed, how it is structured, and the options."""

    workload: Workload
    beliefs: Beliefs
    settings: Settings
    options: tuple[Option, ...]

    def case(self, inputs: Inputs) -> Case:
        """An evaluation at given inputs."""
        return Case(inputs, self.workload, self.settings)

    @property
    def discount_factors(self) -> Floats:
        """Factors by month, shape (horizon,)."""
        rate = self.beliefs.at("discount_rate_frac_per_year", 0.5)
        return discount_factors(self.settings.horizon_months, rate)


@dataclass(frozen=True)
class Draws:
    """The Monte Carlo: what every option cost in every draw.

    Attributes
    ----------
    u : (n_uncertain, n_draws) array
        The uniforms behind the inputs, correlations in them, one row per uncertain input.
    npv_usd, total_usd : (n_options, n_draws) array
        Discounted and plain sums over the horizon.
    monthly_usd : (n_options, horizon, n_draws) float32 array
        Cash by month; single precision, for bands only (7 digits).
    tokens, requests : (n_draws,) array
        Served over the horizon.
    """

    options: tuple[Option, ...]
    uncertain: tuple[str, ...]
    u: Floats
    npv_usd: Floats
    total_usd: Floats
    monthly_usd: Floats32
    tokens: Floats
    requests: Floats

    @property
    def n_draws(self) -> int:
        """How many draws."""
        return int(self.npv_usd.shape[1])


def simulate(
    problem: Problem,
    n_draws: int,
    rng: np.random.Generator,
    progress: Callable[[int], None] | None = None,
) -> Draws:
    """Evaluate every option over quasi-random draws of all uncertain inputs.

    `progress` is called with the number of draws finished since the last call.
    """
    names = problem.beliefs.uncertain
    u = problem.beliefs.correlated(quasi_random(len(names), n_draws, rng))
    horizon = problem.settings.horizon_months
    shape = (len(problem.options), n_draws)
    npv, total = np.empty(shape), np.empty(shape)
    monthly = np.empty((len(problem.options), horizon, n_draws), np.float32)
    tokens, requests = np.empty(n_draws), np.empty(n_draws)
    factors = problem.discount_factors
    for start in range(0, n_draws, CHUNK_DRAWS):
        part = slice(start, min(start + CHUNK_DRAWS, n_draws))
        case = problem.case(problem.beliefs.from_probabilities(u[:, part]))
        n_part = part.stop - part.start
        for i, option in enumerate(problem.options):
            cash = cash_by_month(option_lines(case, option), (horizon, n_part))
            npv[i, part], total[i, part] = factors @ cash, cash.sum(axis=0)
            monthly[i, :, part] = cash
        tokens[part], requests[part] = served_volume(case)
        if progress is not None:
            progress(n_part)
    return Draws(problem.options, names, u, npv, total, monthly, tokens, requests)


def served_volume(case: Case) -> tuple[Floats, Floats]:
    """Tokens and requests over the horizon, shape S each."""
    whole = case.workload.whole
    v = case.inputs
    months = v["demand_multiplier_ratio"] * case.paths.demand.sum(axis=0)
    tokens = whole.total_tokens * months * v["tokens_behind_spend_ratio"]
    return tokens, whole.requests_per_month * months


def bands(values: Floats) -> tuple[float, float, float, float]:
    """P10, P50, P90 and mean of one row of draws."""
    low, middle, high = np.quantile(values, QUANTILES)
    return float(low), float(middle), float(high), float(values.mean())


def monthly_bands(monthly_usd: Floats32) -> Floats:
    """P10, P50 and P90 by month of draws of shape (horizon, n_draws); shape (3, horizon).

    The order statistic next to each probability, without interpolation between two draws.
    """
    n = monthly_usd.shape[-1]
    ranks = [min(int(q * n), n - 1) for q in QUANTILES]
    return np.asarray(np.sort(monthly_usd, axis=-1)[:, ranks].T, np.float64)


def cheapest_probability(npv_usd: Floats) -> Floats:
    """Share of draws in which each option costs least, shape (n_options,); sums to 1."""
    winners = np.argmin(npv_usd, axis=0)
    return np.asarray(np.bincount(winners, minlength=len(npv_usd)) / npv_usd.shape[1])


def expected_regret_usd(npv_usd: Floats) -> Floats:
    """Mean loss by choosing each option now instead of the best in each draw [USD]."""
    return np.asarray((npv_usd - npv_usd.min(axis=0)).mean(axis=1))


def value_of_knowing_usd(u: Floats, npv_usd: Floats, n_bins: int = 64) -> Floats:
    """Expected value of perfect information on each input alone (EVPPI) [USD], shape (n_inputs,).

    What choosing after learning one input would save on average, against choosing now: the input's
    range is cut into `n_bins` equally likely bins, and the best option is picked within each.
    Source: Strong, Oakley, Brennan, "Estimating multiparameter partial EVPI…" (2014), binned.
    """
    n_options, n_draws = npv_usd.shape
    now = npv_usd.mean(axis=1).min()
    values = np.empty(len(u))
    for i, row in enumerate(u):
        which = (row * n_bins).astype(np.intp)
        counts = np.bincount(which, minlength=n_bins)
        sums = np.stack(
            [np.bincount(which, weights=npv_usd[k], minlength=n_bins) for k in range(n_options)]
        )
        best = sums.min(axis=0).sum() / n_draws
        values[i] = max(now - best, 0.0) if counts.all() else np.nan
    return values


@dataclass(frozen=True, slots=True)
class Swing:
    """Saving against the API when one input stands at its P10 and at its P90, others central."""

    name: str
    low_input: float
    high_input: float
    saving_at_low_usd: float
    saving_at_high_usd: float

    @property
    def width_usd(self) -> float:
        """Distance between the two [USD]."""
        return abs(self.saving_at_high_usd - self.saving_at_low_usd)


def saving_usd(problem: Problem, inputs: Inputs, option: Option) -> Floats:
    """Net present saving of an option against the API [USD], shape S."""
    case = problem.case(inputs)
    api = next(o for o in problem.options if o.hosting == "api")
    factors = problem.discount_factors
    ours, theirs = (total_usd(option_lines(case, o), factors) for o in (option, api))
    return np.asarray(theirs - ours)


def tornado(problem: Problem, option: Option) -> list[Swing]:
    """Swing of the saving by each uncertain input, widest first.

    An event swings between not happening and happening.
    """
    names = problem.beliefs.uncertain
    central = problem.beliefs.central()
    low_high = np.array([_ends(problem.beliefs, name) for name in names]).reshape(-1, 2)
    columns = {name: np.full(2 * len(names), float(central[name])) for name in central}
    for i, name in enumerate(names):
        columns[name][2 * i : 2 * i + 2] = low_high[i]
    if not names:
        return []
    savings = np.broadcast_to(saving_usd(problem, Inputs(columns), option), (2 * len(names),))
    swings = [
        Swing(
            name,
            float(low_high[i, 0]),
            float(low_high[i, 1]),
            float(savings[2 * i]),
            float(savings[2 * i + 1]),
        )
        for i, name in enumerate(names)
    ]
    return sorted(swings, key=lambda s: s.width_usd, reverse=True)


def _ends(beliefs: Beliefs, name: str) -> tuple[float, float]:
    if name.endswith("_event"):
        return 0.0, 1.0
    return beliefs.at(name, 0.1), beliefs.at(name, 0.9)


def sobol_total_frac(
    problem: Problem, option: Option, n: int, rng: np.random.Generator
) -> Mapping[str, float]:
    """Total-order Sobol index of each uncertain input on the saving [fraction].

    Source: Saltelli et al., "Variance based sensitivity analysis" (2010), by scipy.stats.
    Correlations are left out here: the indices assume independent inputs.
    """
    names = problem.beliefs.uncertain
    free = Beliefs(problem.beliefs.distributions)

    def outputs(u: Floats) -> Floats:
        inputs = free.from_probabilities(np.clip(u, SOBOL_FLOOR, 1 - SOBOL_FLOOR))
        return saving_usd(problem, inputs, option)[None, :]

    dists = [uniform()] * len(names)
    found = sobol_indices(func=outputs, n=n, dists=dists, rng=rng)
    return dict(zip(names, map(float, np.ravel(found.total_order)), strict=True))
