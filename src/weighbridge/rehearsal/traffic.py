"""Requests drawn from a mix: arrivals, token lengths, caches, failures and latencies.

Arrivals are Poisson within a minute, with the minute's rate scaled by the rhythm of the week and
by a Gamma draw of mean 1, so that minutes peak above their hour as in real traces. Input and
output lengths are drawn apart: in the public traces their logarithms hardly correlate (below 0.1).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from weighbridge.rehearsal.mix import Lengths, Mix, Template
from weighbridge.rehearsal.rhythm import HOURS_PER_WEEK, week_shape

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MINUTES_PER_HOUR = 60
US_PER_MINUTE = 60_000_000
CACHE_BLOCK_TOKENS = 128  # providers count cached prefixes in blocks
LEAST_CACHED_TOKENS = 1024  # shorter prefixes are not kept
MAX_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Traffic:
    """One array per column, a row per request, in the order in which requests were sent."""

    started_at_us: Ints  # microseconds since 1970, UTC
    template: Ints  # position in Mix.templates
    tenant: Ints  # position in Mix.tenants
    input_tokens: Ints  # all input, cached or not
    cache_read_tokens: Ints
    cache_write_tokens: Ints
    output_tokens: Ints
    reasoning_tokens: Ints  # inside output
    ttft_s: Floats  # NaN where nothing was streamed
    latency_s: Floats
    attempts: Ints
    failed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.started_at_us)

    def taken(self, rows: Ints | slice) -> Traffic:
        """The same columns, those rows only."""
        return Traffic(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def generate(mix: Mix, start: dt.datetime, n_hours: int, rng: np.random.Generator) -> Traffic:
    """Draw the traffic of `n_hours` from an aware instant on; equal generators draw equal rows."""
    if start.tzinfo is None:
        raise ValueError("start has no time zone")
    parts = [
        _of_template(mix, position, start, n_hours, child)
        for position, child in enumerate(rng.spawn(len(mix.templates)))
    ]
    columns = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Traffic)
    }
    together = Traffic(**columns)
    return together.taken(np.argsort(together.started_at_us, kind="stable"))


def _of_template(
    mix: Mix, position: int, start: dt.datetime, n_hours: int, rng: np.random.Generator
) -> Traffic:
    template = mix.templates[position]
    started_at_us = _arrivals(template, start, n_hours, rng)
    n = len(started_at_us)
    input_tokens = lengths(template.input_length, n, rng)
    output_tokens = lengths(template.output_length, n, rng)
    cache_read, cache_write = _cached(template, input_tokens, rng)
    ttft_s, latency_s = _timings(template, input_tokens - cache_read, output_tokens, rng)
    served = Traffic(
        started_at_us=started_at_us,
        template=np.full(n, position, np.int64),
        tenant=_tenants(mix, template, n, rng),
        input_tokens=input_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        output_tokens=output_tokens,
        reasoning_tokens=np.asarray(output_tokens * template.reasoning_frac, np.int64),
        ttft_s=ttft_s,
        latency_s=latency_s,
        attempts=np.ones(n, np.int64),
        failed=np.zeros(n, bool),
    )
    return _with_failures(mix, served, template, start, rng)


def _arrivals(
    template: Template, start: dt.datetime, n_hours: int, rng: np.random.Generator
) -> Ints:
    utc = start.astimezone(dt.UTC)
    first_hour = utc.weekday() * 24 + utc.hour
    by_hour = week_shape(template.rhythm)[(first_hour + np.arange(n_hours)) % HOURS_PER_WEEK]
    per_minute = template.requests_per_week / HOURS_PER_WEEK / MINUTES_PER_HOUR
    shape = template.burst_shape
    burst = rng.gamma(shape, 1 / shape, n_hours * MINUTES_PER_HOUR)
    counts = rng.poisson(np.repeat(by_hour, MINUTES_PER_HOUR) * per_minute * burst)
    minute = np.repeat(np.arange(counts.size, dtype=np.int64), counts)
    within_us = rng.integers(0, US_PER_MINUTE, minute.size)
    start_us = int(utc.timestamp()) * 1_000_000
    return np.sort(start_us + minute * US_PER_MINUTE + within_us)


def lengths(law: Lengths, n: int, rng: np.random.Generator) -> Ints:
    """Token counts of `n` requests, at least 1 and at most the law's maximum [tokens]."""
    body = law.median_tokens * np.exp(law.log_sd * rng.standard_normal(n))
    stretch = np.where(rng.random(n) < law.stretched_frac, 1 + rng.pareto(law.pareto_index, n), 1.0)
    return np.minimum(np.maximum(body * stretch, 1), law.max_tokens).astype(np.int64)


def _tenants(mix: Mix, template: Template, n: int, rng: np.random.Generator) -> Ints:
    shares = np.array(list(template.tenants.values()))
    positions = np.array([mix.tenants.index(tenant) for tenant in template.tenants], np.int64)
    return positions[rng.choice(len(positions), n, p=shares / shares.sum())]


def _cached(template: Template, input_tokens: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    nothing = np.zeros(len(input_tokens), np.int64)
    if template.prefix is None:
        return nothing, nothing
    luck = rng.random(len(input_tokens))
    prefix = np.minimum(template.prefix.tokens, input_tokens)
    prefix = np.where(prefix < LEAST_CACHED_TOKENS, 0, prefix - prefix % CACHE_BLOCK_TOKENS)
    read = luck < template.prefix.read_probability
    write = ~read & (luck < template.prefix.read_probability + template.prefix.write_probability)
    return np.where(read, prefix, 0), np.where(write, prefix, 0)


def _timings(
    template: Template, fresh_tokens: Ints, output_tokens: Ints, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    service, n = template.service, len(output_tokens)
    queue = np.exp(0.35 * rng.standard_normal(n))
    ttft_s = (service.ttft_base_s + fresh_tokens / service.prefill_tokens_per_s) * queue
    speed = service.output_tokens_per_s * np.exp(0.2 * rng.standard_normal(n))
    latency_s = ttft_s + output_tokens / speed
    return ttft_s if template.streamed else np.full(n, np.nan), latency_s


def _with_failures(
    mix: Mix, served: Traffic, template: Template, start: dt.datetime, rng: np.random.Generator
) -> Traffic:
    """Some calls are tried again, and a few fail for good: those have no tokens and no answer."""
    n, service = len(served), template.service
    probability = np.full(n, service.failure_probability)
    hour = (served.started_at_us / 1e6 - start.timestamp()) / 3600
    for incident in mix.incidents:
        if incident.provider == service.provider:
            inside = (hour >= incident.first_hour) & (hour < incident.first_hour + incident.n_hours)
            probability[inside] = incident.failure_probability
    failed = rng.random(n) < probability
    retries = rng.geometric(1 - np.minimum(service.retry_probability + probability, 0.9), n) - 1
    attempts = np.where(failed, MAX_ATTEMPTS, np.minimum(1 + retries, MAX_ATTEMPTS))
    none = np.int64(0)
    return replace(
        served,
        input_tokens=np.where(failed, none, served.input_tokens),
        cache_read_tokens=np.where(failed, none, served.cache_read_tokens),
        cache_write_tokens=np.where(failed, none, served.cache_write_tokens),
        output_tokens=np.where(failed, none, served.output_tokens),
        reasoning_tokens=np.where(failed, none, served.reasoning_tokens),
        ttft_s=np.where(failed, np.nan, served.ttft_s),
        latency_s=served.latency_s * attempts,
        attempts=attempts,
        failed=failed,
    )
