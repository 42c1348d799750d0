"""What is asked of `size`: a model, a target, traffic, and what may be chosen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weighbridge.capacity.slo import Slo
from weighbridge.catalog.canonical import (
    canonical_engine,
    canonical_gpu,
    canonical_model,
    canonical_precision,
)
from weighbridge.catalog.facts import Catalog
from weighbridge.catalog.rows import Precision
from weighbridge.units import InputError

N_TENSOR_PARALLEL = (1, 2, 4, 8)
ENGINES = ("vllm",)
PRECISIONS: tuple[Precision, ...] = ("fp8", "bf16")
KV_PRECISION: Precision = "bf16"
MOST_USD_PER_GPU_HOUR = 10_000.0
MOST_START_UP_S = 7 * 86400.0
MOST_INTERRUPTIONS_PER_MONTH = 10_000.0  # one in four minutes
MOST_RESTART_S = 30 * 86400.0
# Told what is being done and the share of it that is done.
Progress = Callable[[str, float], None]


def silent(step: str, share_frac: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class TrafficQuestion:
    """Where the traffic comes from: exactly one of a ledger, a trace or rates."""

    usage: Path | None = None
    trace: Path | None = None
    rates: Path | None = None
    lengths_from: Path | None = None  # with rates: a trace whose token lengths are drawn
    synthesize_days: float | None = None
    demand_ratio: float = 1.0
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of a ledger, by dimension


@dataclass(frozen=True, slots=True)
class SizeQuestion:
    """A question of size; empty choices mean every one that makes sense."""

    model: str
    slo: Slo
    traffic: TrafficQuestion
    gpus: tuple[str, ...] = ()
    n_tensor_parallel: tuple[int, ...] = ()
    precisions: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    kv_precision: Precision | None = None
    profile: Path | None = None
    measured: Path | None = None
    headroom_frac: float = 0.2
    n_spare_replicas: int = 1
    usd_per_gpu_hour: float | None = None
    api_model: str | None = None
    start_up_s: float | None = None
    spot_interruptions_per_month: float | None = None
    spot_restart_s: float | None = None
    n_details: int = 3
    n_threads: int = 2
    seed: int = 0
    command: str = ""
    as_of: dt.date | None = None
    progress: Progress = field(default=silent, compare=False)


def checked(question: SizeQuestion, catalog: Catalog) -> SizeQuestion:
    """The question with ids of the catalog for names that people use; what cannot be raises."""
    _check_numbers(question)
    _check_traffic(question.traffic)
    gpus = tuple(dict.fromkeys(canonical_gpu(name, catalog) for name in question.gpus))
    precisions = tuple(dict.fromkeys(canonical_precision(name) for name in question.precisions))
    engines = tuple(dict.fromkeys(canonical_engine(name) for name in question.engines))
    for n in question.n_tensor_parallel:
        if n not in (*N_TENSOR_PARALLEL, 16):
            raise InputError("--tensor-parallel", "", f"is {n}", "use 1, 2, 4, 8 or 16")
    model = canonical_model(question.model, catalog)
    return replace(question, model=model, gpus=gpus, precisions=precisions, engines=engines)


def _check_numbers(question: SizeQuestion) -> None:
    if not 0 <= question.headroom_frac <= 5:
        problem = f"is {question.headroom_frac:g}"
        raise InputError("--headroom", "", problem, "give a share from 0 to 5, such as 0.2")
    if not 0 <= question.n_spare_replicas <= 100:
        problem = f"is {question.n_spare_replicas}"
        raise InputError("--spare", "", problem, "give a number of replicas from 0 to 100")
    usd = question.usd_per_gpu_hour
    if usd is not None and not 0 < usd <= MOST_USD_PER_GPU_HOUR:
        mend = f"give dollars above 0, at most {MOST_USD_PER_GPU_HOUR:,.0f}"
        raise InputError("--usd-per-gpu-hour", "", f"is {usd:g}", mend)
    told = (
        ("--start-up-s", question.start_up_s, MOST_START_UP_S, "seconds"),
        (
            "--spot-interruptions",
            question.spot_interruptions_per_month,
            MOST_INTERRUPTIONS_PER_MONTH,
            "interruptions of a machine a month",
        ),
        ("--spot-restart-s", question.spot_restart_s, MOST_RESTART_S, "seconds"),
    )
    for option, value, most, unit in told:
        # A comparison with NaN is never true.
        if value is not None and not 0 <= value <= most:
            raise InputError(option, "", f"is {value:g}", f"give {unit} from 0 to {most:,.0f}")


def _check_traffic(traffic: TrafficQuestion) -> None:
    given = [p for p in (traffic.usage, traffic.trace, traffic.rates) if p is not None]
    if len(given) != 1:
        what = "no traffic is named" if not given else "traffic is named twice"
        raise InputError("size", "", what, "give one of --usage DIR, --trace FILE or --rates FILE")
    if traffic.rates is not None and traffic.lengths_from is None:
        problem = "tells rates and no token lengths"
        raise InputError(str(traffic.rates), "", problem, "give a trace with --lengths-from")
    if traffic.rates is None and traffic.lengths_from is not None:
        problem = "is read only where rates are given"
        raise InputError("--lengths-from", "", problem, "leave it out, or give --rates FILE")
    if traffic.only and traffic.usage is None:
        raise InputError("--only", "", "chooses from a ledger", "give --usage DIR")
    if traffic.synthesize_days is not None and not 0 < traffic.synthesize_days <= 366:
        problem = f"is {traffic.synthesize_days:g}"
        raise InputError("--synthesize", "", problem, "give days, more than 0 and at most 366")
    if not 0 < traffic.demand_ratio <= 1000:
        problem = f"is {traffic.demand_ratio:g}"
        raise InputError("--times", "", problem, "give a multiple above 0, at most 1000")
