"""How things run over the months: growth, price paths, and the deployment from order to go-live."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.inputs import Inputs
from weighbridge.units import MONTHS_PER_YEAR, WEEKS_PER_MONTH

PHASES: tuple[tuple[str, float, float], ...] = (
    # Weeks 0-7, 7-12, 12-16 and 16-24 of 24. Source: Azumo, on the true cost of self-hosting LLMs.
    ("planning and first model", 0.0, 7 / 24),
    ("hardening", 7 / 24, 12 / 24),
    ("optimisation", 12 / 24, 16 / 24),
    ("stabilisation", 16 / 24, 1.0),
)


def calendar(horizon_months: int, ndim: int) -> Floats:
    """0, 1, … horizon - 1 on the first axis, with `ndim` axes of length 1 behind it.

    Everything by month has shape (horizon,) + S, where S is the shape of the inputs: months come
    first, so that an input broadcasts against them as it is.
    """
    return np.arange(horizon_months, dtype=np.float64).reshape(-1, *(1,) * ndim)


def elapsed(instant_month: Floats, months: Floats) -> Floats:
    """Share of each month that lies after an instant, shape (horizon,) + S, 0 to 1.

    Examples
    --------
    >>> elapsed(np.array(1.25), calendar(4, 0)).tolist()
    [0.0, 0.75, 1.0, 1.0]
    """
    instant = np.asarray(instant_month)
    share = np.ones(np.broadcast_shapes(months.shape, instant.shape))
    unsettled = share[: max(0, int(np.ceil(instant.max())))]  # later months lie wholly after it
    np.subtract(months[: len(unsettled)] + 1, instant, out=unsettled)
    np.clip(unsettled, 0.0, 1.0, out=unsettled)
    return share


def compounded(rate_frac_per_year: Floats, months: Floats) -> Floats:
    """Factor (1 + r)^(months / 12), shape (horizon,) + S."""
    return np.asarray(np.exp(np.log1p(rate_frac_per_year) / MONTHS_PER_YEAR * months))


def from_month(month: float, months: Floats) -> Floats:
    """1 from a month of the horizon (1 = the first) on, else 0; shape of `months`."""
    return np.asarray(months + 1 >= month, np.float64)


def one_month(month: float, months: Floats) -> Floats:
    """1 in that month, else 0; shape of `months`."""
    return np.asarray(months + 1 == round(month), np.float64)


def stepped(factor: Floats, happens: Floats, month: float, months: Floats) -> Floats:
    """1 before a month and `factor` from it on, where the event happens; shape (horizon,) + S."""
    return np.asarray(1 + (factor - 1) * happens * from_month(month, months))


@dataclass(frozen=True)
class Paths:
    """Monthly paths shared by every option: traffic, API price and GPU price (month 1 = 1)."""

    inputs: Inputs
    months: Floats  # calendar of the evaluation

    @cached_property
    def demand(self) -> Floats:
        """Traffic of each month against today's, without the volume multiplier [1]."""
        v, h = self.inputs, self.months
        growth = np.log1p(v["demand_growth_frac_per_month"])
        path: Floats = np.exp(growth * self.months)
        month = v.fixed("traffic_event_month")
        for event, factor in (("traffic_halves_event", 0.5), ("traffic_triples_event", 3.0)):
            if not v.is_zero(event):
                path = path * stepped(np.array(factor), v[event], month, h)
        return path

    @cached_property
    def api_price(self) -> Floats:
        """API price of each month against today's: locked for a time, then the market's [1]."""
        v, h = self.inputs, self.months
        lock = v.fixed("api_price_lock_months")
        drifting = np.where(self.months < lock, 0.0, self.months)
        path = compounded(v["api_price_change_frac_per_year"], drifting)
        month = max(v.fixed("api_price_event_month"), lock + 1)
        if not v.is_zero("api_price_cut_event"):
            cut = 1 - v["api_price_cut_frac"]
            path = path * stepped(cut, v["api_price_cut_event"], month, h)
        if not v.is_zero("api_price_rise_event"):
            rise = 1 + v["api_price_rise_frac"]
            path = path * stepped(rise, v["api_price_rise_event"], month, h)
        return path

    @cached_property
    def demand_at_api_price(self) -> Floats:
        """Traffic times API price of each month against today's [1]."""
        return self.demand * self.api_price

    @cached_property
    def gpu_price(self) -> Floats:
        """GPU rental price of each month against today's [1]."""
        return compounded(self.inputs["gpu_price_change_frac_per_year"], self.months)

    @cached_property
    def reserved_price(self) -> Floats:
        """The same for reserved GPUs: locked for a term, renewed at the price of that month [1]."""
        term = self.inputs.fixed("reserved_term_months")
        renewals = np.floor(self.months / term) * term
        return compounded(self.inputs["gpu_price_change_frac_per_year"], renewals)


@dataclass(frozen=True)
class Deployment:
    """When a way of serving is ready, and what is under way until then. Instants in months.

    Attributes
    ----------
    start_month, go_live_month, end_month : array of shape S
        Hardware delivered and engineers start; traffic served; engineers leave.
    """

    start_month: Floats
    go_live_month: Floats
    end_month: Floats
    months: Floats

    @cached_property
    def started(self) -> Floats:
        """Share of each month after delivery, shape (horizon,) + S."""
        return elapsed(self.start_month, self.months)

    @cached_property
    def live(self) -> Floats:
        """Share of each month in which the traffic is served."""
        return elapsed(self.go_live_month, self.months)

    @cached_property
    def building(self) -> Floats:
        """Share of each month between delivery and go-live."""
        return self.started - self.live

    @cached_property
    def after_end(self) -> Floats:
        """Share of each month after the deployment's engineers left."""
        return elapsed(self.end_month, self.months)

    @cached_property
    def arrival(self) -> Floats:
        """Sums to 1 over the months around go-live: the profile of costs that fall due then."""
        before = np.zeros_like(self.live)
        before[1:] = self.live[:-1]
        return self.live - before

    @cached_property
    def phases(self) -> tuple[tuple[str, Floats], ...]:
        """Share of each month spent in each phase of the deployment."""
        length = self.end_month - self.start_month
        inner = [elapsed(self.start_month + end * length, self.months) for _, _, end in PHASES[:-1]]
        passed = [self.started, *inner, self.after_end]
        return tuple((name, passed[i] - passed[i + 1]) for i, (name, _, _) in enumerate(PHASES))


def self_hosted_deployment(inputs: Inputs, procurement_weeks: Floats, months: Floats) -> Deployment:
    """The four phases of a team's own deployment, after the wait for hardware."""
    wait = procurement_weeks / WEEKS_PER_MONTH
    slip = inputs["timeline_slip_event"] * inputs["timeline_slip_weeks"] / WEEKS_PER_MONTH
    length = inputs["deployment_months"] + slip
    return Deployment(
        start_month=wait,
        go_live_month=wait + inputs["go_live_frac"] * length,
        end_month=wait + length,
        months=months,
    )


def managed_deployment(inputs: Inputs, months: Floats) -> Deployment:
    """Weeks instead of months: the platform brings the stack."""
    ready = inputs["managed_deployment_weeks"] / WEEKS_PER_MONTH
    start = np.zeros_like(ready)
    return Deployment(start, ready, ready, months)
