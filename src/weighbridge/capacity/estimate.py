"""What traffic comes to in closed form: work per request, a floor under the replicas.

No queue, no burst and no waiting prompt is in it, so that it never asks for more than a
simulation: good for a first guess and for what need not be simulated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.slo import Slo
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Floats, Ints, Requests


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of one replica that each request takes at the best batch; arrays of shape (N,).

    Attributes
    ----------
    prefill_s, decode_s : float64 arrays
        For its prompt and for its answer [s].
    n_batch_requests : float
        Requests decoded together, as many as the cache, the scheduler and the targets let.
    """

    prefill_s: Floats
    decode_s: Floats
    n_batch_requests: float

    @property
    def total_s(self) -> Floats:
        """Prompt and answer together [s]."""
        return np.asarray(self.prefill_s + self.decode_s)

    @property
    def prefill_frac(self) -> float:
        """Share of the work that prompts are [1]."""
        return float(self.prefill_s.sum() / max(self.total_s.sum(), 1e-300))


def repeated_tokens(requests: Requests) -> Ints:
    """Prompt tokens that an endless prefix cache would have held already, per request [tokens].

    Parameters
    ----------
    requests : Requests

    Examples
    --------
    >>> from weighbridge.capacity.traffic import PrefixBlocks
    >>> blocks = PrefixBlocks(np.array([0, 1, 0, 2]), np.array([0, 2, 4]), 16)
    >>> r = Requests(np.zeros(2), np.array([32, 32]), np.ones(2, np.int64), prefix=blocks)
    >>> repeated_tokens(r).tolist()
    [0, 16]
    """
    prefix = requests.prefix
    if prefix is None or len(prefix.block_ids) == 0:
        return np.zeros(requests.n_requests, np.int64)
    _, first_at = np.unique(prefix.block_ids, return_index=True)
    is_new = np.zeros(len(prefix.block_ids) + 1, np.int64)
    is_new[first_at] = 1
    n_blocks = np.diff(prefix.offsets)
    # Position of the first new block of each request: everything before it was there.
    new_at = np.flatnonzero(is_new[:-1])
    next_new = np.searchsorted(new_at, prefix.offsets[:-1])
    first_new = np.append(new_at, len(prefix.block_ids))[next_new]
    n_held = np.minimum(first_new - prefix.offsets[:-1], n_blocks)
    held = n_held * prefix.n_tokens_per_block
    return np.asarray(np.minimum(held, requests.input_tokens - 1), np.int64)


def work(
    requests: Requests, step_time: StepTime, limits: EngineLimits, slo: Slo | None = None
) -> Work:
    """Seconds of one replica that each request takes when the replica is full.

    An answer's token costs `decode_s[B] / B` at the largest batch B, and its context; a prompt
    token what it adds to an iteration, `(mixed_s[T] - mixed_s[1]) / (T - 1)` at the full budget T,
    and its attention. Ranks work side by side.

    Parameters
    ----------
    requests : Requests
    step_time : StepTime
    limits : EngineLimits
    slo : Slo, optional
        A target for the time per output token keeps the batch smaller.
    """
    held = repeated_tokens(requests) if limits.prefix_caching else 0
    fresh = (requests.input_tokens - held).astype(np.float64)
    prompt = requests.input_tokens.astype(np.float64)
    answer = requests.output_tokens.astype(np.float64)
    n_batch = _batch(requests, step_time, limits, slo)
    budget = len(step_time.mixed_s) - 1
    mixed = step_time.mixed_s
    per_prompt_token_s = float(mixed[budget] - mixed[1]) / max(budget - 1, 1)
    pairs = fresh * (prompt - fresh) + fresh * (fresh + 1) / 2
    prefill_s = fresh * per_prompt_token_s + pairs * step_time.attention_s_per_pair
    contexts = answer * prompt + answer * (answer + 1) / 2
    decode_s = answer * decode_s_at(step_time, n_batch) / n_batch
    decode_s = decode_s + contexts * step_time.kv_s_per_token
    return Work(prefill_s / limits.n_ranks, decode_s / limits.n_ranks, n_batch)


def decode_s_at(step_time: StepTime, n_batch_requests: float) -> float:
    """Time of a decode step without its context at a batch between whole numbers [s].

    Parameters
    ----------
    step_time : StepTime
    n_batch_requests : float
        At least 1.
    """
    table = step_time.decode_s
    return float(np.interp(n_batch_requests, np.arange(1, len(table)), table[1:]))


def mean_context_tokens(requests: Requests) -> float:
    """Context of a request while it is decoded, mean over decoded tokens [tokens].

    Parameters
    ----------
    requests : Requests
    """
    answer = requests.output_tokens.astype(np.float64)
    held = answer * (requests.input_tokens + answer / 2)
    return float(held.sum() / answer.sum())


def _batch(requests: Requests, step_time: StepTime, limits: EngineLimits, slo: Slo | None) -> float:
    context = mean_context_tokens(requests)
    most = min(limits.n_max_requests, len(step_time.decode_s) - 1)
    most = max(1, min(most, int(limits.kv_tokens / context)))
    limit_s = min(
        (t.limit_s for t in slo.targets if t.metric == "tpot") if slo else (), default=np.inf
    )
    batches = np.arange(1, most + 1)
    steps_s = step_time.decode_s[1 : most + 1] + step_time.kv_s_per_token * context * batches
    # The most tokens per second among the batches whose steps are fast enough.
    rate = np.where(steps_s <= limit_s, batches / steps_s, 0.0)
    return float(batches[int(np.argmax(rate))]) if rate.any() else 1.0


def n_fewest_replicas(work_s: Floats, duration_s: float) -> float:
    """Replicas that would be busy all the time with this work: a floor, not whole.

    Parameters
    ----------
    work_s : float64 array
        Work of each request [s].
    duration_s : float
        The time in which it arrives [s].

    Examples
    --------
    >>> n_fewest_replicas(np.array([3.0, 4.0]), 2.0)
    3.5
    """
    return float(work_s.sum()) / max(duration_s, 1e-9)
