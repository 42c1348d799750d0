"""The two stores of a simulation, laid out from its inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import layout as at
from weighbridge.capacity.simulation.prefix_chains import Chains, no_chains, shared_chains
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Floats, Ints, Requests

ROUTINGS = {
    "least_outstanding": at.LEAST_OUTSTANDING,
    "round_robin": at.ROUND_ROBIN,
    "sticky": at.STICKY,
}
FLOAT_REQUEST0 = at.REQUEST0 // 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many words each part of the integer store has."""

    n_requests: int
    n_replicas: int
    n_ranks: int
    n_calendar: int
    n_residues: int
    n_ids: int
    n_nodes: int
    n_chain: int
    n_homes: int

    @property
    def replica0(self) -> int:
        """Where the replicas begin."""
        return at.REQUEST0 + self.n_requests * at.REQUEST_WORDS

    @property
    def rank0(self) -> int:
        """Where the ranks begin."""
        return self.replica0 + self.n_replicas * at.REPLICA_WORDS

    @property
    def area0(self) -> int:
        """Where the ranks' calendars, residues, maps and nodes begin."""
        return self.rank0 + self.n_replicas * self.n_ranks * at.RANK_WORDS

    @property
    def n_area(self) -> int:
        """Words of one rank's area."""
        return self.n_calendar + self.n_residues + self.n_ids + self.n_nodes * at.NODE_WORDS

    @property
    def chain0(self) -> int:
        """Where the chains of shared blocks begin."""
        return self.area0 + self.n_replicas * self.n_ranks * self.n_area

    @property
    def home0(self) -> int:
        """Where the homes of sessions begin."""
        return self.chain0 + self.n_chain

    @property
    def n_words(self) -> int:
        """All of it."""
        return self.home0 + self.n_homes


def lay_out(
    requests: Requests, step_time: StepTime, limits: EngineLimits, fleet: FleetPlan
) -> tuple[Ints, Floats]:
    """Integers and floats of a simulation that has not begun.

    Parameters
    ----------
    requests, step_time, limits, fleet
        Inputs that passed `check`.
    """
    chains = shared_chains(requests) if limits.prefix_caching else no_chains(requests.n_requests)
    homes, n_homes = _homes(requests, fleet)
    n_replicas = fleet.n_replicas
    if fleet.autoscaling is not None:
        n_replicas = fleet.autoscaling.n_max_replicas
    sizes = Sizes(
        n_requests=requests.n_requests,
        n_replicas=n_replicas,
        n_ranks=limits.n_ranks,
        n_calendar=limits.n_max_requests,
        n_residues=limits.n_block_tokens,
        n_ids=chains.n_ids,
        n_nodes=_n_nodes(requests, limits, chains),
        n_chain=len(chains.block_ids),
        n_homes=n_homes,
    )
    m = np.zeros(sizes.n_words, np.int64)
    _write_header(m, sizes, limits, fleet)
    _write_requests(m, sizes, requests, chains)
    m[sizes.chain0 : sizes.home0] = chains.block_ids
    if n_homes:
        _request_words(m, sizes)[:, at.HOME] = np.where(homes >= 0, sizes.home0 + homes, 0)
    for number in range(n_replicas):
        _write_replica(m, sizes, number)
    f = _floats(m, sizes, requests, step_time)
    if requests.prefix is not None:
        m[at.SHARED_TOKENS] = requests.prefix.n_tokens_per_block
        m[at.SHARED_BLOCKS] = requests.prefix.n_tokens_per_block // limits.n_block_tokens
    return m, f


def _n_nodes(requests: Requests, limits: EngineLimits, chains: Chains) -> int:
    """Most nodes that a rank's cache can come to."""
    if not limits.prefix_caching:
        return 0
    n_blocks = limits.kv_tokens // limits.n_block_tokens
    n_waiting = 2 * requests.n_requests + 1
    if limits.admission == "first_come" and chains.n_ids == 0:
        n_waiting = 2 * limits.n_max_requests + 2
    return min(n_blocks, n_waiting + chains.n_ids) + 1


def _homes(requests: Requests, fleet: FleetPlan) -> tuple[Ints, int]:
    """Number of each request's conversation, -1 without one; and how many there are."""
    none = np.full(requests.n_requests, -1, np.int64)
    if fleet.routing != "sticky" or requests.n_requests == 0:
        return none, 0
    if len(requests.session):
        names, numbers = np.unique(requests.session, return_inverse=True)
        return numbers, len(names)
    prefix = requests.prefix
    if prefix is None or len(prefix.block_ids) == 0:
        return none, 0
    first = prefix.block_ids[np.minimum(prefix.offsets[:-1], len(prefix.block_ids) - 1)]
    names, numbers = np.unique(first, return_inverse=True)
    return np.where(np.diff(prefix.offsets) > 0, numbers, -1), len(names)


