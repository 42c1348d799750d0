"""Raw columns of a source to rows of the ledger: read, checked, split into buckets, priced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from weighbridge.catalog.prices import PriceBook
from weighbridge.ledger.prompt_shape import Sketch
from weighbridge.ledger.record import COLUMN_NAMES, GATEWAY_COLUMN_NAMES
from weighbridge.units import InputError
from weighbridge.usage.batches import Batch, sha256_of
from weighbridge.usage.buckets import MOST_REQUESTS, MOST_ROWS, Spread
from weighbridge.usage.convert import (
    Clock,
    Column,
    Ints,
    Mask,
    Numbers,
    nothing,
    plain,
    to_counts,
    to_instants,
    to_pico_usd,
    to_seconds,
    to_text,
)
from weighbridge.usage.faults import (
    ENDS_BEFORE_START,
    IN_FUTURE,
    MISSING,
    NO_REQUESTS,
    NOT_USD,
    TOO_LARGE,
    TOO_OLD,
    UNFINISHED,
    UNKNOWN_WORD,
    Faults,
    Reject,
)
from weighbridge.usage.recognising.importing import PromptHasher, named_prompts
from weighbridge.usage.row_costs import BUCKETS, add_cost
from weighbridge.usage.row_costs import MOST_PICO_USD as MOST_PICO_USD
from weighbridge.usage.shown_names import KEYS_BEGIN
from weighbridge.usage.sources.source import (
    QUANTITIES,
    SECONDS_PER_UNIT,
    Source,
    Take,
)
from weighbridge.usage.store import SCHEMA
from weighbridge.usage.token_columns import add_tokens

CLOCK_SKEW_US = 300 * 10**6  # two machines' clocks may differ; more than this is a wrong date
OLDEST_US = 1_420_070_400 * 10**6  # 2015-01-01: before it, a unit was mistaken
EMBEDDING = "embedding"  # the word for a record of one
GATEWAY_CACHE = "gateway-cache"  # the target of what a gateway answered from its own cache


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one file: its source, with all that the user said of it."""

    source: Source
    constants: Mapping[str, str]
    timezone: str | None
    start_us: int
    now_us: int
    prices: Path | None
    tokens_per_request: int | None = None  # of a report that counts no requests
    most_rows: int = MOST_ROWS  # that a report by bucket of time may become
    told_twice: frozenset[str] = frozenset()  # ids of rows whose request another row tells of

    @property
    def makes_ids(self) -> bool:
        """Whether rows have no id of their own."""
        named = any(take.quantity == "request_id" for take in self.source.takes)
        return not named and not self.source.is_bucketed


@dataclass(frozen=True, slots=True)
class Prices:
    """The price book with its digest, which takes a look at every model to work out."""

    book: PriceBook
    digest: str


@dataclass(frozen=True, slots=True)
class Shaped:
    """A batch in the ledger's columns (import_id apart), ordered by instant, and its rejects."""

    table: pa.Table
    lines: Ints  # of the table's rows
    rejects: tuple[Reject, ...]
    n_read: int
    resolution_us: int = 0  # of the longest bucket of time that rows were spread over
    sketches: tuple[Sketch, ...] = ()  # of prompts that nobody named
    n_left_out: int = 0  # records that are no requests: neither read nor rejected


