"""How many replicas the traffic needs, and what GPUs cost: rented, owned or managed.

A fleet is sized for the peak, with headroom and spare, and billed whether busy or not. Its size is
looked up in a table of simulated fleets where there is one; a stated rate per replica takes the
table's place, with the peak, the burst and the shortfall that the table holds already. Utilisation
is an output; only a scenario that reproduces a published utilisation puts it in, and then it
replaces the peak model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from weighbridge.economics.capacity_curve import CapacityCurve
from weighbridge.economics.distributions import Floats
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.lines import Line
from weighbridge.economics.timeline import Deployment, Paths, calendar, one_month
from weighbridge.economics.workload import Slice
from weighbridge.units import HOURS_PER_DAY, MONTHS_PER_YEAR, SECONDS_PER_HOUR

ROUNDING_FRAC = 1e-9  # 3.0000000001 interpolated replicas are three
RESALE_AGE_MONTHS = 36.0  # age at which `residual_value_frac` is stated


@dataclass(frozen=True, slots=True)
class Sizing:
    """How a fleet is sized: by peak, or by a utilisation that somebody published.

    Attributes
    ----------
    whole_replicas : bool
        Round replicas up; False reproduces published models that divide.
    utilization_frac : float, array of shape S or None
        Replaces peak and headroom where given.
    capacity : CapacityCurve, optional
        Simulated fleets; replaces the rate per replica and everything that corrects it.
    """

    whole_replicas: bool = True
    utilization_frac: float | Floats | None = None
    capacity: CapacityCurve | None = None


@dataclass(frozen=True)
class Fleet:
    """The replicas that serve one slice of the traffic once it is live."""

    inputs: Inputs
    paths: Paths
    served: Slice
    sizing: Sizing

    @cached_property
    def _answers_ratio(self) -> Floats:
        """What multiplies the tokens of the log: true volume, and the candidate's own lengths."""
        v = self.inputs
        volume = v["demand_multiplier_ratio"] * v["tokens_behind_spend_ratio"]
        return np.asarray(volume * v["tokens_per_answer_ratio"])

    @cached_property
    def _active_frac(self) -> Floats | float:
        """Share of the day over which traffic without a rhythm is spread: the hours on."""
        if self.served.has_rhythm:  # it already says when traffic comes
            return 1.0
        return np.asarray(self.inputs["operating_hours_per_day"] / HOURS_PER_DAY)

    @cached_property
    def work_tokens_per_s(self) -> Floats:
        """Mean load of month 1 in output-equivalent tokens per second, shape S."""
        v, s = self.inputs, self.served
        kept = 1 - v["prefix_cache_retained_frac"]
        fresh = s.fresh_input_tokens + s.cache_read_tokens * kept
        work = v["input_token_work_ratio"] * fresh + s.output_tokens
        seconds = v.fixed("hours_per_month") * SECONDS_PER_HOUR
        return np.asarray(self._answers_ratio * work / (seconds * self._active_frac))

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

    def _mean_demand_ratio(self, curve: CapacityCurve) -> Floats:
        """Mean load of month 1 as a multiple of the stretch that was simulated, shape S."""
        v = self.inputs
        work_s = curve.work_s(self.served, v["prefix_cache_retained_frac"])
        load = self._answers_ratio * v["capacity_error_ratio"] / self._active_frac
        return np.asarray(load * work_s / curve.reference_work_s)

    def _peak_demand_ratio(self, curve: CapacityCurve) -> Floats:
        """The same of the slice's busiest hour against the busiest hour that was simulated.

        Bursts within the hour are in the simulation, and are not applied again.
        """
        if self.served.has_rhythm:
            peak: Floats | float = curve.hourly_peak_ratio(self.served)
        else:
            peak = self.inputs["peak_to_mean_ratio"]
        return np.asarray(self._mean_demand_ratio(curve) * peak / curve.reference_peak_ratio)

    @cached_property
    def mean_replicas(self) -> Floats:
        """Replicas' worth of work in month 1 on average, were none ever idle, shape S."""
        curve = self.sizing.capacity
        if curve is None:
            return np.asarray(self.work_tokens_per_s / self.replica_work_tokens_per_s)
        return np.asarray(self._mean_demand_ratio(curve) / curve.full_load_ratio)

    @cached_property
    def busy_replicas(self) -> Floats:
        """Replicas' worth of work in each month on average, shape (horizon,) + S."""
        if self.served.n_types == 0:
            return np.zeros_like(self.paths.months)
        return np.asarray(self.mean_replicas * self.paths.demand)

    @cached_property
    def _needed_replicas(self) -> Floats:
        """Replicas that the demand of each month needs, in parts, shape (horizon,) + S."""
        headroom = 1 + self.inputs["headroom_frac"]
        if self.sizing.utilization_frac is not None:
            return np.asarray(self.mean_replicas * self.peak_factor_ratio * self.paths.demand)
        curve = self.sizing.capacity
        if curve is None:
            factor = self.peak_factor_ratio * headroom
            return np.asarray(self.mean_replicas * factor * self.paths.demand)
        demand = self._peak_demand_ratio(curve) * headroom * self.paths.demand
        return np.asarray(curve.replicas_at(demand) * (1 - ROUNDING_FRAC))

    @cached_property
    def n_replicas(self) -> Floats:
        """Replicas kept in each month once live, shape (horizon,) + S."""
        v = self.inputs
        if self.served.n_types == 0:
            return np.zeros_like(self.paths.months)
        needed = self._needed_replicas
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
        always = v["gpu_usd_per_gpu_hour"] * v["n_gpus_per_replica"] * v.fixed("hours_per_month")
        scale = always * reserved_frac * (1 - v["reserved_discount_frac"])
        term = round(v.fixed("reserved_term_months"))
        owed = most_of_term(kept, term) * deployment.started * paths.reserved_price
        rents.append(Line("GPU rent, reserved", "gpus", scale, owed))
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


