"""Deployments that could serve the candidate, with their step times and how wrong those may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from weighbridge.capacity.closed_loop import predict
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.roofline import step_time
from weighbridge.capacity.step_time import Basis, EngineLimits, StepTime
from weighbridge.capacity.step_time_band import StepTimeBand, scaled
from weighbridge.catalog.facts import Catalog, price_band
from weighbridge.catalog.rows import Gpu, Model, Precision
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.study.scenario import Scenario
from weighbridge.study.size_measured import read_points
from weighbridge.study.size_speed import Load, Speed, loop_like, speed_of
from weighbridge.units import InputError

N_TENSOR_PARALLEL = (1, 2, 4, 8)


@dataclass(frozen=True)
class Machine:
    """One replica's configuration, ready to be simulated.

    Attributes
    ----------
    usd_per_gpu_hour : float or None
        Median rent on demand, of specialists before hyperscalers; None where nobody offers it.
    n_unpriced : int
        Ways to get its GPUs (a hyperscaler's, bought) that have no price: an option that is left
        out cannot win.
    measured : Speed, optional
        Of an endpoint that was calibrated, or corrected by points near it: its own interval.
    """

    deployment: Deployment
    limits: EngineLimits
    step_time: StepTime
    usd_per_gpu_hour: float | None
    n_unpriced: int
    measured: Speed | None = None

    @property
    def basis(self) -> Basis:
        """What its step time rests on."""
        return self.step_time.basis

    @property
    def words(self) -> str:
        """As a person names it."""
        d = self.deployment
        if self.basis == "calibrated":
            return f"{d.model.name} on {d.n_gpus} x {d.gpu.name}, {d.engine}, as calibrated"
        return f"{d.model.name} in {d.precision} on {d.n_gpus} x {d.gpu.name}, {d.engine}"


def rent_usd_per_gpu_hour(catalog: Catalog, gpu_id: str) -> float | None:
    """Median offer on demand of specialists, else of hyperscalers; None without any."""
    for kind in ("specialist", "hyperscaler"):
        offers = catalog.offers_for(gpu_id, "on_demand", kind)
        if offers:
            return price_band(offers)[1]
    return None


def n_unpriced(catalog: Catalog, gpu_id: str) -> int:
    """How many ways to get the GPU have no price."""
    hyperscaler = catalog.offers_for(gpu_id, "on_demand", "hyperscaler")
    return int(not hyperscaler) + int(catalog.gpus[gpu_id].purchase_usd is None)


def deployments(scenario: Scenario, catalog: Catalog, model: Model) -> list[Deployment]:
    """Every GPU that can be rented, or the one stated, split over 1 to 8 of them.

    Weights are in 8 bits where the GPU computes in them, else in 16, unless the scenario says.
    """
    if scenario.gpu is not None:
        gpus: Iterable[Gpu] = [catalog.gpus[scenario.gpu]]
    else:
        gpus = [g for g in catalog.gpus.values() if rent_usd_per_gpu_hour(catalog, g.id)]
    return [
        Deployment(model, gpu, n, scenario.precision or _precision(gpu, model))
        for gpu in gpus
        for n in N_TENSOR_PARALLEL
        if (model.n_heads or model.n_kv_heads) % n == 0
    ]


def _precision(gpu: Gpu, model: Model) -> Precision:
    native = model.native_precision
    if native in {"int4", "fp4", "int8"}:
        return native
    return "fp8" if gpu.dense_fp8_tflops is not None else "bf16"


def machines(
    scenario: Scenario, catalog: Catalog, model: Model, load: Load | None = None
) -> list[Machine]:
    """Deployments whose memory holds the model, corrected by a table of measured points.

    Points are brought to bear under a load; without one they are not read.

    Raises
    ------
    InputError
        Where none does; the mend of the last one names what would.
    """
    path = None if load is None or scenario.measured is None else Path(scenario.measured)
    points = read_points(path, catalog, model.id)
    fit = load_serving_fit()
    found: list[Machine] = []
    fault: InputError | None = None
    for deployment in deployments(scenario, catalog, model):
        try:
            limits = engine_limits(deployment, others=catalog.gpus.values())
        except InputError as error:
            fault = error
            continue
        rent = rent_usd_per_gpu_hour(catalog, deployment.gpu.id)
        unpriced = n_unpriced(catalog, deployment.gpu.id)
        speed = speed_of(deployment, limits, load, fit, points) if points and load else None
        times = step_time(deployment, limits, fit) if speed is None else speed.band.mid
        found.append(Machine(deployment, limits, times, rent, unpriced, speed))
    if not found and fault is not None:
        raise fault
    return found


@dataclass(frozen=True)
class Errors:
    """Both ends of a step time's interval, and in words what it rests on."""

    band: StepTimeBand
    why: tuple[str, ...]


def errors_of(machine: Machine, load: Load) -> Errors:
    """How wrong a capacity may be, as throughput of held-out measurements like it was.

    Decoding and prompts are slowed together by the throughput's interval: what a fleet carries is
    a throughput, and intervals of latencies have their waits in them.
    """
    if machine.measured is not None:
        return Errors(machine.measured.band, machine.measured.rests_on)
    times = machine.step_time
    loop = loop_like(load, times, machine.limits)
    fit = load_serving_fit()
    told = predict(machine.deployment, loop, fit, (), machine.limits)
    rate = told.output_tokens_per_s
    fast, slow = rate.mid / rate.high, rate.mid / rate.low
    words = (
        f"throughput of configurations like it that the fit never saw was {1 / slow:.2g} to "
        f"{1 / fast:.2g} times the predicted in 90 % of cases"
    )
    band = StepTimeBand(scaled(times, fast, fast), times, scaled(times, slow, slow))
    return Errors(band, (*told.why, words))
