"""The catalog as it was known on a day: of prices that were read again, the newest read by then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import TypeVar

from weighbridge.catalog.facts import Catalog, CommittedThroughput, Offer

_Priced = TypeVar("_Priced", Offer, CommittedThroughput)


def catalog_on(catalog: Catalog, on: date) -> tuple[Catalog, tuple[str, ...]]:
    """Catalog with the prices known on a day, and what could not be dated.

    Rows of one offer that differ in nothing but price and date are its history: the newest read by
    that day holds. An offer that was first read later keeps its oldest price, as the price book
    does, and is told. What a GPU or a model *is* does not change with the day it was read on.
    """
    offers, late_offers = _held(catalog.offers, on)
    committed, late_committed = _held(catalog.committed, on)
    late = [row.checked_on for row in late_offers] + [row.checked_on for row in late_committed]
    unpriced = [
        gpu.name
        for gpu in catalog.gpus.values()
        if gpu.purchase_usd is not None and gpu.checked_on > on
    ]
    notes = []
    if late:
        notes.append(
            f"{len(late)} offers of the catalog were first read after {on} (the earliest on "
            f"{min(late)}): their oldest price stands in"
        )
    if unpriced:
        notes.append(f"purchase prices of {len(unpriced)} GPUs were first read after {on}")
    return replace(catalog, offers=offers, committed=committed), tuple(notes)


def _held(rows: Iterable[_Priced], on: date) -> tuple[tuple[_Priced, ...], list[_Priced]]:
    """One row of each offer, in the order of the catalog; and those read too late to be known."""
    histories: dict[tuple[object, ...], list[_Priced]] = {}
    for row in rows:
        histories.setdefault(_offer_of(row), []).append(row)
    held, late = [], []
    for history in histories.values():
        known = [row for row in history if row.checked_on <= on]
        if known:
            held.append(max(known, key=lambda row: row.checked_on))
        else:
            held.append(min(history, key=lambda row: row.checked_on))
            late.append(held[-1])
    return tuple(held), late


def _offer_of(row: Offer | CommittedThroughput) -> tuple[object, ...]:
    if isinstance(row, Offer):
        place = (row.n_gpus, row.region, row.instance)
        return (row.provider, row.kind, row.gpu, row.plan, row.commitment_months, *place)
    served = (row.serves_input_tokens_per_min, row.serves_output_tokens_per_min)
    return (row.provider, row.model, row.unit_name, row.commitment_months, *served)