def most_of_term(n_kept: Floats, term_months: int) -> Floats:
    """The most that any month of a term needs, owed in all of them.

    Examples
    --------
    >>> most_of_term(np.array([1.0, 3.0, 2.0, 1.0]), 2).tolist()
    [3.0, 3.0, 2.0, 2.0]
    """
    owed = np.empty_like(n_kept)
    for start in range(0, len(n_kept), term_months):
        owed[start : start + term_months] = n_kept[start : start + term_months].max(axis=0)
    return owed


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


@dataclass(frozen=True)
class Vintages:
    """GPUs bought in each month, and those in service after it; shape (horizon,) + S each."""

    n_bought_gpus: Floats
    n_owned_gpus: Floats

    def left_frac(self, residual_value_frac: Floats) -> Floats:
        """Value at the end of the horizon as a share of its price, by month of purchase.

        Falls by the same share each month, through the resale value at three years of age.
        """
        horizon = len(self.n_bought_gpus)
        ages = calendar(horizon, self.n_bought_gpus.ndim - 1)[::-1] + 1
        return np.asarray(residual_value_frac ** (ages / RESALE_AGE_MONTHS))


def purchases(n_needed_gpus: Floats, life_months: int) -> Vintages:
    """Buy what is missing in each month; what was bought wears out after `life_months`.

    Examples
    --------
    >>> purchases(np.array([2.0, 2.0, 3.0, 1.0]), 2).n_bought_gpus.tolist()
    [2.0, 0.0, 3.0, 0.0]
    """
    bought, owned = np.zeros_like(n_needed_gpus), np.zeros_like(n_needed_gpus)
    alive = np.zeros_like(n_needed_gpus[0])
    for month, need in enumerate(n_needed_gpus):
        if month >= life_months:
            alive = alive - bought[month - life_months]
        bought[month] = np.maximum(need - alive, 0.0)
        alive = alive + bought[month]
        owned[month] = alive
    return Vintages(bought, owned)


def owned_vintages(fleet: Fleet, deployment: Deployment) -> Vintages:
    """Purchases for one fleet: the first order is for the demand at go-live, placed at the start.

    Growth is bought in the month that needs it: the wait for later hardware is not modelled.
    """
    v = fleet.inputs
    serving = np.where(deployment.live > 0, fleet.n_replicas, 0.0)
    needed = np.where(serving > 0, serving, _first_positive(serving)) * v["n_gpus_per_replica"]
    return purchases(needed, round(v.fixed("depreciation_years") * MONTHS_PER_YEAR))


def _first_positive(n_by_month: Floats) -> Floats:
    """First value above zero along the months, 0 where there is none; shape S."""
    first = np.argmax(n_by_month > 0, axis=0)
    return np.asarray(np.take_along_axis(n_by_month, first[None], axis=0)[0])


def owned_lines(fleet: Fleet, deployment: Deployment) -> list[Line]:
    """Purchase, power, cooling, hosting, maintenance, resale, and what stands around the GPUs."""
    v = fleet.inputs
    vintages = owned_vintages(fleet, deployment)
    running = vintages.n_owned_gpus * deployment.started
    price = v["gpu_purchase_usd_per_gpu"] + v["server_usd_per_gpu"]
    power = v["gpu_power_kw"] * v["pue_ratio"]
    kwh = power * _fleet_hours(v) * v["electricity_usd_per_kwh"]
    upkeep = price * v["hardware_maintenance_frac_per_year"] / MONTHS_PER_YEAR
    kept = 1 - v["hardware_obsolete_event"] * v["obsolescence_loss_frac"]
    left = (vintages.n_bought_gpus * vintages.left_frac(v["residual_value_frac"])).sum(axis=0)
    last = one_month(deployment.months.size, deployment.months)
    network = (
        price
        * v["supporting_infrastructure_frac"]
        / (v.fixed("depreciation_years") * MONTHS_PER_YEAR)
    )
    return [
        Line("GPU and server purchase", "gpus", price, vintages.n_bought_gpus, capital=True),
        Line("resale of GPUs and servers", "gpus", -price * kept, left * last, capital=True),
        Line("electricity and cooling", "power and hosting", kwh, running),
        Line("colocation", "power and hosting", power * v["hosting_usd_per_kw_month"], running),
        Line("hardware maintenance", "power and hosting", upkeep, running),
        Line("around owned GPUs", "supporting infrastructure", network, running),
        storage_line(v, deployment),
    ]
