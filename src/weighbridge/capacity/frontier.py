"""Latency, throughput and cost of one deployment as the load of each replica rises."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.capacity.served import Served
from weighbridge.capacity.sizing import Case, Sizer, resized

LOADS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
BEYOND = (1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0)


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One load of the same fleet.

    Attributes
    ----------
    load_ratio : float
        Traffic of the peak against what the fleet was sized for [1].
    tokens_per_s : float
        Prompt and answer tokens of one replica, mean over the window [tokens/s].
    output_tokens_per_s : float
        Answer tokens of one replica [tokens/s].
    peak : Served
    """

    load_ratio: float
    tokens_per_s: float
    output_tokens_per_s: float
    peak: Served


def frontier(case: Case, sought: Sizer, n_replicas: int) -> tuple[FrontierPoint, ...]:
    """Hold the fleet and raise the users, from a tenth of the peak until the SLO breaks.

    Parameters
    ----------
    case : Case
    sought : Sizer
        The case's peak at demand 1.
    n_replicas : int
        The fleet that is held.
    """
    points = [_point(case, sought, n_replicas, load) for load in LOADS]
    for load in BEYOND:
        points.append(_point(case, sought, n_replicas, load))
        if not points[-1].peak.slo_met:
            break
    return tuple(points)


def _point(case: Case, sought: Sizer, n_replicas: int, load_ratio: float) -> FrontierPoint:
    loaded = resized(case, case.band.mid, sought.load, load_ratio)
    peak = loaded.try_out(n_replicas)
    per_replica_s = max(peak.duration_s * n_replicas, 1e-9)
    return FrontierPoint(
        load_ratio=load_ratio,
        tokens_per_s=peak.tokens / per_replica_s,
        output_tokens_per_s=peak.output_tokens / per_replica_s,
        peak=peak,
    )
