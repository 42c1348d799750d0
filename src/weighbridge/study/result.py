"""The study object: every number that any report renders. Money is float64 US dollars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weighbridge.planning.answers import Reason as Reason
from weighbridge.planning.answers import Rerun as Rerun
from weighbridge.planning.answers import TypeVerdict as TypeVerdict
from weighbridge.planning.answers import Verdict as Verdict
from weighbridge.usage.results import Profile

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Band:
    """P10, P50, P90 and mean of one number."""

    p10: float
    p50: float
    p90: float
    mean: float


@dataclass(frozen=True, slots=True)
class BandSeries:
    """P10, P50 and P90 for each month of the horizon, each of shape (horizon_months,)."""

    p10: Floats
    p50: Floats
    p90: Floats


@dataclass(frozen=True, slots=True)
class CostLine:
    """A named line of an option's cash flow in the central case (every input at its median)."""

    name: str
    category: str  # see economics.lines.CATEGORIES
    usd_by_month: Floats  # (horizon_months,)

    @property
    def total_usd(self) -> float:
        """Sum over the horizon [USD]."""
        return float(self.usd_by_month.sum())


@dataclass(frozen=True, slots=True)
class Fleet:
    """GPUs that an option keeps, central case."""

    gpu: str
    n_gpus_by_month: Floats
    n_replicas_by_month: Floats
    utilization_frac_by_month: Floats  # an output: mean load over capacity kept
    throughput_basis: str  # where tokens per second per replica came from


CapacityBasis = Literal["stated", "calibrated", "measured", "exported", "roofline", "benchmarks"]


@dataclass(frozen=True, slots=True)
class LatencyReached:
    """One latency target, and what the simulated fleet came to at today's peak [s]."""

    target: str  # as an SLO writes it, such as "ttft_p95"
    limit_s: float
    reached_s: float


@dataclass(frozen=True, slots=True)
class DeploymentTried:
    """A way to serve the candidate that was weighed, at today's traffic, central case."""

    deployment: str
    n_gpus_per_replica: int
    n_replicas: float  # NaN: no number of them meets the targets, `note` says why
    usd_per_hour: float  # of all of them; NaN where the GPU has no price
    basis: str
    note: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What serves the traffic that may move, how sure that is, and what its tokens cost."""

    option_id: str  # whose fleet the figures of today are of
    deployment: str
    basis: CapacityBasis
    why: tuple[str, ...]
    slo: str  # the targets that were simulated; empty where a rate was stated instead
    slo_origin: str
    latencies: tuple[LatencyReached, ...]
    unmet: str  # why no number of replicas meets the targets; empty where one does
    n_gpus_per_replica: float
    n_replicas: Band  # today, with headroom and spare; these four are over draws
    utilization_frac: Band
    reserved_usd_per_mtok: Band
    full_load_usd_per_mtok: Band  # flattering: hours that the fleet waits are left out
    demand_ratio: Floats  # (n,) multiples of today's traffic
    n_replicas_by_demand: BandSeries  # kept at each, as the capacity's error alone moves them
    tried: tuple[DeploymentTried, ...]  # cheapest first


@dataclass(frozen=True, slots=True)
class Payback:
    """Month in which an option's cumulative saving against the API first stays positive."""

    plain_month: float | None
    discounted_month: float | None
    irr_frac_per_year: float | None
    why_none: str  # empty where all three exist


