"""Hard constraints, before any price: which query types may leave the API, which must."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge.planning.answers import Reason, Replaceable

NETWORK_ROUND_TRIP_S = (0.030, 0.100)
"""Published range of the round trip to a hosted API; source: The Build-vs-Buy LLM Infrastructure
Decision Most Teams Get Wrong."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of one query type, as its owner states it.

    Attributes
    ----------
    replaceable : "yes", "no" or "unknown"
        Whether another model answers well enough; `evidence` says how that is known.
    stays_inside : bool
        Data may not leave the team's own infrastructure.
    custom_weights : bool
        Needs a model that no hosted API serves.
    ttft_p95_s : float or None
        Wanted 95th percentile of the time to first token [s].
    """

    replaceable: Replaceable = "unknown"
    evidence: str = ""
    stays_inside: bool = False
    custom_weights: bool = False
    ttft_p95_s: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the constraints leave for one query type."""

    label: str
    demand: Demand
    movable: bool
    forced: bool
    inside_only: bool  # a managed platform will not do either
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class People:
    """Who could run a fleet."""

    existing_mlops_fte: float
    can_hire: bool
    needed_fte: float


def standing(label: str, demand: Demand, measured_ttft_p95_s: float | None) -> Standing:
    """Apply the constraints to one query type.

    Raises
    ------
    ValueError
        Where the demand contradicts itself: bound to leave the API and not replaceable.
    """
    reasons = []
    if demand.stays_inside:
        reasons.append(
            Reason(
                "residency",
                f"{label}: its data may not leave your own infrastructure, so no hosted API "
                "and no third party's platform may serve it.",
                "the residency constraint is lifted or a provider is approved for the data",
            )
        )
    if demand.custom_weights:
        reasons.append(
            Reason(
                "custom-weights",
                f"{label}: it needs weights that no hosted API serves.",
                "a provider serves the tuned model",
            )
        )
    too_far = _latency_reason(label, demand.ttft_p95_s, measured_ttft_p95_s)
    if too_far is not None:
        reasons.append(too_far)
    forced = bool(reasons)
    if forced and demand.replaceable == "no":
        raise ValueError(
            f"query type {label} must leave the API ({reasons[0].rule}), "
            "and is marked not replaceable"
        )
    inside_only = demand.stays_inside or too_far is not None
    return Standing(label, demand, demand.replaceable != "no", forced, inside_only, tuple(reasons))


def _latency_reason(label: str, wanted_s: float | None, measured_s: float | None) -> Reason | None:
    if wanted_s is None:
        return None
    low, high = NETWORK_ROUND_TRIP_S
    if measured_s is not None and measured_s > wanted_s:
        text = (
            f"{label}: the API's measured time to first token is {measured_s:.2f} s at the 95th "
            f"percentile, above the {wanted_s:.2f} s wanted."
        )
        return Reason("latency", text, f"the target is relaxed above {measured_s:.2f} s")
    if measured_s is None and wanted_s <= high:
        text = (
            f"{label}: {wanted_s * 1000:.0f} ms to the first token cannot be promised over a "
            f"network round trip of {low * 1000:.0f}-{high * 1000:.0f} ms and a provider's queue."
        )
        return Reason("latency", text, f"the target is relaxed above {high * 1000:.0f} ms")
    return None


def option_obstacles(
    hosting: str,
    moved: frozenset[str],
    standings: Mapping[str, Standing],
    people: People,
    unmet_targets: str = "",
) -> tuple[str, ...]:
    """Why an option may not be chosen; empty where it may.

    `unmet_targets` says why no number of replicas keeps the latency targets, where none does.
    """
    obstacles = []
    if moved and unmet_targets:
        obstacles.append(f"no number of replicas serves it: {unmet_targets}")
    forced = [s for s in standings.values() if s.forced]
    left = [s.label for s in forced if s.label not in moved]
    if left:
        obstacles.append(f"leaves {_listed(left)} on the API, against a hard constraint")
    if hosting == "managed":
        inside = [s.label for s in forced if s.inside_only and s.label in moved]
        if inside:
            obstacles.append(f"{_listed(inside)} may not go to a third party's platform")
    if hosting in {"rented", "owned"} and moved:
        short = people.existing_mlops_fte < people.needed_fte
        if short and not people.can_hire:
            obstacles.append(
                f"needs {people.needed_fte:.1f} engineers to run it; "
                f"{people.existing_mlops_fte:.1f} are there and none may be hired"
            )
    return tuple(obstacles)


def _listed(labels: list[str], most: int = 3) -> str:
    shown = ", ".join(labels[:most])
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"
