"""Calibration of an endpoint: files and what a person told, to a profile; and profiles on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from weighbridge.capacity.calibrate import (
    EndpointProfile,
    calibrate,
    calibrate_aggregates,
    profile_as_dict,
    profile_from_dict,
)
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.memory_fit import EngineMemory, engine_limits
from weighbridge.capacity.roofline import step_time
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.catalog.canonical import canonical_gpu, canonical_model, canonical_precision
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.study.calibrate_told import check_told, precision_in_names
from weighbridge.units import CatalogError, InputError
from weighbridge.usage.bench.detect import name_format, read_loads, read_runs
from weighbridge.usage.bench.gateway_ledger import observe_ledger
from weighbridge.usage.bench.points import read_serving_points
from weighbridge.usage.observed import EngineSettings, ObservedLoad, ObservedRun, ServingPoint
from weighbridge.usage.store import open_ledger

_VLLM = re.compile(r"vllm (\d+)\.(\d+)")
_AGGREGATES = ("vllm metrics", "measured points")
_ASYNC_SINCE = (0, 14)  # release from which vLLM schedules asynchronously by default


@dataclass(frozen=True, slots=True)
class Told:
    """What a person says of the endpoint, beside what files say and not against it.

    `precision` where not told is what the model's name in the files ends in, else bf16.
    """

    settings: EngineSettings
    precision: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a calibration needs."""

    runs: tuple[ObservedRun, ...]
    settings: EngineSettings
    limits: EngineLimits
    start: StepTime | None
    notes: tuple[str, ...]


def observe(paths: Sequence[Path], ledger: Path | None, target: str | None) -> list[ObservedRun]:
    """Runs of all files, and of one target of a ledger."""
    runs = [run for path in paths for run in read_runs(path)]
    if ledger is not None:
        if target is None:
            raise InputError(
                "--target", "", "is missing", "name the target of the ledger to calibrate"
            )
        runs.append(observe_ledger(open_ledger(ledger), target))
    if not runs:
        raise InputError(
            "calibrate", "", "is given nothing to read", "name result files, or --ledger"
        )
    return runs


def are_aggregates(paths: Sequence[Path]) -> bool:
    """Whether files hold aggregate figures, which all of them must or none."""
    kinds = [not path.is_dir() and name_format(path) in _AGGREGATES for path in paths]
    if any(kinds) and not all(kinds):
        mixed = ", ".join(str(path) for path, one in zip(paths, kinds, strict=True) if one)
        raise InputError(
            mixed, "", "holds aggregates, others hold requests", "calibrate from one or the other"
        )
    return bool(kinds) and all(kinds)


def calibrate_points(paths: Sequence[Path], told: Told, made_on: date) -> EndpointProfile:
    """The profile of an endpoint of which only aggregate figures are known."""
    points = [point for path in paths for point in _points(path, told.settings)]
    notes = [
        *_checked_loads(paths, told),
        "made of aggregate figures: latency over concurrency, and no step time",
    ]
    n_block = told.settings.n_block_tokens or 16
    limits = EngineLimits(kv_tokens=told.settings.kv_tokens or n_block, n_block_tokens=n_block)
    return calibrate_aggregates(
        points, limits, made_on=made_on, settings=told.settings, notes=notes
    )


def _checked_loads(paths: Sequence[Path], told: Told) -> list[str]:
    """What of the files' records differs from what was told; rows of tables are chosen by it."""
    loads = [load for p in paths if name_format(p) == "vllm metrics" for load in read_loads(p)]
    notes: list[str] = []
    check_told(loads, told.settings, told.precision, notes)
    return notes


def _points(path: Path, told: EngineSettings) -> list[ServingPoint]:
    if name_format(path) == "vllm metrics":
        return [_point_of_load(load) for load in read_loads(path)]
    points = [one for one in read_serving_points(path) if _is_of(one, told)]
    systems = {
        (one.model, one.gpu, one.n_gpus, one.n_tensor_parallel, one.engine) for one in points
    }
    if len(systems) != 1:
        some = "; ".join(" ".join(map(str, one)) for one in sorted(systems, key=str)[:3])
        raise InputError(
            str(path),
            "model, gpu, n_gpus, tp, engine",
            f"are of {len(systems)} systems ({some} …)" if systems else "match none of the rows",
            "name one with --model, --gpu, --tensor-parallel and --engine, as the file writes them",
        )
    return points


def _is_of(point: ServingPoint, told: EngineSettings) -> bool:
    pairs = (
        (told.model, point.model),
        (told.gpu, point.gpu),
        (told.engine, point.engine),
        (told.n_tensor_parallel, point.n_tensor_parallel),
    )
    same = all(wanted is None or wanted == found for wanted, found in pairs)
    return same and not point.disaggregated


def _point_of_load(load: ObservedLoad) -> ServingPoint:
    """Means of a stretch of load; the lengths are rounded, so that like stretches are one mix."""
    tpot = load.tpot_s or load.itl_s
    lengths = [
        None if one is None else float(f"{one.mean:.1g}")
        for one in (load.input_tokens, load.output_tokens)
    ]
    return ServingPoint(
        source=load.name,
        model=load.settings.model or "",
        gpu=load.settings.gpu or "",
        n_gpus=None,
        n_tensor_parallel=load.settings.n_tensor_parallel,
        expert_parallel=None,
        precision=None,
        engine=load.settings.engine or "",
        input_tokens=lengths[0],
        output_tokens=lengths[1],
        n_concurrent=load.mean_running_requests,
        ttft_s=None if load.ttft_s is None else load.ttft_s.mean,
        tpot_s=None if tpot is None else tpot.mean,
        output_tokens_per_s=None,
        disaggregated=False,
    )


