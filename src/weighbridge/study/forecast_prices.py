"""A log's tokens at the API prices of another day: exact, by model and token type.

The log's stored costs stay what they are; only what the traffic would cost from now on changes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext

from weighbridge.catalog.price_tables import midnight_us
from weighbridge.catalog.prices import PriceBook
from weighbridge.economics.workload import Workload
from weighbridge.study.bill_matching import canonical
from weighbridge.study.scenario import Scenario
from weighbridge.study.traffic import Traffic, types_with_tokens
from weighbridge.units import HOURS_PER_DAY, HOURS_PER_MONTH
from weighbridge.usage.price_classes import (
    EXACT,
    TOKEN_TYPES,
    PriceClass,
    class_cost_usd,
    parts_usd,
    rates_of,
)
from weighbridge.usage.results import Profile

DIGITS = 60


@dataclass(frozen=True, slots=True)
class Priced:
    """One model's tokens of one type."""

    model: str  # with its provider
    token_type: str


@dataclass(frozen=True)
class Forecast:
    """Monthly API cost by query type, model and token type, before and at the forecast's prices.

    `was` and `now` hold list dollars a month by the query type's place in the study. `stated_on` is
    the day at whose price a stated spend is turned into tokens, where there is no log.
    """

    prices_on: dt.date
    was: Mapping[Priced, Mapping[int, float]]
    now: Mapping[Priced, Mapping[int, float]]
    rates: Mapping[Priced, tuple[float, float]]  # mean USD/Mtok before and now
    stated_on: dt.date | None = None
    notes: tuple[str, ...] = field(default=())

    def usd_of(self, place: int, changed: frozenset[Priced] | None = None) -> float:
        """Monthly cost of one type with some prices changed (None: all) [USD]."""
        return sum(
            (self.now if changed is None or what in changed else self.was)[what].get(place, 0.0)
            for what in self.was
        )

    def on(self, traffic: Traffic, changed: frozenset[Priced] | None = None) -> Traffic:
        """The traffic with those prices; its tokens stay."""
        return replace(traffic, workload=self.of(traffic.workload, changed))

    def of(self, workload: Workload, changed: frozenset[Priced] | None = None) -> Workload:
        """The workload with some prices changed (None: all)."""
        return Workload(
            tuple(
                replace(one, api_usd_per_month=self.usd_of(i, changed))
                for i, one in enumerate(workload.types)
            )
        )


@dataclass
class _Sums:
    was: dict[int, Decimal] = field(default_factory=dict)
    now: dict[int, Decimal] = field(default_factory=dict)
    n_tokens: int = 0


def forecast_of_log(
    classes: Sequence[PriceClass],
    profile: Profile,
    scenario: Scenario,
    book: PriceBook,
    days: tuple[dt.date | None, dt.date],
) -> Forecast:
    """A log at the prices of the second day, against those of the first (None: its stored costs).

    `classes` are of the scenario's query types (`price_classes` with `query_type_by`, typed).
    """
    was_on, on = days
    places = {
        tuple(getattr(t, name) for name in scenario.query_type_by): i
        for i, t in enumerate(types_with_tokens(profile))
    }
    sums: dict[Priced, _Sums] = {}
    unpriced, undated = set(), set()
    with localcontext() as context:
        context.prec = DIGITS
        for told in classes:
            one = _assumed(told, scenario)
            place = places.get(told.names)
            if place is None or one.price_state == "self_hosted" or not one.model:
                continue
            name = "/".join(part for part in canonical(one.provider, one.model) if part)
            now = _by_type(one, book, on)
            if now is None:
                if one.list_cost_usd:
                    unpriced.add(name)
                now = _stored(one, book)
            if _is_undated(one, book, on):
                undated.add(name)
            before = (_by_type(one, book, was_on) if was_on else None) or _stored(one, book)
            for i, token_type in enumerate(TOKEN_TYPES):
                part = sums.setdefault(Priced(name, token_type), _Sums())
                part.n_tokens += one.tokens[i]
                part.was[place] = part.was.get(place, Decimal(0)) + before[i]
                part.now[place] = part.now.get(place, Decimal(0)) + now[i]
    return _monthly(sums, profile, on, _notes(unpriced, undated, on))


