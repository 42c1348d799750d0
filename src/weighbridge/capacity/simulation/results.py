"""From the stores of a finished simulation to its outcome."""

from __future__ import annotations

from typing import Any

import numpy as np

from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import layout as at
from weighbridge.capacity.simulation.layout import Reals, Words
from weighbridge.capacity.simulation.memory import FLOAT_REQUEST0
from weighbridge.capacity.step_time import StepTime


def outcome(m: Words, f: Reals, step_time: StepTime) -> Outcome:
    """Latencies per request and work per replica.

    Parameters
    ----------
    m, f
        The stores, with every request ended.
    step_time : StepTime
        Gives what is added to each time to first token.
    """
    words = m[at.REQUEST0 : m[at.END]].reshape(-1, at.REQUEST_WORDS)
    n_requests = len(words)
    times = f[FLOAT_REQUEST0 : FLOAT_REQUEST0 + 4 * n_requests].reshape(-1, 4)
    served = words[:, at.RANK] > 0
    arrival, start, first, last = (times[:, k] for k in range(4))
    n_gaps = words[:, at.OUTPUT] - 1
    tpot = np.full(n_requests, np.nan)
    several = served & (n_gaps > 0)
    tpot[several] = (last[several] - first[several]) / n_gaps[several]
    replica = np.full(n_requests, -1, np.int64)
    replica[served] = m[m[words[served, at.RANK] + at.REPLICA] + at.NUMBER]
    return Outcome(
        queue_s=np.where(served, start - arrival, np.nan),
        ttft_s=first - arrival + step_time.first_token_s,
        tpot_s=tpot,
        e2e_s=last - arrival + step_time.first_token_s,
        replica=replica,
        n_preemptions=words[:, at.N_PREEMPTED].copy(),
        cached_tokens=np.maximum(words[:, at.CACHED], 0),
        end_s=float(np.nanmax(last)) if served.any() else 0.0,
        **_replica_figures(m, f),
    )


def _replica_figures(m: Words, f: Reals) -> dict[str, Any]:
    """What each replica did."""
    n_replicas, n_ranks = int(m[at.N_REPLICAS]), int(m[at.N_RANKS])
    r = m[at.REPLICA0] + at.REPLICA_WORDS * np.arange(n_replicas)
    x = m[r + at.REAL]
    q = (m[r + at.RANKS0])[:, None] + at.RANK_WORDS * np.arange(n_ranks)
    busy = f[x + at.BUSY]
    n_blocks = m[at.N_BLOCKS] * n_ranks
    per_busy = np.divide(1.0, busy, out=np.zeros(n_replicas), where=busy > 0.0)
    return {
        "busy_s": busy,
        "on_s": f[x + at.ON],
        "n_iterations": m[r + at.ITERATION],
        "computed_prompt_tokens": m[q + at.PROMPT_TOKENS].sum(axis=1),
        "decoded_tokens": m[q + at.DECODED].sum(axis=1),
        "mean_batch_requests": f[x + at.BATCH_BY_TIME] * per_busy,
        "mean_kv_frac": f[x + at.BLOCKS_BY_TIME] * per_busy / n_blocks,
        "peak_kv_frac": m[q + at.PEAK].max(axis=1) / m[at.N_BLOCKS],
    }