class _Reading:
    """Typed columns of a batch, on demand, by the name of a quantity."""

    def __init__(self, batch: Batch, plan: Plan) -> None:
        self.batch, self.plan, self.faults = batch, plan, batch.faults
        self._takes = {take.quantity: take for take in plan.source.takes}

    @property
    def source(self) -> Source:
        """What the log is."""
        return self.plan.source

    def has(self, quantity: str) -> bool:
        """Whether the source holds this quantity."""
        return quantity in self._takes

    def raw(self, quantity: str) -> Column:
        """What the log holds, as it stands there."""
        return self.batch.columns[self._takes[quantity].paths]

    def text(self, quantity: str) -> pa.Array:
        """A text column, its words translated where the source has its own."""
        if quantity in self.plan.constants:
            return pa.array([self.plan.constants[quantity]] * self.batch.n, pa.string())
        if quantity not in self._takes:
            constant = self.plan.source.constants.get(quantity)
            return pa.array([constant] * self.batch.n, pa.string())
        take = self._takes[quantity]
        texts = to_text(self.batch.columns[take.paths], self.faults, quantity)
        if quantity in self.plan.source.name_parts:
            texts = _last_part(texts, self.plan.source.name_parts[quantity])
        if quantity in self.plan.source.words:
            texts = self._translated(texts, quantity)
        if take.required:
            self._note_missing(quantity, texts.is_null().to_numpy(zero_copy_only=False))
        return texts

    def _translated(self, texts: pa.Array, quantity: str) -> pa.Array:
        words = self.plan.source.words[quantity]
        coded = texts.dictionary_encode()
        closed = quantity in {"status", "service_tier"}
        meanings, unknown = [], []
        for code, word in enumerate(coded.dictionary.to_pylist()):
            known = word.strip().lower() in words
            other = words.get("*", None if closed else word)  # "*" is every other word
            meanings.append(words[word.strip().lower()] if known else other)
            if closed and not known and "*" not in words:
                unknown.append(code)
        if unknown:
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            self.faults.add(np.flatnonzero(np.isin(codes, unknown)), quantity, UNKNOWN_WORD)
        return pc.take(pa.array(meanings, pa.string()), coded.indices)

    def numbers(self, quantity: str) -> Numbers:
        """A column of counts, seconds, costs or instants."""
        if quantity not in self._takes:
            return nothing(self.batch.n)
        take = self._takes[quantity]
        numbers = self._converted(take)
        if take.required:
            self._note_missing(quantity, numbers.empty)
        return numbers

    def _converted(self, take: Take) -> Numbers:
        values, kind = self.batch.columns[take.paths], QUANTITIES[take.quantity]
        if kind == "count":
            return to_counts(values, self.faults, take.quantity)
        if kind == "usd":
            return to_pico_usd(values, self.faults, take.quantity)
        if kind == "seconds":
            unit = SECONDS_PER_UNIT[take.unit or "s"]
            return to_seconds(values, self.faults, take.quantity, unit)
        zone = self.plan.timezone or self.plan.source.naive_timezone
        clock = Clock(zone, take.unit, self.plan.start_us)
        return to_instants(values, self.faults, take.quantity, clock)

    def _note_missing(self, quantity: str, empty: Mask) -> None:
        if empty.any():
            self.faults.add(np.flatnonzero(empty), quantity, MISSING)


def shape(
    batch: Batch,
    plan: Plan,
    prices: Prices,
    spread: Spread | None = None,
    hasher: PromptHasher | None = None,
) -> Shaped:
    """Rows of the ledger from a batch; each row is either in the table or among the rejects.

    Prompts, where the source takes them, are hashed here and go no further.

    A row that stands for many requests of a bucket of time becomes as many, by `spread`.
    """
    reading = _Reading(batch, plan)
    columns: dict[str, Any] = {}
    _add_instants(columns, reading)
    add_tokens(columns, reading)
    attempts, retries = reading.numbers("attempts"), reading.numbers("retries")
    columns["attempts"] = _either(attempts, Numbers(retries.values + 1, retries.empty))
    _add_names(columns, reading)
    sketches = _name_prompts(columns, reading, hasher)
    _forget_what_no_model_did(columns, reading)
    columns["reported_cost_usd"] = reading.numbers("reported_cost_usd")
    if spread is not None:
        assert not reading.has("reported_cost_usd"), "a cost would be told once for each request"
        return _shaped_requests(batch, columns, reading, spread, prices)
    add_cost(columns, batch.faults, prices.book)
    if plan.makes_ids:
        columns["request_id"] = _made_ids(columns)
    left_out = _left_out(columns, reading)
    good, rejects = _rejects(batch, left_out)
    order = np.argsort(columns["started_at"][good], kind="stable")
    rows = np.arange(batch.n)[good][order]
    return Shaped(
        table=_as_table(columns, prices.digest).take(pa.array(rows)),
        lines=batch.lines[rows],
        rejects=rejects,
        n_read=batch.n - int(left_out.sum()),
        sketches=sketches,
        n_left_out=int(left_out.sum()),
    )