def _assumed(one: PriceClass, scenario: Scenario) -> PriceClass:
    """A request without a model is the assumed one, as in the profile."""
    if one.model is None and one.price_state == "unpriced" and scenario.assume_model is not None:
        provider = scenario.assume_provider or one.provider
        return replace(one, model=scenario.assume_model, provider=provider)
    return one


def _by_type(one: PriceClass, book: PriceBook, on: dt.date) -> tuple[Decimal, ...] | None:
    rates = rates_of(one, book, on)
    if rates is None or class_cost_usd(one, rates) is None:
        return None
    pairs = zip(rates, one.tokens, strict=True)
    return tuple(EXACT.scaleb(Decimal((rate or 0) * count), -24) for rate, count in pairs)


def _stored(one: PriceClass, book: PriceBook) -> tuple[Decimal, ...]:
    """What the ledger stored; an assumed request has its own instant's price."""
    rates = rates_of(one, book)
    if one.price_state != "priced":
        return _by_type(one, book, one.at.date()) or (Decimal(0),) * 4
    return parts_usd(one, rates)


def _is_undated(one: PriceClass, book: PriceBook, on: dt.date) -> bool:
    prices = book.find(one.provider, one.model) if one.model else None
    if prices is None or len(prices.starts_us) < 2:
        return prices is not None
    return midnight_us(on) < prices.starts_us[1]


def _notes(unpriced: set[str], undated: set[str], on: dt.date) -> tuple[str, ...]:
    notes = []
    if unpriced:
        notes.append(
            f"no price on {on} is known of {', '.join(sorted(unpriced))}: the log's stands"
        )
    if undated:
        names = ", ".join(sorted(undated))
        notes.append(f"prices of {names} carry no date before {on}: the oldest known stand in")
    return tuple(notes)


def _monthly(
    sums: Mapping[Priced, _Sums], profile: Profile, on: dt.date, notes: tuple[str, ...]
) -> Forecast:
    scale = HOURS_PER_MONTH / (profile.span.span_days * HOURS_PER_DAY)
    used = {what: part for what, part in sums.items() if part.n_tokens}

    def by_place(costs: Mapping[int, Decimal]) -> dict[int, float]:
        return {place: float(usd) * scale for place, usd in costs.items()}

    def mean(costs: Mapping[int, Decimal], n_tokens: int) -> float:
        return float(sum(costs.values(), Decimal(0)) / n_tokens * 1_000_000)

    return Forecast(
        prices_on=on,
        was={what: by_place(part.was) for what, part in used.items()},
        now={what: by_place(part.now) for what, part in used.items()},
        rates={
            what: (mean(part.was, part.n_tokens), mean(part.now, part.n_tokens))
            for what, part in used.items()
        },
        notes=notes,
    )


def forecast_of_statement(
    traffic: Traffic, scenario: Scenario, book: PriceBook, on: dt.date, was_on: dt.date
) -> Forecast | None:
    """A stated volume at another day's prices; None where the scenario states its own price."""
    if scenario.price is not None or scenario.model is None:
        return None
    pairs = [
        book.rates_usd_per_mtok(scenario.provider, scenario.model, day) for day in (was_on, on)
    ]
    was, now = pairs
    if was is None or now is None:
        return None
    share, whole = scenario.input_share_frac, traffic.workload.whole
    mtok = whole.api_usd_per_month / (
        share * was.input_usd_per_mtok + (1 - share) * was.output_usd_per_mtok
    )
    rates = {
        "input": (was.input_usd_per_mtok, now.input_usd_per_mtok, share),
        "output": (was.output_usd_per_mtok, now.output_usd_per_mtok, 1 - share),
    }
    names = {name: Priced(scenario.model, name) for name in rates}
    return Forecast(
        prices_on=on,
        was={names[n]: {0: mtok * part * then} for n, (then, _, part) in rates.items()},
        now={names[n]: {0: mtok * part * today} for n, (_, today, part) in rates.items()},
        rates={names[n]: (then, today) for n, (then, today, _) in rates.items()},
        stated_on=was_on,
    )
