"""Simulations from their inputs to their outcome."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import layout as at
from weighbridge.capacity.simulation.checks import check
from weighbridge.capacity.simulation.compiled import Run, compiled_run, numba_is_here
from weighbridge.capacity.simulation.control import Control
from weighbridge.capacity.simulation.layout import Reals, Words
from weighbridge.capacity.simulation.memory import lay_out
from weighbridge.capacity.simulation.results import outcome
from weighbridge.capacity.simulation.routing import run as plain_run
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Requests
from weighbridge.units import InputError

Progress = Callable[[int, int], None]
REQUESTS_PER_REPORT = 65536


def simulate(  # noqa: PLR0913
    requests: Requests,
    step_time: StepTime,
    limits: EngineLimits,
    fleet: FleetPlan | None = None,
    *,
    compiled: bool | None = None,
    fast_forward: bool = True,
    on_progress: Progress | None = None,
) -> Outcome:
    """Serve a stretch of traffic with a fleet of replicas.

    Requests that arrive during an iteration join at its end. A decoding request reads its prompt
    and all tokens it has made, the newest included. With prefix caching, blocks stay after their
    request and are evicted least recently used first; a preempted request finds again what is
    left of its own. A request refused for lack of blocks is asked again when some were freed.

    Parameters
    ----------
    requests : Requests
    step_time : StepTime
        Time of an iteration of one rank; a replica's lasts as long as its slowest rank's.
    limits : EngineLimits
    fleet : FleetPlan, optional
        One replica where it is not given. Replicas at the start are ready at time 0; time in
        which one is lost is not paid for. What a lost replica made of a request counts for
        nothing: queue, first token and cached tokens are those of the last attempt.
    compiled : bool, optional
        Use numba; by default where it is installed. The result is the same.
    fast_forward : bool
        Take stretches in which nothing but decoding happens in one go; iteration by iteration
        otherwise, with the same result up to rounding.
    on_progress : callable, optional
        Told how many requests were routed, of how many.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        Where a request can never fit, the tables are too short for the limits, the fleet
        contradicts itself, losses leave requests that nobody serves, or numba is asked for and
        not there.

    Examples
    --------
    >>> import numpy as np
    >>> from weighbridge.capacity.step_time import EngineLimits, StepTime
    >>> from weighbridge.capacity.traffic import Requests
    >>> two = Requests(np.array([0.0, 0.5]), np.array([100, 100]), np.array([3, 1]))
    >>> step = StepTime(np.full(3, 1.0), np.full(201, 2.0), 0.0, 0.0, 0.0, "roofline")
    >>> end = simulate(two, step, EngineLimits(1600, 2, 200), compiled=False)
    >>> end.ttft_s.tolist(), end.e2e_s.tolist(), end.queue_s.tolist()
    ([2.0, 3.5], [5.0, 3.5], [0.0, 1.5])
    """
    fleet = FleetPlan(1) if fleet is None else fleet
    check(requests, step_time, limits, fleet)
    m, f = lay_out(requests, step_time, limits, fleet)
    m[at.FAST] = fast_forward
    return _work_off(m, f, step_time, fleet, compiled, on_progress)


def simulate_closed_loop(  # noqa: PLR0913
    requests: Requests,
    n_concurrent: int,
    step_time: StepTime,
    limits: EngineLimits,
    fleet: FleetPlan | None = None,
    *,
    compiled: bool | None = None,
    fast_forward: bool = True,
    on_progress: Progress | None = None,
) -> Outcome:
    """Serve requests as a load generator of fixed concurrency sends them.

    All first `n_concurrent` requests are sent at time 0, then the next whenever one ends; times of
    arrival in `requests` are not used. Latencies count from the moment of sending.

    Parameters
    ----------
    requests : Requests
    n_concurrent : int
        Requests outstanding at once, over the whole fleet.
    step_time, limits, fleet, compiled, fast_forward, on_progress
        As for `simulate`; the fleet can neither scale nor lose replicas.

    Raises
    ------
    InputError
        As `simulate`, and where `n_concurrent` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from weighbridge.capacity.step_time import EngineLimits, StepTime
    >>> from weighbridge.capacity.traffic import Requests
    >>> three = Requests(np.zeros(3), np.full(3, 100), np.full(3, 2))
    >>> step = StepTime(np.full(3, 1.0), np.full(201, 2.0), 0.0, 0.0, 0.0, "roofline")
    >>> simulate_closed_loop(three, 1, step, EngineLimits(1600, 2, 200), compiled=False).end_s
    9.0
    """
    fleet = FleetPlan(1) if fleet is None else fleet
    if n_concurrent < 1:
        raise InputError("simulate_closed_loop", "n_concurrent", "is below 1", "give at least 1")
    if fleet.autoscaling is not None or fleet.losses:
        raise InputError(
            "FleetPlan",
            "autoscaling" if fleet.autoscaling is not None else "losses",
            "has no meaning under a closed loop",
            "leave it out, or use simulate with arrivals",
        )
    check(requests, step_time, limits, fleet)
    m, f = lay_out(requests, step_time, limits, fleet)
    m[at.FAST] = fast_forward
    m[at.N_CONCURRENT] = n_concurrent
    return _work_off(m, f, step_time, fleet, compiled, on_progress)


def _kernel(compiled: bool | None) -> Run | None:
    """The compiled kernel, or None for the plain one."""
    if compiled is False or (compiled is None and not numba_is_here()):
        return None
    if not numba_is_here():
        raise InputError(
            "simulate", "compiled", "numba is not installed", "pip install weighbridge[fast]"
        )
    return compiled_run()


def _work_off(  # noqa: PLR0913, PLR0917
    m: Words,
    f: Reals,
    step_time: StepTime,
    fleet: FleetPlan,
    compiled: bool | None,
    on_progress: Progress | None,
) -> Outcome:
    """Run the stores to the end, as arrays or as lists."""
    run = _kernel(compiled)
    if run is not None:
        _drive(m, f, run, fleet, on_progress)
        return outcome(m, f, step_time)
    words, reals = m.tolist(), f.tolist()
    _drive(words, reals, plain_run, fleet, on_progress)
    return outcome(np.array(words, np.int64), np.array(reals, np.float64), step_time)


def _drive(m: Words, f: Reals, run: Run, fleet: FleetPlan, on_progress: Progress | None) -> None:
    """Alternate between the kernel and what happens to the fleet, until all requests ended."""
    control = Control(m, f, fleet)
    n_requests = (m[at.END] - at.REQUEST0) // at.REQUEST_WORDS
    while m[at.N_ENDED] < n_requests:
        until_s = control.next_s
        run(m, f, until_s, REQUESTS_PER_REPORT)
        i = m[at.NEXT_REQUEST]
        if on_progress is not None:
            on_progress((i - at.REQUEST0) // at.REQUEST_WORDS, n_requests)
        if i < m[at.END] and (m[at.N_CONCURRENT] > 0 or f[(i >> 2) + at.ARRIVAL] < until_s):
            continue
        if until_s == at.INF:
            break
        if m[at.N_ENDED] < n_requests:
            control.act()
    if m[at.N_ENDED] < n_requests:
        raise InputError(
            "FleetPlan",
            "losses",
            f"leave {n_requests - m[at.N_ENDED]} requests that no replica ever serves",
            "let a replica return, add one, or let requests overflow",
        )
    if n_requests:
        control.close(_end_s(m, f))


def _end_s(m: Words, f: Reals) -> float:
    """When the last request ended, or came where it overflowed."""
    times = [0.0, f[((m[at.END] - at.REQUEST_WORDS) >> 2) + at.ARRIVAL]]
    for number in range(m[at.N_REPLICAS]):
        times.append(f[m[m[at.REPLICA0] + number * at.REPLICA_WORDS + at.REAL] + at.TIME])
    return float(max(times))
