"""The catalog of facts: GPUs, offers, models, engines, throughput, committed throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from statistics import median
from typing import TypeVar

from weighbridge.catalog.fact_file import FactFile, Table, parse_fact_file, read_text
from weighbridge.catalog.rows import (
    CommittedThroughput,
    Engine,
    Gpu,
    Model,
    Offer,
    OfferKind,
    Plan,
    Throughput,
)
from weighbridge.units import CatalogError, InputError

__all__ = [
    "Catalog",
    "CommittedThroughput",
    "Engine",
    "Gpu",
    "Model",
    "Offer",
    "Throughput",
    "load_catalog",
    "price_band",
]

_Row = TypeVar("_Row")
_PACKAGED = ("gpus", "offers", "models", "engines", "throughput", "committed")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every fact of the package and, where given, of a user's own file."""

    gpus: Mapping[str, Gpu]
    offers: tuple[Offer, ...]
    models: Mapping[str, Model]
    engines: Mapping[str, Engine]
    throughput: tuple[Throughput, ...]
    committed: tuple[CommittedThroughput, ...]
    digest: str

    def gpu(self, gpu_id: str) -> Gpu:
        """Row of one GPU; raises CatalogError that names the nearest ids."""
        return _known(self.gpus, gpu_id, "GPU")

    def model(self, model_id: str) -> Model:
        """Row of one model; raises CatalogError that names the nearest ids."""
        return _known(self.models, model_id, "model")

    def offers_for(
        self, gpu_id: str, plan: Plan, kind: OfferKind | None = None
    ) -> tuple[Offer, ...]:
        """Offers of one GPU under one plan, cheapest first; empty where none is known."""
        self.gpu(gpu_id)
        fits = (o for o in self.offers if o.gpu == gpu_id and o.plan == plan)
        return tuple(
            sorted(
                (o for o in fits if kind is None or o.kind == kind),
                key=lambda o: (o.usd_per_gpu_hour, o.id),
            )
        )

    def throughput_for(self, model_id: str) -> tuple[Throughput, ...]:
        """Measurements of one model, in the order of the catalog; empty where none is known."""
        self.model(model_id)
        return tuple(row for row in self.throughput if row.model == model_id)


def price_band(offers: Sequence[Offer]) -> tuple[float, float, float]:
    """Lowest, median and highest price of offers [USD per GPU and hour].

    Raises
    ------
    CatalogError
        Where there is no offer to take a price from.
    """
    if not offers:
        raise CatalogError("no offer to take a price band from: name another GPU, plan or kind")
    prices = [offer.usd_per_gpu_hour for offer in offers]
    return min(prices), median(prices), max(prices)


def load_catalog(user_file: Path | None = None, as_of: date | None = None) -> Catalog:
    """Packaged facts, with a user's rows added or put in place of those of the same id.

    Parameters
    ----------
    user_file : Path, optional
        YAML file with any of the keys gpus, offers, models, engines, throughput, committed.
    as_of : date, optional
        Day of the study; a row checked after it is refused.

    Raises
    ------
    InputError
        Where a file, a row or a field of it cannot be used; names the file, the row and the field.
    """
    if user_file is None and as_of is None:
        return _packaged_catalog()
    files = list(_packaged_files())
    if user_file is not None:
        files.append(parse_fact_file(str(user_file), read_text(user_file)))
    return _join(files, as_of)


@cache
def _packaged_files() -> tuple[FactFile, ...]:
    folder = resources.files("weighbridge.catalog") / "data"
    return tuple(
        parse_fact_file(f"{stem}.yaml", (folder / f"{stem}.yaml").read_text("utf-8"))
        for stem in _PACKAGED
    )


@cache
def _packaged_catalog() -> Catalog:
    return _join(_packaged_files(), None)


def _join(files: Sequence[FactFile], as_of: date | None) -> Catalog:
    merged = Table()
    for file in files:
        merged = merged.overlaid_with(file.table)
    _check_references(merged, files)
    if as_of is not None:
        _check_dates(files, as_of)
    return Catalog(
        gpus=merged.gpus,
        offers=tuple(merged.offers.values()),
        models=merged.models,
        engines=merged.engines,
        throughput=tuple(merged.throughput.values()),
        committed=tuple(merged.committed.values()),
        digest=sha256("\0".join(file.text for file in files).encode()).hexdigest(),
    )


def _check_references(merged: Table, files: Sequence[FactFile]) -> None:
    for file in files:
        for offer in file.table.offers.values():
            _refer(f"{file.name}: offers {offer.id}", "gpu", offer.gpu, merged.gpus)
        for row in file.table.throughput.values():
            where = f"{file.name}: throughput {row.id}"
            _refer(where, "gpu", row.gpu, merged.gpus)
            _refer(where, "model", row.model, merged.models)


def _refer(where: str, field: str, wanted: str, known: Mapping[str, object]) -> None:
    if wanted not in known:
        raise InputError(
            where,
            field,
            f"{wanted!r} is not the id of any {field} row",
            f"add that row under {field}s, or use {_nearest(wanted, known)}",
        )


def _check_dates(files: Sequence[FactFile], as_of: date) -> None:
    for file in files:
        for section, row_id, checked_on in file.table.dates():
            if checked_on > as_of:
                raise InputError(
                    f"{file.name}: {section} {row_id}",
                    "checked_on",
                    f"is {checked_on}, after the day of the study ({as_of})",
                    "give the day on which the source was read",
                )


def _known(rows: Mapping[str, _Row], wanted: str, what: str) -> _Row:
    if wanted not in rows:
        raise CatalogError(f"no {what} {wanted!r} in the catalog: try {_nearest(wanted, rows)}")
    return rows[wanted]


def _nearest(wanted: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(wanted, known, n=3, cutoff=0.4) or sorted(known)[:3]
    return " or ".join(near) or "none: there are no rows"