def prepare(runs: Sequence[ObservedRun], told: Told) -> Prepared:
    """Settings, limits and a place to start from, with what had to be assumed."""
    notes: list[str] = []
    check_told(runs, told.settings, told.precision, notes)
    settings = _settings(runs, told.settings)
    deployment = _deployment(settings, told, _precision(runs, told), notes)
    limits = _limits(settings, runs, deployment, notes)
    start = None
    if deployment is not None:
        start = step_time(deployment, limits, load_serving_fit())
        notes.append(
            f"what the runs leave open follows the prediction for {deployment.model.id} on "
            f"{deployment.gpu.id}, {deployment.precision}"
        )
    return Prepared(tuple(runs), settings, limits, start, tuple(notes))


def calibrate_prepared(
    prepared: Prepared,
    made_on: date,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> EndpointProfile:
    """The profile of an endpoint."""
    return calibrate(
        prepared.runs,
        prepared.start,
        prepared.limits,
        np.random.default_rng(seed),
        made_on=made_on,
        settings=prepared.settings,
        notes=prepared.notes,
        on_progress=on_progress,
    )


def profile_text(profile: EndpointProfile) -> str:
    """A profile as the text of its file."""
    return json.dumps(profile_as_dict(profile), indent=1, ensure_ascii=False) + "\n"


def load_endpoint_profile(path: Path) -> EndpointProfile:
    """A profile that `weighbridge calibrate` wrote."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            str(path), "", f"cannot be read ({error.strerror})", "name a profile"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise InputError(
            str(path), "", "is not JSON", "give a file that `weighbridge calibrate -o` wrote"
        ) from None
    return profile_from_dict(data, str(path))


def _settings(runs: Sequence[ObservedRun], told: EngineSettings) -> EngineSettings:
    """What was told, else what the files say, which must not contradict each other."""
    found: dict[str, Any] = {}
    for field in fields(EngineSettings):
        own = getattr(told, field.name)
        said = {getattr(run.settings, field.name) for run in runs} - {None}
        if own is None and len(said) > 1:
            listed = ", ".join(sorted(map(str, said)))
            raise InputError(
                ", ".join(run.name for run in runs),
                field.name,
                f"differs among the runs: {listed}",
                "calibrate one endpoint at a time, or state which it is",
            )
        found[field.name] = own if own is not None else next(iter(said), None)
    return EngineSettings(**found)


def _precision(runs: Sequence[ObservedRun], told: Told) -> str:
    return told.precision or precision_in_names(runs) or "bf16"


def _deployment(
    settings: EngineSettings, told: Told, precision: str, notes: list[str]
) -> Deployment | None:
    """The catalog's idea of the endpoint; None where it does not know what the files name."""
    if settings.model is None or settings.gpu is None:
        notes.append("no start from a prediction: model and GPU are not both known")
        return None
    catalog = load_catalog()
    try:
        model = catalog.model(canonical_model(settings.model, catalog))
        gpu = catalog.gpu(canonical_gpu(settings.gpu, catalog))
    except (CatalogError, InputError) as error:
        if told.settings.model is not None or told.settings.gpu is not None:
            raise  # a person's own word can be mended
        notes.append(f"no start from a prediction: {str(error).splitlines()[0]}")
        return None
    return Deployment(
        model=model,
        gpu=gpu,
        n_tensor_parallel=settings.n_tensor_parallel or 1,
        precision=canonical_precision(precision),
        n_data_parallel=settings.n_data_parallel or 1,
        expert_parallel=bool(settings.expert_parallel),
    )


def _limits(
    settings: EngineSettings,
    runs: Sequence[ObservedRun],
    deployment: Deployment | None,
    notes: list[str],
) -> EngineLimits:
    n_block = settings.n_block_tokens or 16
    base = EngineLimits(
        kv_tokens=_kv_tokens(settings, runs, deployment, n_block, notes),
        n_block_tokens=n_block,
        n_ranks=settings.n_data_parallel or 1,
        async_scheduling=_is_async(settings, notes),
    )
    for name in ("n_max_requests", "n_max_batched_tokens"):
        value = getattr(settings, name)
        if value is None:
            notes.append(f"{name} is not told: taken as {getattr(base, name)}")
        else:
            base = replace(base, **{name: value})
    if settings.prefix_caching is not None:
        base = replace(base, prefix_caching=settings.prefix_caching)
    return base


def _kv_tokens(
    settings: EngineSettings,
    runs: Sequence[ObservedRun],
    deployment: Deployment | None,
    n_block: int,
    notes: list[str],
) -> int:
    if settings.kv_tokens is not None:
        return settings.kv_tokens // n_block * n_block
    if deployment is not None:
        memory = EngineMemory(
            n_block_tokens=n_block,
            n_max_requests=settings.n_max_requests,
            n_max_batched_tokens=settings.n_max_batched_tokens,
        )
        kv_tokens = engine_limits(deployment, memory).kv_tokens
        notes.append(f"the cache's size is not told: {kv_tokens} tokens by the model's memory")
        return kv_tokens
    n_tokens = max(int((r.requests.input_tokens + r.requests.output_tokens).sum()) for r in runs)
    notes.append("the cache's size is not told: taken as never full; state it with --kv-tokens")
    return (n_tokens // n_block + 1 + max(run.requests.n_requests for run in runs)) * n_block


def _is_async(settings: EngineSettings, notes: list[str]) -> bool:
    if settings.async_scheduling is not None:
        return settings.async_scheduling
    version = _VLLM.match(settings.engine or "")
    found = version is not None and (int(version[1]), int(version[2])) >= _ASYNC_SINCE
    if version is None:
        notes.append("asynchronous scheduling is not told: taken as off")
    return found
