"""How many replicas the traffic needs, and what GPUs cost: rented, owned or managed.

A fleet is sized for the peak, with headroom and spare, and billed whether busy or not. Utilisation
is an output; only a scenario that reproduces a published utilisation puts it in, and then it
replaces the peak model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.lines import Line
from weighbridge.economics.timeline import Deployment, Paths, one_month
from weighbridge.economics.workload import Slice
from weighbridge.units import HOURS_PER_DAY, MONTHS_PER_YEAR, SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Sizing:
    """How a fleet is sized: by peak, or by a utilisation that somebody published.

    Attributes
    ----------
    whole_replicas : bool
        Round replicas up; False reproduces published models that divide.
    utilization_frac : float, array of shape S or None
        Replaces peak and headroom where given.
    """

    whole_replicas: bool = True
    utilization_frac: float | Floats | None = None


@dataclass(frozen=True)
class Fleet:
    """The replicas that serve one slice of the traffic once it is live."""

    inputs: Inputs
    paths: Paths
    served: Slice
    sizing: Sizing

    @cached_property
    def work_tokens_per_s(self) -> Floats:
        """Mean load of month 1 in output-equivalent tokens per second, shape S."""
        v, s = self.inputs, self.served
        kept = 1 - v["prefix_cache_retained_frac"]
        fresh = s.fresh_input_tokens + s.cache_read_tokens * kept
        work = v["input_token_work_ratio"] * fresh + s.output_tokens
        seconds = v.fixed("hours_per_month") * SECONDS_PER_HOUR
        active = v["operating_hours_per_day"] / HOURS_PER_DAY
        volume = v["demand_multiplier_ratio"] * v["tokens_behind_spend_ratio"]
        answers = volume * v["tokens_per_answer_ratio"]
        return np.asarray(answers * work / (seconds * active))

    @cached_property
    def replica_work_tokens_per_s(self) -> Floats:
        """Capacity of one replica in output-equivalent tokens per second, shape S."""
        v = self.inputs
        mix = 1 + v["input_token_work_ratio"] * v["reference_input_per_output_ratio"]
        live = 1 - v["throughput_shortfall_frac"]
        return np.asarray(v["replica_output_tokens_per_s"] * mix * live)

    @cached_property
    def peak_to_mean_ratio(self) -> Floats:
        """Peak against mean load, from the rhythm where the slice has one, shape S."""
        v = self.inputs
        if not self.served.has_rhythm:
            return v["peak_to_mean_ratio"]
        hourly = self.served.hourly_peak_to_mean(v["input_token_work_ratio"])
        return np.asarray(hourly * v["within_hour_peak_ratio"])

    @cached_property
    def peak_factor_ratio(self) -> Floats:
        """Capacity to keep for each unit of mean load: the peak, or a published utilisation's."""
        if self.sizing.utilization_frac is not None:
            return np.asarray(1 / self.sizing.utilization_frac)
        return self.peak_to_mean_ratio

    @cached_property
    def busy_replicas(self) -> Floats:
        """Replicas' worth of work in each month on average, shape (horizon,) + S."""
        mean = self.work_tokens_per_s / self.replica_work_tokens_per_s
        return np.asarray(mean * self.paths.demand)

    @cached_property
    def n_replicas(self) -> Floats:
        """Replicas kept in each month once live, shape (horizon,) + S."""
        v = self.inputs
        if self.served.n_types == 0:
            return np.zeros_like(self.paths.months)
        factor = self.peak_factor_ratio
        if self.sizing.utilization_frac is None:
            factor = factor * (1 + v["headroom_frac"])
        mean = self.work_tokens_per_s / self.replica_work_tokens_per_s
        needed = np.asarray(mean * factor * self.paths.demand)
        if self.sizing.whole_replicas:
            needed = np.ceil(needed)
        needed = np.maximum(needed, v["n_min_replicas"])
        return np.asarray(needed + v["n_spare_replicas"])

    def kept(self, deployment: Deployment) -> Floats:
        """Replicas paid for in each month: one to build on, then the fleet."""
        build = self.inputs["n_build_replicas"] * deployment.building
        return np.asarray(build + self.n_replicas * deployment.live)


def _fleet_hours(v: Inputs) -> Floats:
    """Hours a month that the fleet is billed, shape S."""
    return np.asarray(v.fixed("hours_per_month") * v["operating_hours_per_day"] / HOURS_PER_DAY)