def _write_header(m: Ints, sizes: Sizes, limits: EngineLimits, fleet: FleetPlan) -> None:
    m[at.END] = sizes.replica0
    m[at.NEXT_REQUEST] = at.REQUEST0
    m[at.N_REPLICAS] = sizes.n_replicas
    m[at.N_RANKS] = sizes.n_ranks
    m[at.REPLICA0] = sizes.replica0
    m[at.N_BLOCKS] = limits.kv_tokens // limits.n_block_tokens
    m[at.BLOCK] = limits.n_block_tokens
    m[at.MAX_RUNNING] = limits.n_max_requests
    m[at.BUDGET] = limits.n_max_batched_tokens
    m[at.CHUNKED] = limits.chunked_prefill
    m[at.CACHING] = limits.prefix_caching
    m[at.BY_PRIORITY] = limits.admission == "priority"
    m[at.ASYNC] = limits.async_scheduling
    m[at.WHOLE] = limits.whole_prompt_must_fit
    m[at.ROUTING] = ROUTINGS[fleet.routing]
    bound = fleet.overflow_above_requests
    m[at.OVERFLOW] = -1 if bound is None else bound
    m[at.LAST_ROUTED] = sizes.n_replicas - 1
    m[at.N_IDS] = sizes.n_ids


def _request_words(m: Ints, sizes: Sizes) -> Ints:
    return m[at.REQUEST0 : sizes.replica0].reshape(-1, at.REQUEST_WORDS)


def _write_requests(m: Ints, sizes: Sizes, requests: Requests, chains: Chains) -> None:
    words = _request_words(m, sizes)
    words[:, at.INPUT] = requests.input_tokens
    words[:, at.OUTPUT] = requests.output_tokens
    if len(requests.priority):
        words[:, at.PRIORITY] = requests.priority
    words[:, at.CHAIN] = sizes.chain0 + chains.starts
    words[:, at.N_CHAIN] = chains.lengths
    words[:, at.CACHED] = -1


def _write_replica(m: Ints, sizes: Sizes, number: int) -> None:
    r = sizes.replica0 + number * at.REPLICA_WORDS
    first = number * sizes.n_ranks
    m[r + at.RANKS0] = sizes.rank0 + first * at.RANK_WORDS
    m[r + at.NUMBER] = number
    for k in range(first, first + sizes.n_ranks):
        q = sizes.rank0 + k * at.RANK_WORDS
        area = sizes.area0 + k * sizes.n_area
        m[q + at.REPLICA] = r
        m[q + at.CALENDAR0] = area
        m[q + at.RESIDUES0] = area + sizes.n_calendar
        m[q + at.MAP0] = area + sizes.n_calendar + sizes.n_residues
        m[q + at.FRESH_NODE] = m[q + at.MAP0] + sizes.n_ids


def _floats(m: Ints, sizes: Sizes, requests: Requests, step: StepTime) -> Floats:
    real0 = FLOAT_REQUEST0 + sizes.n_requests * 4
    next0 = real0 + sizes.n_replicas * at.REPLICA_REALS
    decode0 = next0 + sizes.n_replicas
    mixed0 = decode0 + len(step.decode_s)
    f = np.zeros(mixed0 + len(step.mixed_s), np.float64)
    times = f[FLOAT_REQUEST0:real0].reshape(-1, 4)
    times[:, at.ARRIVAL] = requests.arrival_s
    times[:, at.START] = -1.0
    times[:, at.FIRST] = at.NAN
    times[:, at.LAST] = at.NAN
    f[next0:decode0] = at.INF
    f[decode0:mixed0] = step.decode_s
    f[mixed0:] = step.mixed_s
    f[at.KV_S] = step.kv_s_per_token
    f[at.PAIR_S] = step.attention_s_per_pair
    m[at.DECODE0] = decode0
    m[at.MIXED0] = mixed0
    m[at.NEXTS0] = next0
    for number in range(sizes.n_replicas):
        r = sizes.replica0 + number * at.REPLICA_WORDS
        m[r + at.REAL] = real0 + number * at.REPLICA_REALS
        m[r + at.NEXT_AT] = next0 + number
    return f
