"""What a simulation comes to, per request and per replica."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.capacity.traffic import Floats, Ints


@dataclass(frozen=True, slots=True)
class Outcome:
    """Latencies of every request and the work of every replica.

    Attributes
    ----------
    queue_s : float64 array of shape (N,)
        From arrival to the start of the iteration that first computes the prompt [s].
    ttft_s : float64 array of shape (N,)
        From arrival to the end of the iteration that gives the first token, plus
        `StepTime.first_token_s` [s].
    tpot_s : float64 array of shape (N,)
        (last token - first token) / (output_tokens - 1) [s]; NaN for answers of one token.
    e2e_s : float64 array of shape (N,)
        From arrival to the last token, plus `StepTime.first_token_s` [s].
    replica : int64 array of shape (N,)
        Which replica served it; -1 where it overflowed to an API (its latencies are NaN).
    n_preemptions : int64 array of shape (N,)
    cached_tokens : int64 array of shape (N,)
        Prompt tokens taken from the prefix cache at first admission.
    busy_s, on_s : float64 arrays of shape (R,)
        Time in iterations, and time paid for, start-up included [s].
    n_iterations : int64 array of shape (R,)
    computed_prompt_tokens, decoded_tokens : int64 arrays of shape (R,)
        Recomputed ones included.
    mean_batch_requests : float64 array of shape (R,)
        Decoding requests, mean over busy time.
    mean_kv_frac, peak_kv_frac : float64 arrays of shape (R,)
        Share of the cache held by live requests; mean over busy time, and the most.
    end_s : float
        When the last request ended.
    """

    queue_s: Floats
    ttft_s: Floats
    tpot_s: Floats
    e2e_s: Floats
    replica: Ints
    n_preemptions: Ints
    cached_tokens: Ints
    busy_s: Floats
    on_s: Floats
    n_iterations: Ints
    computed_prompt_tokens: Ints
    decoded_tokens: Ints
    mean_batch_requests: Floats
    mean_kv_frac: Floats
    peak_kv_frac: Floats
    end_s: float