def _name_prompts(
    columns: dict[str, Any], reading: _Reading, hasher: PromptHasher | None
) -> tuple[Sketch, ...]:
    """Fill in templates that the log does not name by the prompts that it holds."""
    if hasher is None or not reading.has("prompt"):
        return ()
    prompts = plain(reading.raw("prompt"))
    named, sketches = named_prompts(columns["template"].to_pylist(), prompts, hasher)
    columns["template"] = pa.array(named, pa.string())
    return tuple(sketches)


def _shaped_requests(
    batch: Batch, columns: dict[str, Any], reading: _Reading, spread: Spread, prices: Prices
) -> Shaped:
    ended, told = reading.numbers("bucket_ended_at"), reading.numbers("n_requests")
    _check_buckets(columns, ended, told, reading)
    good, rejects = _rejects(batch, np.zeros(batch.n, dtype=bool))
    first = np.array([one.first == 0 for one in spread.slices], dtype=bool)
    known = set(batch.lines[~first].tolist())  # rejected where their first request would be made
    rejects = tuple(reject for reject in rejects if reject.line not in known)
    made = spread.requests(columns, ended.values, good)
    faults = Faults()
    add_cost(made.columns, faults, prices.book)
    for row, (quantity, reason) in faults.found.items():
        raise InputError(f"row {made.lines[row]}", quantity, reason, "export the report again")
    order = np.argsort(made.columns["started_at"], kind="stable")
    widths = (ended.values - columns["started_at"])[good]
    return Shaped(
        table=_as_table(made.columns, prices.digest).take(pa.array(order)),
        lines=batch.lines[made.lines][order],
        rejects=rejects,
        n_read=len(made.lines) + len(rejects),
        resolution_us=int(widths.max(initial=0)),
    )


def _check_buckets(
    columns: dict[str, Any], ended: Numbers, told: Numbers, reading: _Reading
) -> None:
    faults, started = reading.faults, columns["started_at"]
    usable = ~ended.empty
    now_us = reading.plan.now_us + CLOCK_SKEW_US
    faults.add(np.flatnonzero(usable & (ended.values > now_us)), "bucket_ended_at", UNFINISHED)
    backwards = usable & (ended.values <= started)
    faults.add(np.flatnonzero(backwards), "bucket_ended_at", ENDS_BEFORE_START)
    tokens = sum(columns[name] for name in BUCKETS)
    idle = ~told.empty & (told.values == 0) & (tokens > 0)
    faults.add(np.flatnonzero(idle), "n_requests", NO_REQUESTS)
    faults.add(np.flatnonzero(told.values > MOST_REQUESTS), "n_requests", TOO_LARGE)


def _add_instants(columns: dict[str, Any], reading: _Reading) -> None:
    started = reading.numbers("started_at")
    ended = reading.numbers("ended_at")
    first = reading.numbers("first_token_at")
    faults, at = reading.faults, started.values
    usable = ~started.empty
    future = usable & (at > reading.plan.now_us + CLOCK_SKEW_US)
    faults.add(np.flatnonzero(future), "started_at", IN_FUTURE)
    faults.add(np.flatnonzero(usable & (at < OLDEST_US)), "started_at", TOO_OLD)
    for later, quantity in ((ended, "ended_at"), (first, "first_token_at")):
        before = usable & ~later.empty & (later.values < at)
        faults.add(np.flatnonzero(before), quantity, ENDS_BEFORE_START)
    columns["started_at"] = at
    columns["latency_s"] = _either(reading.numbers("latency_s"), _seconds_since(started, ended))
    # An answer that came in one piece has its end written as the instant of its first token.
    whole = ~ended.empty & (first.values == ended.values)
    streamed = Numbers(first.values, first.empty | whole)
    columns["ttft_s"] = _either(reading.numbers("ttft_s"), _seconds_since(started, streamed))


