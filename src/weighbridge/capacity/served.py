"""What a fleet gave for its hours: latencies, goodput, busy time, tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.slo import METRICS, STATISTICS, Bools, Slo, latency_s, statistic_s
from weighbridge.capacity.traffic import Floats, Requests


@dataclass(frozen=True, slots=True)
class Served:
    """One simulated fleet over one stretch of traffic.

    Attributes
    ----------
    n_replicas : int
        Without autoscaling; with it the most that were on.
    latency_s : mapping of metric to mapping of statistic to float
        ttft, tpot and e2e by mean, p50, p90, p95 and p99; NaN where no request has it [s].
    reached_s : tuple of float
        What each target of the SLO came to [s].
    slo_met : bool
    within_slo_frac : float
        Share of all requests that stayed within every limit themselves [1].
    duration_s : float
        From the first arrival to the last answer [s].
    n_requests, n_overflowed : int
        All of them, and those that went to an API.
    mean_requests_per_s, goodput_requests_per_s, goodput_tokens_per_s : float
        Arrivals, and requests and tokens within the SLO, over the duration.
    input_tokens, output_tokens : int
        Prompt and answer tokens of the requests that replicas served [tokens].
    busy_s, on_s : float
        Over all replicas: time in iterations, and time paid for [s].
    utilization_frac : float
        `busy_s / on_s` [1]. A replica is busy with one request already: see `load_by_step`.
    mean_batch_requests : float
        Decoding requests of a busy replica, mean over busy time [requests].
    mean_kv_frac, peak_kv_frac : float
        Share of the cache held by live requests [1].
    n_preemptions : int
    prefix_hit_frac : float
        Prompt tokens taken from the prefix cache over all prompt tokens [1].
    """

    n_replicas: int
    latency_s: Mapping[str, Mapping[str, float]]
    reached_s: tuple[float, ...]
    slo_met: bool
    within_slo_frac: float
    duration_s: float
    n_requests: int
    n_overflowed: int
    mean_requests_per_s: float
    goodput_requests_per_s: float
    goodput_tokens_per_s: float
    input_tokens: int
    output_tokens: int
    busy_s: float
    on_s: float
    utilization_frac: float
    mean_batch_requests: float
    mean_kv_frac: float
    peak_kv_frac: float
    n_preemptions: int
    prefix_hit_frac: float

    @property
    def tokens(self) -> int:
        """Prompt and answer tokens that replicas served [tokens]."""
        return self.input_tokens + self.output_tokens


def served(requests: Requests, outcome: Outcome, slo: Slo, judged: Bools | None = None) -> Served:
    """Sum an outcome up.

    Parameters
    ----------
    requests : Requests
    outcome : Outcome
        Of these requests.
    slo : Slo
    judged : bool array of shape (N,), optional
        Requests whose latencies count; all where not given. Work and tokens are of all.
    """
    kept = outcome.replica >= 0
    tokens = requests.input_tokens + requests.output_tokens
    within = slo.within(outcome)
    first_s = float(requests.arrival_s[0]) if requests.n_requests else 0.0
    duration_s = max(outcome.end_s - first_s, 1e-9)
    busy_s, on_s = float(outcome.busy_s.sum()), float(outcome.on_s.sum())
    input_tokens = int(requests.input_tokens[kept].sum())
    return Served(
        n_replicas=len(outcome.busy_s),
        latency_s={
            metric: {
                name: statistic_s(latency_s(outcome, metric, judged), name) for name in STATISTICS
            }
            for metric in METRICS
        },
        reached_s=slo.reached_s(outcome, judged),
        slo_met=slo.is_met(outcome, judged),
        within_slo_frac=float(within.mean()) if len(within) else 1.0,
        duration_s=duration_s,
        n_requests=requests.n_requests,
        n_overflowed=int((~kept).sum()),
        mean_requests_per_s=requests.n_requests / duration_s,
        goodput_requests_per_s=float(within.sum()) / duration_s,
        goodput_tokens_per_s=float(tokens[within].sum()) / duration_s,
        input_tokens=input_tokens,
        output_tokens=int(requests.output_tokens[kept].sum()),
        busy_s=busy_s,
        on_s=on_s,
        utilization_frac=busy_s / on_s if on_s > 0 else 0.0,
        mean_batch_requests=_by_busy(outcome.mean_batch_requests, outcome.busy_s),
        mean_kv_frac=_by_busy(outcome.mean_kv_frac, outcome.busy_s),
        peak_kv_frac=float(outcome.peak_kv_frac.max()) if len(outcome.peak_kv_frac) else 0.0,
        n_preemptions=int(outcome.n_preemptions.sum()),
        prefix_hit_frac=float(outcome.cached_tokens.sum()) / max(input_tokens, 1),
    )


def _by_busy(values: Floats, busy_s: Floats) -> float:
    total_s = busy_s.sum()
    return float(values @ busy_s / total_s) if total_s > 0 else 0.0


def load_by_step(
    requests: Requests, n_replicas: int, full_tokens_per_s: float, step_s: float
) -> Floats:
    """Tokens that arrive in each step of the clock over those of a fleet that is always full.

    Parameters
    ----------
    requests : Requests
    n_replicas : int
    full_tokens_per_s : float
        Of one replica at full load [tokens/s].
    step_s : float
        Length of one step of the clock [s].

    Returns
    -------
    float64 array
        One share per whole step [1]; short bursts may exceed 1 and wait.

    Examples
    --------
    >>> r = Requests(np.array([0.0, 1.0]), np.array([5, 10]), np.array([5, 10]))
    >>> load_by_step(r, 2, 20.0, 1.0).tolist()
    [0.25, 0.5]
    """
    steps = ((requests.arrival_s - requests.arrival_s[0]) / step_s).astype(np.int64)
    tokens = (requests.input_tokens + requests.output_tokens).astype(np.float64)
    by_step = np.bincount(steps, weights=tokens)
    n_whole = int(requests.duration_s / step_s)
    if 1 < n_whole < len(by_step):  # what is left after the last whole step would look idle
        by_step = by_step[:n_whole]
    return np.asarray(by_step / (n_replicas * full_tokens_per_s * step_s))
