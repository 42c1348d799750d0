"""Time of one engine iteration, and the limits that the engine schedules under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weighbridge.capacity.traffic import Floats

# Sources of a step time in order of trust, most trusted first.
Basis = Literal["calibrated", "measured", "exported", "roofline"]


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds that one iteration of one replica takes.

    With B decoding requests whose contexts add up to C tokens, P prompt tokens computed in the
    same iteration and A query-key pairs of those prompt tokens (a chunk of p tokens after d
    computed ones adds `p * d + p * (p + 1) / 2`):

    * P = 0: `decode_s[B] + kv_s_per_token * C`
    * P > 0: `mixed_s[P + B] + kv_s_per_token * C + attention_s_per_pair * A`

    Both tables are free, so that mixtures of experts (concave in tokens), padding of captured
    graphs and compute-bound batches need no form of their own.

    Attributes
    ----------
    decode_s : float64 array of shape (n_max_requests + 1,)
        Element 0 is not used.
    mixed_s : float64 array of shape (n_max_batched_tokens + 1,)
        By all tokens of the iteration, prompt and decode together; element 0 is not used.
    kv_s_per_token : float
        Seconds for each token of context that decoding requests read [s/token].
    attention_s_per_pair : float
        Seconds for each query-key pair of the prompt tokens [s].
    first_token_s : float
        Added to every time to first token, outside the engine's iterations: network,
        tokenizing, scheduling [s].
    basis : {"calibrated", "measured", "exported", "roofline"}
        Where it came from.
    """

    decode_s: Floats
    mixed_s: Floats
    kv_s_per_token: float
    attention_s_per_pair: float
    first_token_s: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the scheduler of one rank may do in one iteration, and the cache it has.

    A replica has `n_ranks` data-parallel ranks with a scheduler and a cache each, which step
    together (an iteration takes as long as its slowest rank). Tensor parallelism is inside a rank.

    Attributes
    ----------
    kv_tokens : int
        Tokens that one rank's cache holds; a whole number of blocks.
    n_max_requests : int
        Most requests running at once in one rank (vLLM: max_num_seqs).
    n_max_batched_tokens : int
        Most tokens of one iteration of one rank, prompt and decode together.
    n_block_tokens : int
        Tokens of one cache block.
    n_ranks : int
    chunked_prefill : bool
        Prompts longer than what is left of the token budget are computed over several
        iterations; otherwise a prompt waits until it fits whole.
    prefix_caching : bool
        Blocks that stay from earlier requests are re-used, least recently used evicted first.
    admission : {"first_come", "priority"}
    async_scheduling : bool
        The batch of an iteration is settled when the iteration before it starts, not when it
        ends: what arrives in between, and the room that requests ending in between leave, is
        used one iteration later (vLLM: async_scheduling, its default since 0.14).
    whole_prompt_must_fit : bool
        A request is admitted only when blocks for its whole prompt are free, not only for its
        first chunk (vLLM: scheduler_reserve_full_isl, true by default); they are taken as the
        chunks are computed.
    """

    kv_tokens: int
    n_max_requests: int = 256
    n_max_batched_tokens: int = 8192
    n_block_tokens: int = 16
    n_ranks: int = 1
    chunked_prefill: bool = True
    prefix_caching: bool = True
    admission: Literal["first_come", "priority"] = "first_come"
    async_scheduling: bool = False
    whole_prompt_must_fit: bool = True
