"""What keeps a fleet from serving more: the resource behind the target that gives first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from weighbridge.capacity.served import Served
from weighbridge.capacity.slo import Slo, duration_text

Resource = Literal["kv_memory", "prefill_compute", "decode_bandwidth", "queue", "nothing"]
WORDS: dict[Resource, str] = {
    "kv_memory": "KV memory",
    "prefill_compute": "prefill compute",
    "decode_bandwidth": "decode bandwidth",
    "queue": "queue",
    "nothing": "nothing",
}
# From here on a resource counts as full.
FULL_FRAC = 0.9
# Below this busy share in the peak it is bursts, not work, that a target dies of.
BURST_FRAC = 0.6


@dataclass(frozen=True, slots=True)
class Binding:
    """The resource that binds, the target that it breaks first, and a sentence of it."""

    resource: Resource
    target: str
    text: str

    @property
    def words(self) -> str:
        """Resource and target in a few words."""
        name = WORDS[self.resource]
        return f"{name} ({self.target})" if self.target else name


def binding(too_few: Served | None, slo: Slo, prefill_frac: float, n_max_requests: int) -> Binding:
    """Read off the largest fleet that was too small what it lacked.

    Parameters
    ----------
    too_few : Served, optional
        One replica fewer than needed, in the peak; None where one replica is enough.
    slo : Slo
    prefill_frac : float
        Share of the work that prompts are [1].
    n_max_requests : int
        Most requests that a replica runs at once.
    """
    if too_few is None:
        return Binding("nothing", "", "one replica is enough")
    ratios = [
        reached / target.limit_s
        for target, reached in zip(slo.targets, too_few.reached_s, strict=True)
    ]
    worst = int(np.nanargmax(ratios)) if not np.isnan(ratios).all() else 0
    target, reached_s = slo.targets[worst], too_few.reached_s[worst]
    resource = _resource(too_few, prefill_frac, n_max_requests)
    text = (
        f"with {too_few.n_replicas} replica{'s' if too_few.n_replicas > 1 else ''} "
        f"{target.name} is {duration_text(reached_s)}, allowed {duration_text(target.limit_s)}: "
        f"{_because(resource, too_few, prefill_frac)}"
    )
    return Binding(resource, target.name, text)


def _resource(too_few: Served, prefill_frac: float, n_max_requests: int) -> Resource:
    if too_few.n_preemptions > 0.01 * too_few.n_requests or too_few.mean_kv_frac > FULL_FRAC:
        return "kv_memory"
    if too_few.mean_batch_requests > FULL_FRAC * n_max_requests:
        return "queue"
    if too_few.utilization_frac < BURST_FRAC:
        return "queue"
    return "prefill_compute" if prefill_frac >= 0.5 else "decode_bandwidth"


def _because(resource: Resource, too_few: Served, prefill_frac: float) -> str:
    busy = f"replicas are busy {too_few.utilization_frac:.0%} of the time"
    match resource:
        case "kv_memory":
            return (
                f"the cache is {too_few.mean_kv_frac:.0%} full and {too_few.n_preemptions:,} "
                "requests were thrown out of it"
            )
        case "queue":
            return f"{busy}, with {too_few.mean_batch_requests:.0f} requests each: bursts queue"
        case _:
            return f"{busy}, {prefill_frac:.0%} of it for prompts"