@dataclass(frozen=True, slots=True)
class OptionResult:
    """One way to serve the traffic, over the horizon."""

    id: str  # "api" | "committed" | "managed" | "rented" | "owned" | "hybrid"
    label: str
    feasible: bool
    infeasible_because: tuple[str, ...]
    lines: tuple[CostLine, ...]
    memo_lines: tuple[CostLine, ...]  # beside the sum: opportunity cost, depreciation
    cash_usd_by_month: BandSeries
    cumulative_usd_by_month: BandSeries
    pnl_usd_by_month: Floats  # central case: capital as depreciation
    commitment_liability_usd_by_month: Floats  # still owed if nothing is cancelled
    cancellation_exposure_usd_by_month: Floats  # owed if cancelled in that month
    total_usd: Band
    npv_usd: Band  # net present cost (positive = money spent)
    usd_per_month: Band  # total over the horizon / months
    steady_usd_per_month: float  # central case, mean of the last twelve months
    usd_per_mtok: Band
    usd_per_request: Band
    usd_per_accepted_answer: Band
    cheapest_probability: float
    expected_regret_usd: float  # NPV lost on average by choosing this option now
    payback: Payback | None  # None for the API itself
    fleet: Fleet | None
    moved_types: tuple[str, ...]  # labels of query types that leave the API under this option


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where an option costs the same as the API over the horizon (net present cost, central)."""

    option_id: str
    quantity: Literal["volume", "utilization", "api_price", "gpu_price", "month"]
    value: float | None  # None: there is none, `note` says why
    unit: str
    today: float | None  # the same quantity now
    note: str


@dataclass(frozen=True, slots=True)
class Surface:
    """Saving of the best alternative against the API over two inputs [USD, net present]."""

    x_name: str
    x_label: str
    x: Floats  # (nx,)
    y_name: str
    y_label: str
    y: Floats  # (ny,)
    saving_usd: Floats  # (ny, nx) mean over draws; positive: the alternative is cheaper
    win_probability: Floats  # (ny, nx) share of draws in which it is cheaper than the API
    best_option: tuple[tuple[str, ...], ...]  # (ny, nx) id of the cheapest option by mean
    here_x: float
    here_y: float
    n_draws: int


@dataclass(frozen=True, slots=True)
class TornadoBar:
    """Swing of (best alternative minus API) net present cost when one input moves P10 → P90."""

    input: str
    label: str
    unit: str
    low_input: float
    high_input: float
    saving_at_low_usd: float
    saving_at_high_usd: float
    sobol_total_frac: float | None = None  # on request


@dataclass(frozen=True, slots=True)
class InformationValue:
    """What knowing one input exactly, before choosing, would be worth (EVPPI) [USD]."""

    input: str
    label: str
    value_usd: float
    how_to_measure: str


@dataclass(frozen=True, slots=True)
class NaiveStep:
    """One step of the waterfall from the pricing-page comparison to the full one [USD/month]."""

    label: str
    naive_usd_per_month: float
    full_usd_per_month: float


@dataclass(frozen=True, slots=True)
class NaiveComparison:
    """Pricing page against GPU rate, beside the full cost: mean over the horizon, central case."""

    option_id: str
    naive_api_usd_per_month: float
    naive_option_usd_per_month: float
    full_api_usd_per_month: float
    full_option_usd_per_month: float
    steps: tuple[NaiveStep, ...]


@dataclass(frozen=True, slots=True)
class AssumptionUsed:
    """One input as this study used it."""

    name: str
    label: str
    unit: str
    p10: float
    p50: float
    p90: float
    origin: Literal["default", "scenario", "log", "catalog", "command line"]
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class ShowBack:
    """Cost of one cost centre under the API and under the chosen option [USD/month, steady]."""

    cost_centre: str
    api_usd_per_month: float
    chosen_usd_per_month: float
    tokens_share_frac: float


@dataclass(frozen=True, slots=True)
class ControlPrice:
    """What a constraint makes you pay above the cheapest option [USD over the horizon, NPV]."""

    constraint: str
    cheapest_option_id: str
    required_option_id: str
    premium_usd: float


@dataclass(frozen=True, slots=True)
class Reproducibility:
    """What it takes to get these numbers again."""

    version: str
    seed: int
    n_draws: int
    catalog_digest: str
    prices_digest: str
    scenario_digest: str
    usage_digest: str | None
    command: str
    as_of: dt.date
    timings_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ChangePart:
    """One cause of the change of an option's monthly cost against an old study."""

    kind: Literal["program", "traffic", "API price", "input", "fleet", "split", "left over"]
    cause: str
    was: str
    now: str
    usd_per_month: Decimal


@dataclass(frozen=True, slots=True)
class OptionChange:
    """An option's monthly cost then and now: central case, mean over the horizon, exact."""

    option_id: str
    label: str
    was_usd_per_month: Decimal | None  # None: the old study had no such option
    now_usd_per_month: Decimal | None  # None: it is no option any more
    parts: tuple[ChangePart, ...]  # in the order in which they were applied; they add up exactly


@dataclass(frozen=True, slots=True)
class Change:
    """What changed since an old study of the same question, line by line."""

    old_name: str
    old_as_of: dt.date
    old_version: str
    old_option_id: str
    old_headline: str
    flipped: bool
    why: str
    options: tuple[OptionChange, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """One question with its inputs, and the answer."""

    name: str
    currency: str  # reporting currency; figures are in US dollars times usd_rate
    usd_rate: float  # units of `currency` per US dollar
    horizon_months: int
    monthly_tokens: float
    monthly_requests: float
    monthly_api_usd: float  # today's, at contract prices
    verdict: Verdict
    rival_id: str | None  # the alternative that tornado and hidden costs speak of
    options: tuple[OptionResult, ...]  # api first
    break_evens: tuple[BreakEven, ...]
    surface: Surface | None
    capacity: Capacity | None  # None: nothing may move, or no month could be foretold
    tornado: tuple[TornadoBar, ...]  # largest swing first
    information: tuple[InformationValue, ...]  # largest first
    naive: NaiveComparison | None
    assumptions: tuple[AssumptionUsed, ...]
    show_back: tuple[ShowBack, ...]
    control_prices: tuple[ControlPrice, ...]
    profile: Profile | None
    withheld: tuple[str, ...]
    reproducibility: Reproducibility
    prices_on: dt.date | None = None  # day whose API prices the forecast uses; None: the log's own
    change: Change | None = None  # against an old study, where one was given

    def option(self, option_id: str) -> OptionResult:
        """The option of that id; KeyError where the study has none."""
        for option in self.options:
            if option.id == option_id:
                return option
        raise KeyError(option_id)
