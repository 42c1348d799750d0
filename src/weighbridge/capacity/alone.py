"""A request that has a replica to itself: the best that any fleet of this kind can give."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from weighbridge.capacity.estimate import repeated_tokens
from weighbridge.capacity.simulation import simulate_closed_loop
from weighbridge.capacity.slo import Slo, duration_text
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.stretch import picked
from weighbridge.capacity.traffic import Requests

N_SAMPLE_REQUESTS = 1000
# A statistic of a sample that misses by less may be met by all requests: the search decides.
SAMPLE_ERROR_RATIO = 1.15


@dataclass(frozen=True, slots=True)
class Alone:
    """Each target's statistic where no request ever waits for another.

    Attributes
    ----------
    reached_s : tuple of float
        In the order of the SLO's targets [s].
    missed : tuple of int
        Positions of the targets that even so are missed.
    why : tuple of str
        What binds each of those.
    """

    reached_s: tuple[float, ...]
    missed: tuple[int, ...]
    why: tuple[str, ...]


def alone(requests: Requests, step_time: StepTime, limits: EngineLimits, slo: Slo) -> Alone:
    """Serve requests one at a time, prompts shortened by all that a cache could have held.

    Parameters
    ----------
    requests : Requests
        Every few of them are taken, spread evenly over their lengths.
    step_time : StepTime
    limits : EngineLimits
    slo : Slo
    """
    fresh = requests.input_tokens
    if limits.prefix_caching:
        fresh = fresh - repeated_tokens(requests)
    n = requests.n_requests
    order = np.lexsort((requests.output_tokens, fresh))
    spread = order[np.unique(np.linspace(0, n - 1, min(n, N_SAMPLE_REQUESTS)).astype(np.int64))]
    sample = picked(replace(requests, input_tokens=fresh, prefix=None), np.sort(spread))
    sample = replace(sample, arrival_s=np.zeros(sample.n_requests))
    outcome = simulate_closed_loop(sample, 1, step_time, limits)
    reached_s = slo.reached_s(outcome)
    margin = SAMPLE_ERROR_RATIO if sample.n_requests < n else 1.0
    missed = tuple(
        i for i, target in enumerate(slo.targets) if reached_s[i] > margin * target.limit_s
    )
    return Alone(reached_s, missed, tuple(_why(slo, i, reached_s[i]) for i in missed))


def _why(slo: Slo, i: int, reached_s: float) -> str:
    target = slo.targets[i]
    lead = (
        f"{target.name} of {duration_text(target.limit_s)} cannot be met at any size: alone on a "
        f"replica it is {duration_text(reached_s)}, about the least that can be met; "
    )
    match target.metric:
        case "ttft":
            return lead + "prefill compute binds (the prompt's own computation)"
        case "tpot":
            return lead + "decode bandwidth binds (weights are read once per token)"
        case _:
            return lead + "decode bandwidth binds (answer length times the time of one token)"