def rented_lines(fleet: Fleet, deployment: Deployment) -> list[Line]:
    """GPU rent by purchase plan, supporting infrastructure and storage."""
    v, paths = fleet.inputs, fleet.paths
    kept = fleet.kept(deployment)
    rate = v["gpu_usd_per_gpu_hour"] * v["n_gpus_per_replica"] * _fleet_hours(v)
    on_demand = kept * paths.gpu_price
    spot_frac, reserved_frac = v["spot_frac"], v["reserved_frac"]
    plain = rate * (1 - reserved_frac - spot_frac)
    rents = [Line("GPU rent, on demand", "gpus", plain, on_demand)]
    if not v.is_zero("reserved_frac"):
        scale = rate * reserved_frac * (1 - v["reserved_discount_frac"])
        rents.append(Line("GPU rent, reserved", "gpus", scale, kept * paths.reserved_price))
    if not v.is_zero("spot_frac"):
        extra = 1 + v["spot_extra_capacity_frac"]
        scale = rate * spot_frac * (1 - v["spot_discount_frac"]) * extra
        rents.append(Line("GPU rent, spot", "gpus", scale, on_demand))
    share = v["supporting_infrastructure_frac"]
    around = [
        Line(f"around {r.name}", "supporting infrastructure", r.scale * share, r.profile)
        for r in rents
    ]
    return [*rents, *around, storage_line(v, deployment)]


def storage_line(v: Inputs, deployment: Deployment) -> Line:
    """Weights, checkpoints and data, from delivery on."""
    price = v["storage_gb"] * v["storage_usd_per_gb_month"]
    return Line("storage", "storage", price, deployment.started)


def managed_lines(fleet: Fleet, deployment: Deployment) -> list[Line]:
    """Platform's GPUs below the hyperscaler's price, its fee, and the short deployment."""
    v = fleet.inputs
    price = v["hyperscaler_usd_per_gpu_hour"] * (1 - v["managed_gpu_discount_frac"])
    rate = price * v["n_gpus_per_replica"] * _fleet_hours(v)
    first = one_month(1, deployment.months)
    gpus = fleet.n_replicas * deployment.live * fleet.paths.gpu_price
    return [
        Line("managed GPUs", "gpus", rate, gpus),
        Line("platform fee", "platform fee", v["platform_fee_usd_per_month"], deployment.live),
        Line("deployment on the platform", "deployment labour", v["managed_deployment_usd"], first),
    ]


def owned_gpus(fleet: Fleet) -> Floats:
    """GPUs owned in each month: bought ahead, never fewer, shape (horizon,) + S."""
    most = np.maximum.accumulate(fleet.n_replicas, axis=0)
    return np.asarray(most * fleet.inputs["n_gpus_per_replica"])


def replaced_purchases(owned: Floats, life_months: int) -> Floats:
    """GPUs bought in each month: growth, and what wore out `life_months` after it was bought.

    Examples
    --------
    >>> replaced_purchases(np.array([2.0, 2.0, 3.0, 3.0]), 2).tolist()
    [2.0, 0.0, 3.0, 0.0]
    """
    bought = np.diff(owned, axis=0, prepend=0.0)
    for month in range(life_months, owned.shape[0]):
        bought[month] += bought[month - life_months]
    return bought


def owned_lines(fleet: Fleet, deployment: Deployment) -> list[Line]:
    """Purchase, power, cooling, hosting, maintenance, resale, and what stands around the GPUs."""
    v = fleet.inputs
    owned = owned_gpus(fleet)
    bought = replaced_purchases(owned, round(v.fixed("depreciation_years") * MONTHS_PER_YEAR))
    running = owned * deployment.started
    price = v["gpu_purchase_usd_per_gpu"] + v["server_usd_per_gpu"]
    power = v["gpu_power_kw"] * v["pue_ratio"]
    kwh = power * _fleet_hours(v) * v["electricity_usd_per_kwh"]
    upkeep = price * v["hardware_maintenance_frac_per_year"] / MONTHS_PER_YEAR
    resale = v["residual_value_frac"] * (
        1 - v["hardware_obsolete_event"] * v["obsolescence_loss_frac"]
    )
    last = one_month(deployment.months.size, deployment.months)
    network = (
        price
        * v["supporting_infrastructure_frac"]
        / (v.fixed("depreciation_years") * MONTHS_PER_YEAR)
    )
    return [
        Line("GPU and server purchase", "gpus", price, bought, capital=True),
        Line(
            "resale of GPUs and servers",
            "gpus",
            -price * resale,
            owned[-1] * last,
            capital=True,
        ),
        Line("electricity and cooling", "power and hosting", kwh, running),
        Line("colocation", "power and hosting", power * v["hosting_usd_per_kw_month"], running),
        Line("hardware maintenance", "power and hosting", upkeep, running),
        Line("around owned GPUs", "supporting infrastructure", network, running),
        storage_line(v, deployment),
    ]