def _seconds_since(start: Numbers, end: Numbers) -> Numbers:
    return Numbers((end.values - start.values) / 1e6, start.empty | end.empty)


def _either(told: Numbers, derived: Numbers) -> Numbers:
    return Numbers(np.where(told.empty, derived.values, told.values), told.empty & derived.empty)


def _without_keys(names: pa.Array) -> pa.Array:
    """Names without those that are a service's key itself, which no ledger is to hold."""
    is_key = pc.match_substring_regex(names, KEYS_BEGIN)
    return pc.if_else(pc.fill_null(is_key, False), pa.scalar(None, pa.string()), names)


def _add_names(columns: dict[str, Any], reading: _Reading) -> None:
    for name in ("request_id", "tenant", "feature", "template", "service_tier", "data_class"):
        columns[name] = reading.text(name)
    for name in ("tenant", "feature", "template"):
        columns[name] = _without_keys(columns[name])
    if reading.has("batch"):
        tier = pc.coalesce(reading.text("batch"), columns["service_tier"])
        columns["service_tier"] = tier
    columns["status"] = pc.fill_null(reading.text("status"), "ok")
    _note_unanswered(columns["status"], reading)
    provider, asked, model = (reading.text(q) for q in ("provider", "model_requested", "model"))
    columns["provider"] = provider
    columns["model_requested"] = pc.coalesce(asked, model)
    columns["model"] = model if reading.has("model") else pc.coalesce(model, asked)
    served = pc.binary_join_element_wise(provider, columns["model"], "/")
    columns["target"] = pc.coalesce(reading.text("target"), served)
    currency = reading.text("currency")
    other = pc.fill_null(pc.not_equal(pc.utf8_upper(currency), "USD"), False)
    reading.faults.add(np.flatnonzero(other.to_numpy(zero_copy_only=False)), "currency", NOT_USD)


def _note_unanswered(status: pa.Array, reading: _Reading) -> None:
    """What a failed request may lack, an answered one must have; embeddings have no output."""
    if reading.plan.source.answered_needs:
        answered = pc.equal(status, "ok").to_numpy(zero_copy_only=False)
        embeds = _embeds(reading)
        for quantity in reading.plan.source.answered_needs:
            needs = answered & ~embeds if quantity == "output_tokens" else answered
            lacking = np.flatnonzero(needs & reading.numbers(quantity).empty)
            reading.faults.add(lacking, quantity, MISSING)


def _embeds(reading: _Reading) -> Mask:
    """Rows that say of themselves, or by their model's name, that they embed."""
    named = pc.match_substring(reading.text("model"), "embed", ignore_case=True)
    told = pc.equal(reading.text("record"), EMBEDDING)
    either = pc.or_(pc.fill_null(named, False), pc.fill_null(told, False))
    found: Mask = either.to_numpy(zero_copy_only=False)
    return found


def _left_out(columns: Mapping[str, Any], reading: _Reading) -> Mask:
    """Rows that are of no request, or of one that another row tells of too."""
    found = np.zeros(reading.batch.n, dtype=bool)
    if reading.has("record"):
        told = to_text(reading.raw("record"), Faults(), "record").is_valid()
        none = pc.and_(told, reading.text("record").is_null())
        found |= none.to_numpy(zero_copy_only=False)
    if reading.plan.told_twice:
        twice = pa.array(sorted(reading.plan.told_twice), pa.string())
        found |= pc.is_in(columns["request_id"], twice).to_numpy(zero_copy_only=False)
    return found


