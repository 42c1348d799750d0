"""What `size` answers: every number that its reports render. Money is float64 US dollars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weighbridge.capacity.binding import Binding
from weighbridge.capacity.elastic import Elastic
from weighbridge.capacity.frontier import FrontierPoint
from weighbridge.capacity.interruptions import Spot
from weighbridge.capacity.safety import Range, Safety
from weighbridge.capacity.served import Served
from weighbridge.capacity.step_time import Basis
from weighbridge.capacity.table import CapacityTable

Floats = NDArray[np.float64]
# sized: simulated over the whole stretch, with headroom and spare; peak: only its busiest window,
# since it loses; pruned: cannot win even at full load; impossible: no number of replicas meets the
# target; misfit: the model or a request does not fit; unpriced: no offer of that GPU.
Status = Literal["sized", "peak", "pruned", "impossible", "misfit", "unpriced"]


@dataclass(frozen=True, slots=True)
class TrafficFacts:
    """The stretch that was sized for."""

    source: str
    kind: str  # "measured" | "synthesised"
    digest: str
    first_at: dt.datetime | None
    duration_s: float
    n_requests: int
    n_left_out: int
    mean_requests_per_s: float
    mean_input_tokens: float
    mean_output_tokens: float
    repeated_input_frac: float  # of prompt tokens: held already by an endless prefix cache
    peak_from_s: float
    peak_to_s: float
    peak_requests_per_s: float
    peak_to_mean_ratio: float  # of work
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Price:
    """What one GPU and hour is taken to cost, the range of offers, and whose they are."""

    usd_per_gpu_hour: float
    low_usd_per_gpu_hour: float
    high_usd_per_gpu_hour: float
    source: str


@dataclass(frozen=True, slots=True)
class Setup:
    """A way to serve the model: one replica's GPUs, how they are split, number formats, engine."""

    gpu: str
    gpu_name: str
    n_tensor_parallel: int
    n_data_parallel: int
    n_gpus: int
    precision: str
    kv_precision: str
    engine: str
    expert_parallel: bool = False

    @property
    def label(self) -> str:
        """As a person names it."""
        ranks = f" TP{self.n_tensor_parallel}" if self.n_gpus > 1 else ""
        if self.n_data_parallel > 1:
            ranks += f"xDP{self.n_data_parallel}"
        if self.expert_parallel and self.n_gpus > 1:
            ranks += " EP"
        return f"{self.n_gpus}x {self.gpu}{ranks} {self.precision} {self.engine}"


@dataclass(frozen=True, slots=True)
class FleetCost:
    """What the fleet that is kept costs, and what its tokens come to.

    `reserved` is the fleet's hours over the tokens that it served; `full_load` is what a page of
    prices shows: every hour full, no latency promised, no spare. It flatters.
    """

    usd_per_hour: float
    usd_per_month: float
    reserved_usd_per_mtok: float
    reserved_usd_per_output_mtok: float
    full_load_usd_per_mtok: float
    full_load_tokens_per_s: float  # of one replica
    tokens_of_full_load_frac: float  # tokens served over what the fleet could at full load


@dataclass(frozen=True, slots=True)
class KeptRange:
    """What is kept and paid at the ends of the step time's 90 % interval.

    High ends are None where at the slow end no number of replicas meets the SLO.
    """

    kept: Range
    low_usd_per_month: float
    high_usd_per_month: float | None
    low_usd_per_mtok: float  # reserved
    high_usd_per_mtok: float | None
    slow_peak: Served  # the busiest window on the replicas that are kept, at the slow end


@dataclass(frozen=True, slots=True)
class Answer:
    """One deployment: how many replicas it needs and what they cost, or why it is out."""

    setup: Setup
    status: Status
    why_not: str  # empty where sized
    basis: Basis | None
    rests_on: tuple[str, ...]
    kv_tokens: int
    price: Price | None
    floor_usd_per_hour: float  # of replicas busy all the time; NaN where not known
    n_peak_replicas: int | None  # without headroom and spare
    peak_usd_per_hour: float  # of those
    binds: Binding | None
    alone_s: tuple[float, ...]  # each target's statistic without any waiting
    peak: Served | None  # the busiest window on the replicas that are needed
    safety: Safety | None
    week: Served | None  # the whole stretch on the fleet that is kept
    cost: FleetCost | None
    spread: KeptRange | None = None


@dataclass(frozen=True, slots=True)
class PlanCost:
    """One way to get the GPUs of one fleet."""

    plan: str  # "on demand" | "reserved" | "spot" | "owned"
    provider: str
    usd_per_gpu_hour: float
    n_gpus: int  # paid for: whole machines
    n_replicas: int
    usd_per_month: float
    usd_per_mtok: float
    note: str


@dataclass(frozen=True, slots=True)
class ElasticCost:
    """A fleet that follows the load or overflows, against the fixed one."""

    elastic: Elastic
    usd_per_month: float  # an API's bill included
    saving_usd_per_month: float
    slo_met: bool
    api_usd_per_month: float
    api_model: str


@dataclass(frozen=True, slots=True)
class ApiAlone:
    """Every request sent to the API and no fleet: what overflow must be held against."""

    model: str
    usd_per_month: float
    saving_usd_per_month: float
    usd_per_mtok: float
    cached_input_frac: float | None  # of prompt tokens, at the cached price; None: not known
    note: str


@dataclass(frozen=True, slots=True)
class Detail:
    """What is worked out for the best answers only."""

    setup: Setup
    frontier: tuple[FrontierPoint, ...]
    frontier_usd_per_mtok: tuple[float, ...]
    table: CapacityTable  # at 0.5, 1, 2 and 5 times the traffic
    table_usd_per_month: tuple[tuple[float, float, float], ...]  # low, mid, high; of needed ones
    step_s: float
    busy_by_step_frac: Floats
    elastic: tuple[ElasticCost, ...]
    plans: tuple[PlanCost, ...]
    spot: Spot | None
    spot_note: str
    api: ApiAlone | None = None


@dataclass(frozen=True, slots=True)
class SizeProvenance:
    """Everything needed to get the same answer again."""

    version: str
    catalog_digest: str
    fit_digest: str
    traffic_digest: str
    seed: int
    command: str
    as_of: dt.date


@dataclass(frozen=True, slots=True)
class SizeStudy:
    """The answer to one question of size, best first."""

    model: str
    model_name: str
    slo: str
    slo_names: tuple[str, ...]
    slo_limits_s: tuple[float, ...]
    headroom_frac: float
    n_spare_replicas: int
    start_up_s: float
    traffic: TrafficFacts
    answers: tuple[Answer, ...]  # sized ones first, cheapest first; then the others
    details: tuple[Detail, ...]  # of the first answers
    assumptions: Mapping[str, str]  # what was assumed, in words
    warnings: tuple[str, ...]
    provenance: SizeProvenance

    @property
    def sized(self) -> tuple[Answer, ...]:
        """Answers that were simulated whole, cheapest first."""
        return tuple(answer for answer in self.answers if answer.status == "sized")
