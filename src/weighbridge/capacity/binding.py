"""What keeps a fleet from serving more: the resource behind the target that gives first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weighbridge.capacity.served import Served
from weighbridge.capacity.slo import Slo, Target, duration_text

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
# Where the work is below this share of what the replicas can do, a target dies of bursts.
BURST_FRAC = 0.4
# A request that never waits takes more than this of a limit: then its own time, not a queue, is
# what leaves no room.
OWN_TIME_FRAC = 0.5


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


@dataclass(frozen=True, slots=True)
class Pressure:
    """What a fleet was asked to do.

    Attributes
    ----------
    work_ratio : float
        Work in the peak over what the replicas could do, in closed form [1].
    prefill_frac : float
        Share of the work that prompts are [1].
    n_max_requests : int
        Most requests that a replica runs at once.
    """

    work_ratio: float
    prefill_frac: float
    n_max_requests: int


def binding(
    too_few: Served | None,
    slo: Slo,
    pressure: Pressure,
    alone_s: tuple[float, ...] = (),
    is_hopeless: bool = False,
) -> Binding:
    """Read off the largest fleet that was too small what it lacked.

    Parameters
    ----------
    too_few : Served, optional
        One replica fewer than needed, in the peak; None where one replica is enough.
    slo : Slo
    pressure : Pressure
        On those replicas.
    alone_s : tuple of float
        Each target's statistic where no request waits, in the targets' order [s]; empty where it
        is not known. A queue is blamed only for time beyond it.
    is_hopeless : bool
        `too_few` is the largest fleet that there is to try: tell the least target to be met.
    """
    if too_few is None:
        return Binding("nothing", "", "one replica is enough")
    ratios = [
        reached / target.limit_s
        for target, reached in zip(slo.targets, too_few.reached_s, strict=True)
    ]
    worst = int(np.nanargmax(ratios)) if not np.isnan(ratios).all() else 0
    target, reached_s = slo.targets[worst], too_few.reached_s[worst]
    without_wait_s = alone_s[worst] if alone_s else math.nan
    resource = _resource(too_few, pressure, target, without_wait_s)
    text = (
        f"with {too_few.n_replicas} replica{'s' if too_few.n_replicas > 1 else ''} "
        f"{target.name} is {duration_text(reached_s)}, allowed {duration_text(target.limit_s)}: "
        f"{_because(resource, too_few, pressure)}"
    )
    if without_wait_s > OWN_TIME_FRAC * target.limit_s:
        text += f"; alone on a replica, without any wait, it is {duration_text(without_wait_s)}"
    if is_hopeless:
        text += (
            f"; the least {target.name} that can be met is about {duration_text(reached_s)}, "
            f"with {too_few.n_replicas} replicas, the most that are tried here"
        )
    return Binding(resource, target.name, text)


def _resource(
    too_few: Served, pressure: Pressure, target: Target, without_wait_s: float
) -> Resource:
    if too_few.n_preemptions > 0.01 * too_few.n_requests or too_few.mean_kv_frac > FULL_FRAC:
        return "kv_memory"
    # Computation of a prompt, or reading weights for an answer: what the target is made of.
    own: Resource = "prefill_compute" if target.metric == "ttft" else "decode_bandwidth"
    if without_wait_s > OWN_TIME_FRAC * target.limit_s:
        return own
    if target.metric == "tpot":  # no wait for a first token is in it
        return "prefill_compute" if pressure.prefill_frac >= 0.5 else "decode_bandwidth"
    if too_few.mean_batch_requests > FULL_FRAC * pressure.n_max_requests:
        return "queue"
    if pressure.work_ratio < BURST_FRAC:
        return "queue"
    return "prefill_compute" if pressure.prefill_frac >= 0.5 else "decode_bandwidth"


def _because(resource: Resource, too_few: Served, pressure: Pressure) -> str:
    work = f"the work is {pressure.work_ratio:.0%} of what they could do"
    match resource:
        case "kv_memory":
            return (
                f"the cache is {too_few.mean_kv_frac:.0%} full and {too_few.n_preemptions:,} "
                "times a request was thrown out of it"
            )
        case "queue":
            return f"{work}, and bursts of it queue"
        case "prefill_compute":
            return f"{work}, {pressure.prefill_frac:.0%} of it prompts, which others wait for"
        case _:
            return f"{work}, {1 - pressure.prefill_frac:.0%} of it answers"