def _last_part(texts: pa.Array, mark: str) -> pa.Array:
    """What follows the last mark of each text, all of it where there is none."""
    coded = texts.dictionary_encode()
    parts = [word.rpartition(mark)[2] or word for word in coded.dictionary.to_pylist()]
    return pc.take(pa.array(parts, pa.string()), coded.indices)


def _forget_what_no_model_did(columns: dict[str, Any], reading: _Reading) -> None:
    """Answers from the gateway's own cache used no model: no tokens, no attempts."""
    answered = pc.equal(reading.text("answered_from_cache"), "yes")
    cached = pc.fill_null(answered, False).to_numpy(zero_copy_only=False)
    if cached.any():
        for name in (*BUCKETS, "reasoning_tokens"):
            columns[name] = np.where(cached, 0, columns[name])
        attempts = columns["attempts"]
        columns["attempts"] = Numbers(
            np.where(cached, 0, attempts.values), attempts.empty & ~cached
        )
        columns["target"] = pc.if_else(pa.array(cached), GATEWAY_CACHE, columns["target"])
    columns["from_cache"] = cached


_NOT_CONTENT = ("request_id", "price_state", "list_cost_usd", "estimated", "prices_digest")
CONTENT = tuple(
    name for name in COLUMN_NAMES if name not in (*_NOT_CONTENT, "import_id", *GATEWAY_COLUMN_NAMES)
)  # two rows with the same id and these are one row, seen twice


def _made_ids(columns: Mapping[str, Any]) -> pa.Array:
    """Ids from what the rows say; equal rows get equal ids, which are told apart when stored."""
    lists = [
        column.to_pylist() if isinstance(column, pa.Array) else _filled(column).tolist()
        for column in (columns[name] for name in CONTENT)
    ]
    return pa.array(
        [
            hashlib.blake2b(repr(row).encode(), digest_size=12).hexdigest()
            for row in zip(*lists, strict=True)
        ],
        pa.string(),
    )


def _filled(column: Any) -> NDArray[Any]:
    return np.where(column.empty, -1, column.values) if isinstance(column, Numbers) else column


def _rejects(batch: Batch, left_out: Mask) -> tuple[Mask, tuple[Reject, ...]]:
    good = ~left_out
    rejects = []
    for row in sorted(batch.faults.found):
        if left_out[row]:
            continue
        good[row] = False
        field_name, reason = batch.faults.found[row]
        raw = b"" if batch.raws is None else batch.raws[row]
        rejects.append(Reject(int(batch.lines[row]), field_name, reason, sha256_of(raw)))
    return good, tuple(rejects)


def _as_table(columns: Mapping[str, Any], prices_digest: str) -> pa.Table:
    n = len(columns["started_at"])
    digest = pa.scalar(prices_digest, pa.string())
    priced = pc.equal(columns["price_state"], "priced")
    made = {**columns, "prices_digest": pc.if_else(priced, digest, pa.scalar(None, pa.string()))}
    fields = [f for f in SCHEMA if f.name != "import_id"]
    arrays = [
        _as_array(made[f.name], f.type, n) if f.name in made else pa.nulls(n, f.type)
        for f in fields
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _as_array(column: Any, kind: pa.DataType, n: int) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    values, empty = (column.values, column.empty) if isinstance(column, Numbers) else (column, None)
    if pa.types.is_decimal(kind):
        assert empty is not None
        return decimals_of(values, empty, kind, n)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind, mask=empty)


def decimals_of(pico: Ints, empty: Mask, kind: pa.DataType, n: int) -> pa.Array:
    """Whole 10^-12 dollars as 128-bit decimals: the low word, and the sign carried upwards."""
    words = np.empty((n, 2), dtype=np.int64)
    words[:, 0] = pico
    words[:, 1] = pico >> 63
    valid = pa.py_buffer(np.packbits(~empty, bitorder="little"))
    return pa.Array.from_buffers(kind, n, [valid, pa.py_buffer(words)])
