"""Latency of one configuration under a benchmark's load, and a table of measurements held to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weighbridge.capacity.closed_loop import predict as predicted
from weighbridge.capacity.configuration import Configured, cache_precision, configured, distinct
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.prediction import ClosedLoop, Prediction
from weighbridge.catalog.canonical import (
    canonical_engine,
    canonical_gpu,
    canonical_model,
    canonical_precision,
)
from weighbridge.catalog.facts import Catalog, load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.study.size_measured import read_points
from weighbridge.units import InputError
from weighbridge.usage.bench.points import read_serving_points


def predict(  # noqa: PLR0913  # one keyword for each thing that a benchmark's title names
    model: str,
    gpu: str,
    *,
    input_tokens: float,
    output_tokens: float,
    n_concurrent: float,
    precision: str = "fp8",
    n_tensor_parallel: int = 1,
    n_data_parallel: int = 1,
    expert_parallel: bool = False,
    kv_precision: str | None = None,
    engine: str = "vllm",
    measured: Path | None = None,
    catalog: Catalog | None = None,
) -> Prediction:
    """Times to first and per output token and throughput of a replica, with 90 % intervals.

    The load is a closed loop: always `n_concurrent` requests in flight. Names may be spelled as
    tools and vendors do. Raises InputError for what is unknown, contradictory or does not fit.
    """
    catalog = catalog or load_catalog()
    row = catalog.model(canonical_model(model, catalog))
    engine, number = canonical_engine(engine), canonical_precision(precision)
    loop = _checked(ClosedLoop(input_tokens, output_tokens, n_concurrent), row.context_tokens)
    for name, n_gpus in (("tensor", n_tensor_parallel), ("data", n_data_parallel)):
        if n_gpus < 1:
            raise InputError(f"n_{name}_parallel", "", f"is {n_gpus}", "give 1 or more")
    deployment = Deployment(
        model=row,
        gpu=catalog.gpu(canonical_gpu(gpu, catalog)),
        n_tensor_parallel=n_tensor_parallel,
        precision=number,
        n_data_parallel=n_data_parallel,
        expert_parallel=expert_parallel,
        kv_precision=(
            canonical_precision(kv_precision)
            if kv_precision
            else cache_precision(row, number, engine)
        ),
        engine=engine,
    )
    points = read_points(measured, catalog, row.id)
    return predicted(deployment, loop, load_serving_fit(), points)


def _checked(loop: ClosedLoop, context_tokens: int) -> ClosedLoop:
    for name in ("input_tokens", "output_tokens", "n_concurrent"):
        found = getattr(loop, name)
        if not 1 <= found < 1e9:
            raise InputError(name, "", f"is {found:g}", "give a number from 1 up")
    if loop.input_tokens + loop.output_tokens > context_tokens:
        problem = f"with output_tokens is above the model's context of {context_tokens:,}"
        raise InputError("input_tokens", "", problem, "give shorter requests")
    return loop


@dataclass(frozen=True, slots=True)
class Held:
    """One measurement beside what was predicted for it, the measurement itself unseen."""

    measured: Configured
    told: Prediction

    @property
    def ttft_ratio(self) -> float | None:
        """Predicted over measured time to first token; None where it was not measured."""
        found = self.measured.point.ttft_s
        return self.told.ttft_s.mid / found if found else None

    @property
    def tpot_ratio(self) -> float | None:
        """Predicted over measured time per output token; None where it was not measured."""
        found = self.measured.point.tpot_s
        return self.told.tpot_s.mid / found if found else None

    @property
    def ttft_inside(self) -> bool | None:
        """Whether the time to first token lies in the 90 % interval."""
        found = self.measured.point.ttft_s
        return self.told.ttft_s.low <= found <= self.told.ttft_s.high if found else None

    @property
    def tpot_inside(self) -> bool | None:
        """Whether the time per output token lies in the 90 % interval."""
        found = self.measured.point.tpot_s
        return self.told.tpot_s.low <= found <= self.told.tpot_s.high if found else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table of measurements against the predictions; what could not be used, by reason."""

    held: tuple[Held, ...]
    n_unusable_by_reason: dict[str, int]
    n_repeats: int


def compare(
    path: Path,
    catalog: Catalog | None = None,
    progress: Callable[[str, float], None] = lambda _step, _done: None,
) -> Comparison:
    """Predict every measurement of a table from data sheets and the shipped fit alone.

    The shipped fit may have seen the same configurations: docs/accuracy.md has the errors on
    groups that were held out.
    """
    catalog, fit = catalog or load_catalog(), load_serving_fit()
    usable: list[Configured] = []
    reasons: dict[str, int] = {}
    for point in read_serving_points(path):
        found = configured(point, catalog)
        if isinstance(found, Configured):
            usable.append(found)
        else:
            reasons[found] = reasons.get(found, 0) + 1
    single = distinct(usable)
    held: list[Held] = []
    for done, one in enumerate(single):
        progress("predicting", done / len(single))
        try:
            held.append(Held(one, predicted(one.deployment, one.load, fit)))
        except InputError as fault:
            reason = f"{fault.field or fault.where}: {fault.problem}"
            reasons[reason] = reasons.get(reason, 0) + 1
    if not held:
        told = "; ".join(f"{n} rows: {reason}" for reason, n in _most(reasons))
        mend = "give rows with model, GPU, GPUs, lengths, concurrency and a latency"
        raise InputError(str(path), "", f"holds no row that can be predicted ({told})", mend)
    return Comparison(tuple(held), reasons, len(usable) - len(single))


def _most(reasons: dict[str, int], n_shown: int = 4) -> Sequence[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: -item[1])[:n_shown]
