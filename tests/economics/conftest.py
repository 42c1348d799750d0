"""A world in which every assumption is one number and nothing is charged until a test says so."""

import dataclasses

import numpy as np
import pytest

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.distributions import Fixed
from weighbridge.economics.inputs import Beliefs
from weighbridge.economics.options import Case, Option, Settings, option_lines
from weighbridge.economics.risk import Problem
from weighbridge.economics.workload import QueryType, Workload

HOURS_PER_MONTH = 720
ONE_TOKEN_PER_S = HOURS_PER_MONTH * 3600  # a month of one token a second
NOT_ZERO = {
    "hours_per_month": HOURS_PER_MONTH,
    "operating_hours_per_day": 24,
    "replica_output_tokens_per_s": 1,
    "n_gpus_per_replica": 1,
    "reserved_term_months": 12,
    "depreciation_years": 4,
    "api_acceptance_frac": 1,
    "candidate_acceptance_frac": 1,
    "framework_deprecated_month": 1,
    "api_price_event_month": 1,
    "traffic_event_month": 1,
}


def neutral_values(**changes):
    """Ratios 1, everything else 0 but what has no meaning at 0."""
    names = load_assumptions()
    assert set(changes) <= set(names), set(changes) - set(names)
    ratios = {n: 1 for n in names if n.endswith("_ratio") and n != "input_token_work_ratio"}
    return {**dict.fromkeys(names, 0), **ratios, **NOT_ZERO, **changes}


@dataclasses.dataclass
class World:
    """One decision in which the numbers are chosen by the test."""

    problem: Problem

    @property
    def case(self) -> Case:
        return self.problem.case(self.problem.beliefs.central())

    def lines(self, option):
        return option_lines(self.case, option)

    def table(self, option):
        """Cash of every line that is not zero throughout, by name."""
        horizon = self.problem.settings.horizon_months
        rows = {x.name: np.broadcast_to(x.cash_usd(), (horizon,)) for x in self.lines(option)}
        assert len(rows) == len(self.lines(option)), "two lines of one name"
        return {name: row.round(6).tolist() for name, row in rows.items() if np.any(row)}

    def total(self, option):
        return sum(sum(row) for row in self.table(option).values())


@pytest.fixture
def world():
    def make(types=None, options=None, settings=None, distributions=None, **values):
        """Values are Fixed; distributions overrides single inputs with anything."""
        types = types or (one_token_a_second(),)
        options = options or (Option("api", "api", ()),)
        fixed = {n: Fixed(float(v)) for n, v in neutral_values(**values).items()}
        beliefs = Beliefs({**fixed, **(distributions or {})})
        return World(Problem(Workload(types), beliefs, settings or Settings(6), options))

    return make


def one_token_a_second(label="chat", usd=1000.0, tokens_per_s=1.0, **more):
    """1,000 USD a month on the API, and a load that one replica of 1 token/s carries."""
    return QueryType(label, 1e6, 0.0, 0.0, tokens_per_s * ONE_TOKEN_PER_S, usd, **more)


@pytest.fixture
def query_type():
    return one_token_a_second


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)
