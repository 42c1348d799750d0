"""What a fleet of today's size costs for each million tokens, idle time included and without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.fleet import Fleet
from weighbridge.units import HOURS_PER_DAY, TOKENS_PER_MTOK


@dataclass(frozen=True, slots=True)
class UnitCost:
    """One fleet at the traffic of month 1; arrays of shape S.

    Attributes
    ----------
    n_replicas : array
        Kept, with headroom and spare.
    utilization_frac : array
        Mean load over what they could do without a pause.
    reserved_usd_per_mtok, full_load_usd_per_mtok : array
        Rent of the GPUs over the tokens of today's traffic that they serve: for every hour that
        they are kept, and for busy hours alone [USD per million tokens].
    """

    n_replicas: Floats
    utilization_frac: Floats
    reserved_usd_per_mtok: Floats
    full_load_usd_per_mtok: Floats


def unit_cost(fleet: Fleet, usd_per_gpu_hour: Floats) -> UnitCost:
    """Rent of a fleet in its first month per million tokens of the traffic that it serves.

    Tokens are those of today's model, so that the figure stands beside the API's price. At full
    load the hours that the fleet waits are left out: what a benchmark's price per token does, and
    what no fleet that is sized for a peak can have.

    Parameters
    ----------
    fleet : Fleet
        Of at least one query type.
    usd_per_gpu_hour : array
        Rent [USD per GPU and hour].
    """
    v, served = fleet.inputs, fleet.served
    hours = v.fixed("hours_per_month") * v["operating_hours_per_day"] / HOURS_PER_DAY
    usd_per_replica = usd_per_gpu_hour * v["n_gpus_per_replica"] * hours
    volume = v["demand_multiplier_ratio"] * v["tokens_behind_spend_ratio"]
    mtok = volume * served.total_tokens / TOKENS_PER_MTOK
    kept, busy = fleet.n_replicas[0], fleet.busy_replicas[0]
    return UnitCost(
        n_replicas=np.asarray(kept),
        utilization_frac=np.asarray(busy / kept),
        reserved_usd_per_mtok=np.asarray(kept * usd_per_replica / mtok),
        full_load_usd_per_mtok=np.asarray(busy * usd_per_replica / mtok),
    )
