"""The traffic that a fleet is sized for: read, drawn or multiplied, and what it is like."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from weighbridge.capacity.arrivals import (
    Span,
    profile_of,
    spread_over_ticks,
    synthesize,
    synthesize_clients,
)
from weighbridge.capacity.arrivals_copies import users_of
from weighbridge.capacity.arrivals_profile import MOST_TIED_FRAC, tied_frac
from weighbridge.capacity.estimate import repeated_tokens
from weighbridge.capacity.peak_load import PeakLoad
from weighbridge.capacity.stretch import multiplied
from weighbridge.capacity.traffic import Floats, Requests
from weighbridge.study.size_question import TrafficQuestion
from weighbridge.study.size_result import TrafficFacts
from weighbridge.units import InputError
from weighbridge.usage.buckets import resolution_words
from weighbridge.usage.request_traces import (
    RequestTrace,
    read_rate_windows,
    read_request_trace,
    requests_of_ledger,
)
from weighbridge.usage.store import open_ledger

DAY_S = 86400.0
WEEK_S = 7 * DAY_S
LEAST_REQUESTS = 30  # fewer make no 95th percentile


@dataclass(frozen=True)
class Traffic:
    """Requests, where they came from and what was done to them."""

    requests: Requests
    source: str
    kind: str
    first_at: dt.datetime | None
    n_left_out: int
    notes: tuple[str, ...]


def read_traffic(question: TrafficQuestion, seed: int) -> Traffic:
    """Traffic as it was recorded, or drawn from it with the seed."""
    traffic = _from_rates(question, seed) if question.rates else _from_trace(question, seed)
    if traffic.requests.prefix is not None and not len(traffic.requests.session):
        # Routing sticks to whose a prompt is, which the block that all begin with does not tell.
        own = replace(traffic.requests, session=users_of(traffic.requests))
        traffic = replace(traffic, requests=own)
    n = traffic.requests.n_requests
    if n < LEAST_REQUESTS:
        problem = f"holds {n} requests that an engine could serve"
        mend = f"give {LEAST_REQUESTS} or more, so that a 95th percentile means something"
        raise InputError(traffic.source, "", problem, mend)
    if traffic.requests.duration_s <= 0:
        raise InputError(traffic.source, "", "begins and ends at once", "give a longer stretch")
    return traffic


def _from_rates(question: TrafficQuestion, seed: int) -> Traffic:
    assert question.rates is not None
    assert question.lengths_from is not None
    windows = read_rate_windows(question.rates)
    lengths = read_request_trace(question.lengths_from)
    notes = [
        f"rates of {windows.n_clients} clients; token lengths drawn from {question.lengths_from}",
        "lengths are drawn independently of the hour and of each other",
    ]
    if question.synthesize_days is not None:
        wanted_s = question.synthesize_days * DAY_S
        if wanted_s > windows.duration_s:
            problem = f"tells of {windows.duration_s / DAY_S:.3g} days"
            raise InputError(str(question.rates), "", problem, "give --synthesize no more days")
        windows = windows.between(0.0, wanted_s)
    if question.demand_ratio != 1.0:
        windows = windows.times(question.demand_ratio)
        notes.append(f"every rate times {question.demand_ratio:g}, as bursty as before")
    rng = np.random.default_rng([seed, 1])
    requests = synthesize_clients(windows, lengths.requests, rng)
    source = f"{question.rates}, lengths from {question.lengths_from}"
    return Traffic(requests, source, "synthesised", None, 0, tuple(notes))


def _from_trace(question: TrafficQuestion, seed: int) -> Traffic:
    path = question.usage or question.trace
    assert path is not None
    trace, told = _from_ledger(question) if question.usage else (read_request_trace(path), [])
    requests, notes, kind = trace.requests, [*told, *_notes(trace)], "measured"
    if tied_frac(requests) > MOST_TIED_FRAC:
        requests = spread_over_ticks(requests, np.random.default_rng([seed, 3]))
        notes.append("arrivals are recorded in ticks: spread evenly at random within each")
    if question.synthesize_days is not None:
        requests = _synthesised(trace, question.synthesize_days, seed, path)
        kind = "synthesised"
        notes.append(
            f"{question.synthesize_days:g} days drawn from its hours of the week and its bursts"
        )
    if question.demand_ratio != 1.0:
        requests = multiplied(requests, question.demand_ratio, seed)
        notes.append(f"{question.demand_ratio:g} times the users, bursts independent")
    source = str(path)
    first_at = trace.notes.first_at if kind == "measured" else None
    return Traffic(requests, source, kind, first_at, trace.notes.n_left_out, tuple(notes))


def _from_ledger(question: TrafficQuestion) -> tuple[RequestTrace, list[str]]:
    assert question.usage is not None
    if not question.usage.is_dir():
        raise InputError(str(question.usage), "", "is no ledger", "name the directory of `import`")
    ledger = open_ledger(question.usage)
    notes = [f"only {name} {' or '.join(values)}" for name, values in question.only.items()]
    if ledger.time_resolution_s is not None:
        notes.append(
            f"the ledger tells sums by {resolution_words(ledger.time_resolution_s)}: bursts and "
            "lengths of single requests are not in it, so that the real peak needs more"
        )
    return requests_of_ledger(ledger, only=question.only), notes


def _synthesised(trace: RequestTrace, days: float, seed: int, path: Path) -> Requests:
    rng = np.random.default_rng([seed, 2])
    rows = spread_over_ticks(trace.requests, rng)
    origin = trace.notes.origin_hour_of_week
    profile = profile_of(rows, origin, unseen="same_hour")
    if profile.n_unseen_hours and trace.requests.duration_s < DAY_S:
        problem = (
            f"tells of {trace.requests.duration_s / 3600:.3g} hours: days drawn from it would "
            "have no nights"
        )
        raise InputError(str(path), "--synthesize", problem, "size the trace as it is")
    return synthesize(profile, Span(days * DAY_S), rng, bursts="replayed")


def _notes(trace: RequestTrace) -> Sequence[str]:
    notes = []
    duration_s = trace.requests.duration_s
    if duration_s < DAY_S:
        notes.append(
            f"the stretch is {duration_s / 3600:.2g} hours long: the fleet is billed as if every "
            "hour were like it; nights and weekends are not in it"
        )
    elif duration_s < WEEK_S:
        notes.append(f"the stretch is {duration_s / DAY_S:.2g} days long: not a whole week")
    if trace.notes.n_left_out:
        notes.append(f"{trace.notes.n_left_out:,} rows without tokens or failed were left out")
    return notes


def digest_of(requests: Requests) -> str:
    """A digest of everything that the simulation is fed."""
    digest = sha256()
    for values in (requests.arrival_s, requests.input_tokens, requests.output_tokens):
        digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(requests.session.tobytes())
    if requests.prefix is not None:
        digest.update(requests.prefix.block_ids.tobytes())
        digest.update(requests.prefix.offsets.tobytes())
    return digest.hexdigest()


def facts_of(traffic: Traffic, load: PeakLoad, work_s: Floats) -> TrafficFacts:
    """What the stretch is like, and where its peak stands by one deployment's work."""
    requests = traffic.requests
    duration_s = requests.duration_s
    inside = (requests.arrival_s >= load.from_s) & (requests.arrival_s < load.to_s)
    peak_rate = work_s[inside].sum() / load.window_s
    return TrafficFacts(
        source=traffic.source,
        kind=traffic.kind,
        digest=digest_of(requests),
        first_at=traffic.first_at,
        duration_s=duration_s,
        n_requests=requests.n_requests,
        n_left_out=traffic.n_left_out,
        mean_requests_per_s=requests.n_requests / duration_s,
        mean_input_tokens=float(requests.input_tokens.mean()),
        mean_output_tokens=float(requests.output_tokens.mean()),
        repeated_input_frac=float(repeated_tokens(requests).sum() / requests.input_tokens.sum()),
        peak_from_s=load.from_s,
        peak_to_s=load.to_s,
        peak_requests_per_s=float(inside.sum()) / load.window_s,
        peak_to_mean_ratio=float(peak_rate / (work_s.sum() / duration_s)),
        notes=traffic.notes,
    )
