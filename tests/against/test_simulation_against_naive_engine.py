"""The simulation against an engine that keeps every block, and takes every step, one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import PrefixBlocks, Requests


@dataclass(eq=False)
class Block:
    key: tuple | None = None
    refs: int = 0


@dataclass(eq=False)
class Job:
    number: int
    prompt: int
    answer: int
    priority: int
    arrival: float
    ids: list[int]
    made: int = 0
    computed: int = 0
    blocks: list[Block] = field(default_factory=list)
    start: float | None = None
    first: float = float("nan")
    last: float = float("nan")
    cached: int | None = None
    n_preempted: int = 0
    decoding: bool = False

    @property
    def rank_key(self) -> tuple[int, int]:
        return self.priority, self.number


class NaiveRank:
    """A scheduler with its cache; `free` holds the blocks of no live request, oldest first."""

    def __init__(self, limits: EngineLimits, shared_tokens: int) -> None:
        self.limits = limits
        self.per_id = shared_tokens // limits.n_block_tokens
        self.free = [Block() for _ in range(limits.kv_tokens // limits.n_block_tokens)]
        self.cached: dict[tuple, Block] = {}
        self.waiting: list[Job] = []
        self.running: list[Job] = []
        self.refused: Job | None = None
        self.batch: dict[Job, int] = {}
        self.n_prompt_tokens = 0
        self.n_decoded = 0
        self.settled = float("inf")
        self.n_late_places = self.n_late_blocks = 0
        self.ended_before = False

    def n_blocks(self, tokens: int) -> int:
        return -(-tokens // self.limits.n_block_tokens)

    def take(self) -> Block:
        block = self.free.pop(0)
        if block.key is not None:
            self.forget(block)
        block.refs = 1
        return block

    def forget(self, block: Block) -> None:
        """A shared prefix block goes as a whole, though it is several cache blocks."""
        assert block.key is not None
        if block.key[0] == "shared":
            together = [k for k in self.cached if k[:2] == block.key[:2]]
        else:
            together = [block.key]
        for key in together:
            self.cached.pop(key).key = None

    def key_of(self, job: Job, index: int, tokens: int) -> tuple:
        """What a full block is found by: of a full prefix block its id, else only by its own."""
        at = index // self.per_id if self.per_id else 0
        if self.per_id and at < len(job.ids) and (at + 1) * self.per_id <= self.n_full(tokens):
            return ("shared", tuple(job.ids[: at + 1]), index % self.per_id)
        return ("own", job.number, index)

    def n_full(self, tokens: int) -> int:
        return tokens // self.limits.n_block_tokens

    def found(self, job: Job) -> list[Block]:
        if not self.limits.prefix_caching:
            return []
        total = job.prompt + job.made
        blocks: list[Block] = []
        while len(blocks) < self.n_full(total):
            index = len(blocks)
            block = self.cached.get(self.key_of(job, index, total))
            block = block or self.cached.get(("own", job.number, index))
            if block is None:
                break
            blocks.append(block)
        return blocks

    def extend(self, job: Job, tokens: int) -> None:
        """Blocks up to so many tokens; the full ones can be found from now on."""
        while len(job.blocks) < self.n_blocks(tokens):
            job.blocks.append(self.take())
        if self.limits.prefix_caching:
            for index in range(self.n_full(tokens)):
                key, block = self.key_of(job, index, tokens), job.blocks[index]
                if block.key is None or (key[0] == "shared" and block.key != key):
                    if block.key is not None:
                        del self.cached[block.key]
                    assert key not in self.cached
                    block.key = key
                    self.cached[key] = block

    def leave(self, job: Job) -> None:
        for block in reversed(job.blocks):
            block.refs -= 1
            if block.refs == 0:
                self.free.append(block)
        job.blocks = []
        self.refused = None

    def preempt(self, job: Job) -> None:
        self.running.remove(job)
        self.leave(job)
        job.computed, job.decoding = 0, False
        job.n_preempted += 1
        self.waiting.insert(0, job)

    def wish(self, job: Job, budget: int) -> int:
        return min(job.prompt + job.made - job.computed, budget)

    def worst(self) -> Job:
        if self.limits.admission == "priority":
            return max(self.running, key=lambda job: job.rank_key)
        return self.running[-1]

    def lacks(self) -> bool:
        budget = self.limits.n_max_batched_tokens
        lacking = self.n_late_blocks - len(self.free)
        for job in self.running:
            tokens = self.wish(job, budget)
            budget -= tokens
            lacking += max(0, self.n_blocks(job.computed + tokens) - len(job.blocks))
        return lacking > 0

    def schedule(self, now: float) -> None:
        budget = self.limits.n_max_batched_tokens
        self.batch = {}
        n_preempted = 0
        while self.lacks():
            self.preempt(self.worst())
            n_preempted += 1
        for job in self.running:
            tokens = self.wish(job, budget)
            self.extend(job, job.computed + tokens)
            self.batch[job] = tokens
            budget -= tokens
        if n_preempted == 0:
            self.admit(now, budget)
        assert sum(self.batch.values()) <= self.limits.n_max_batched_tokens
        assert len(self.running) <= self.limits.n_max_requests
        held = {id(block) for job in self.running for block in job.blocks}
        assert len(held) + len(self.free) == self.limits.kv_tokens // self.limits.n_block_tokens

    def admit(self, now: float, budget: int) -> None:
        if self.limits.admission == "priority":
            self.waiting.sort(key=lambda job: job.rank_key)
        n_places = self.limits.n_max_requests - self.n_late_places
        while self.waiting and budget > 0 and len(self.running) < n_places:
            job = self.waiting[0]
            if job is self.refused or job.arrival > self.settled:
                return
            total = job.prompt + job.made
            found = self.found(job)
            whole = (total - 1) // self.limits.n_block_tokens * self.limits.n_block_tokens
            cached = min(len(found) * self.limits.n_block_tokens, whole)
            if total - cached > budget and not self.limits.chunked_prefill:
                return
            tokens = min(total - cached, budget)
            must_fit = total if self.limits.whole_prompt_must_fit else cached + tokens
            n_new = self.n_blocks(must_fit) - len(found)
            n_stale = sum(block.refs == 0 for block in found)
            if n_new + n_stale > len(self.free) - self.n_late_blocks:
                self.refused = job
                return
            for block in found:
                if block.refs == 0:
                    self.free.remove(block)
                block.refs += 1
            job.blocks, job.computed = found, cached
            job.cached = cached if job.cached is None else job.cached
            job.start = now if job.start is None else job.start
            self.extend(job, cached + tokens)
            self.running.append(self.waiting.pop(0))
            self.batch[job] = tokens
            budget -= tokens

    def step_s(self, step: StepTime) -> float:
        context = n_prompt = n_decoding = 0
        pairs = 0
        for job, tokens in self.batch.items():
            if job.decoding:
                n_decoding += 1
                context += job.computed + 1
            else:
                n_prompt += tokens
                pairs += sum(job.computed + k for k in range(1, tokens + 1))
        self.n_prompt_tokens += n_prompt
        self.n_decoded += n_decoding
        if n_prompt:
            base = step.mixed_s[n_prompt + n_decoding] + step.attention_s_per_pair * pairs
        else:
            base = step.decode_s[n_decoding] if n_decoding else 0.0
        return base + step.kv_s_per_token * context

    def settle(self, start: float) -> None:
        """The next iteration knows nothing of what happens after this instant, if it is async."""
        self.settled = start if self.limits.async_scheduling else float("inf")
        self.n_late_places = self.n_late_blocks = 0

    def complete(self, start: float, now: float) -> None:
        self.settle(start)
        self.refused = None if self.ended_before else self.refused
        self.ended_before = False
        prompts = [job for job in self.batch if not job.decoding]
        decoding = sorted((job for job in self.batch if job.decoding), key=lambda j: j.number)
        for job in decoding + prompts:
            job.computed += self.batch[job]
            if job.computed == job.prompt + job.made:
                job.made += 1
                job.decoding = True
                job.first = now if job.made == 1 else job.first
            if job.made == job.answer:
                job.last = now
                self.running.remove(job)
                n_free = len(self.free)
                self.leave(job)
                self.ended_before = True
                if self.limits.async_scheduling:
                    self.n_late_places += 1
                    self.n_late_blocks += len(self.free) - n_free


def serve(
    requests: Requests, step: StepTime, limits: EngineLimits
) -> tuple[list[Job], list[NaiveRank]]:
    """One replica, step by step."""
    prefix = requests.prefix
    shared_tokens = prefix.n_tokens_per_block if prefix else 0
    ranks = [NaiveRank(limits, shared_tokens) for _ in range(limits.n_ranks)]
    jobs, ids = [], shared_blocks(requests)
    for k in range(requests.n_requests):
        priority = int(requests.priority[k]) if len(requests.priority) else 0
        jobs.append(
            Job(
                k,
                int(requests.input_tokens[k]),
                int(requests.output_tokens[k]),
                priority,
                float(requests.arrival_s[k]),
                ids[k],
            )
        )
    now, n_sent = 0.0, 0
    while n_sent < len(jobs) or any(rank.running or rank.waiting for rank in ranks):
        if not any(rank.running or rank.waiting for rank in ranks):
            now = max(now, float(requests.arrival_s[n_sent]))
            for rank in ranks:
                rank.settle(float("inf"))
            n_sent = send(jobs, ranks, requests, n_sent, now)
        for rank in ranks:
            rank.schedule(now)
        if not any(rank.batch for rank in ranks):
            for rank in ranks:
                rank.settle(float("inf"))
                rank.refused = None
                rank.schedule(now)
        start, now = now, now + max(rank.step_s(step) for rank in ranks)
        n_sent = send(jobs, ranks, requests, n_sent, now)
        for rank in ranks:
            rank.complete(start, now)
    return jobs, ranks


def full_blocks(requests: Requests, k: int) -> list[int]:
    """The prefix blocks that a prompt fills."""
    prefix = requests.prefix
    if prefix is None:
        return []
    ids = prefix.block_ids[prefix.offsets[k] : prefix.offsets[k + 1]].tolist()
    return ids[: int(requests.input_tokens[k]) // prefix.n_tokens_per_block]


def shared_blocks(requests: Requests) -> list[list[int]]:
    """The prefix blocks of each prompt that another prompt begins with as well."""
    chains = [full_blocks(requests, k) for k in range(requests.n_requests)]
    seen = Counter(tuple(chain[: n + 1]) for chain in chains for n in range(len(chain)))
    return [
        [number for n, number in enumerate(chain) if seen[tuple(chain[: n + 1])] > 1]
        for chain in chains
    ]


def send(
    jobs: list[Job], ranks: list[NaiveRank], requests: Requests, n_sent: int, now: float
) -> int:
    """Requests that came until now wait in the rank with the fewest; returns how many came."""
    while n_sent < len(jobs) and requests.arrival_s[n_sent] <= now:
        least = min(ranks, key=lambda rank: len(rank.running) + len(rank.waiting))
        least.waiting.append(jobs[n_sent])
        n_sent += 1
    return n_sent


def step_time(limits: EngineLimits, seed: int, kv_s: float = 3e-6) -> StepTime:
    """Tables that rise, with steps of no regular length, so that nothing ends at one instant."""
    rng = np.random.default_rng(seed)
    decode = 0.01 + np.cumsum(rng.uniform(0, 1e-3, limits.n_max_requests + 1))
    mixed = 0.012 + np.cumsum(rng.uniform(0, 2e-4, limits.n_max_batched_tokens + 1))
    return StepTime(decode, mixed, kv_s, 1e-7, 0.0, "roofline")


@st.composite
def traffic(draw: st.DrawFn, limits: EngineLimits, shared_tokens: int) -> Requests:
    """A few dozen requests; half of them begin like others where blocks are shared."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 40))
    most = limits.kv_tokens if limits.chunked_prefill else limits.n_max_batched_tokens
    most = min(most, limits.kv_tokens)
    longest = draw(st.integers(2, max(2, most // 2)))
    inputs = rng.integers(1, longest, n) if longest > 1 else np.ones(n, np.int64)
    outputs = rng.integers(1, max(2, min(longest, most - longest + 1)), n)
    gaps = rng.exponential(draw(st.sampled_from([1e-3, 0.02, 0.2, 2.0])), n)
    gaps[rng.random(n) < 0.2] = 0.0
    prefix = None
    if shared_tokens:
        prefix = shared_prefixes(rng, inputs, shared_tokens)
    return Requests(
        np.cumsum(gaps),
        inputs.astype(np.int64),
        outputs.astype(np.int64),
        priority=rng.integers(0, 3, n),
        prefix=prefix,
    )


def shared_prefixes(rng: np.random.Generator, inputs: np.ndarray, tokens: int) -> PrefixBlocks:
    """Blocks from a tree: each prompt follows an earlier one for a while, then goes its own way."""
    chains: list[list[int]] = []
    n_ids = 0
    for n_tokens in inputs:
        n_blocks = -(-int(n_tokens) // tokens)
        shared: list[int] = []
        if chains and rng.random() < 0.7:
            other = chains[rng.integers(len(chains))]
            shared = other[: rng.integers(len(other) + 1)][:n_blocks]
        fresh = list(range(n_ids, n_ids + n_blocks - len(shared)))
        n_ids += len(fresh)
        chains.append(shared + fresh)
    offsets = np.cumsum([0] + [len(chain) for chain in chains])
    flat = [number for chain in chains for number in chain]
    return PrefixBlocks(np.array(flat, np.int64), offsets.astype(np.int64), tokens)


@st.composite
def engines(draw: st.DrawFn) -> tuple[EngineLimits, int]:
    """Engines so small that budget, places and blocks all run out."""
    block = draw(st.sampled_from([1, 4, 16]))
    budget = draw(st.integers(4, 120))
    caching = draw(st.booleans())
    shared = block * draw(st.sampled_from([1, 2, 3])) if caching and draw(st.booleans()) else 0
    limits = EngineLimits(
        kv_tokens=block * draw(st.integers(4, 40)),
        n_max_requests=draw(st.integers(1, min(budget, 12))),
        n_max_batched_tokens=budget,
        n_block_tokens=block,
        n_ranks=draw(st.sampled_from([1, 1, 2, 3])),
        chunked_prefill=draw(st.booleans()),
        prefix_caching=caching,
        admission=draw(st.sampled_from(["first_come", "priority"])),
        async_scheduling=draw(st.booleans()),
        whole_prompt_must_fit=draw(st.booleans()),
    )
    return limits, shared


def agree(outcome: Outcome, jobs: list[Job], ranks: list[NaiveRank], requests: Requests) -> None:
    """Request by request, and in the sums."""
    arrival = requests.arrival_s
    assert outcome.n_preemptions.tolist() == [job.n_preempted for job in jobs]
    assert outcome.cached_tokens.tolist() == [job.cached for job in jobs]
    np.testing.assert_allclose(outcome.queue_s, [j.start for j in jobs] - arrival, atol=1e-9)
    np.testing.assert_allclose(outcome.ttft_s, [j.first for j in jobs] - arrival, atol=1e-9)
    np.testing.assert_allclose(outcome.e2e_s, [j.last for j in jobs] - arrival, atol=1e-9)
    assert outcome.computed_prompt_tokens.sum() == sum(rank.n_prompt_tokens for rank in ranks)
    assert outcome.decoded_tokens.sum() == sum(rank.n_decoded for rank in ranks)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_request_fares_as_in_the_naive_engine(data: st.DataObject) -> None:
    limits, shared_tokens = data.draw(engines())
    requests = data.draw(traffic(limits, shared_tokens))
    step = step_time(limits, data.draw(st.integers(0, 99)))
    jobs, ranks = serve(requests, step, limits)
    fast_forward = data.draw(st.booleans())
    outcome = simulate(requests, step, limits, compiled=False, fast_forward=fast_forward)
    agree(outcome, jobs, ranks, requests)
