"""The measured side of a study: the world's facts, and the profile of a ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.catalog.dated import catalog_on
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.prices import PriceBook, compile_prices
from weighbridge.study.pose import Facts
from weighbridge.study.scenario import Scenario
from weighbridge.study.traffic import types_with_tokens
from weighbridge.study.typed_requests import TypedRequests, typed_requests
from weighbridge.units import InputError
from weighbridge.usage.results import Profile

if TYPE_CHECKING:
    from weighbridge.usage.store import Ledger


def open_facts(scenario: Scenario, as_of: dt.date | None) -> Facts:
    """Catalog and prices of a day, with the scenario's own rows; later offers do not hold yet."""
    today = dt.datetime.now(dt.UTC).date()
    own, on = _path(scenario.catalog_file), as_of or today
    catalog, undated = catalog_on(load_catalog(own, today) if own else load_catalog(), on)
    return Facts(catalog, compile_prices(_path(scenario.prices_file)), on, undated)


def open_profile(
    scenario: Scenario, usage: Ledger | Path | str, book: PriceBook
) -> tuple[Profile, str]:
    """Profile of a ledger by the scenario's settings, and the ledger's digest."""
    from weighbridge.usage.profile import ProfileOptions, profile  # noqa: PLC0415  # DuckDB, Ibis

    ledger = opened(usage)
    _check_prices(scenario, ledger, book)
    by = ("tenant", *(name for name in scenario.query_type_by if name != "tenant"))
    options = ProfileOptions(
        query_type_by=scenario.query_type_by,
        assume_model=scenario.assume_model,
        assume_provider=scenario.assume_provider,
        prices_file=_path(scenario.prices_file),
        by=(by,),
    )
    sources = tuple(sorted({manifest.source for manifest in ledger.manifests}))
    return replace(profile(ledger, options), sources=sources), ledger.digest


def opened(usage: Ledger | Path | str) -> Ledger:
    """The ledger itself, or the one in that folder."""
    from weighbridge.usage.store import open_ledger  # noqa: PLC0415

    return open_ledger(Path(usage)) if isinstance(usage, str | Path) else usage


def requests_reader(
    scenario: Scenario, usage: Ledger | Path | str | None, profile: Profile | None
) -> Callable[[], TypedRequests] | None:
    """How to read the requests behind a profile, should fleets be simulated on them."""
    if usage is None or profile is None:
        return None
    types = types_with_tokens(profile)
    return lambda: typed_requests(opened(usage), types, scenario.query_type_by)


def _check_prices(scenario: Scenario, ledger: Ledger, book: PriceBook) -> None:
    """A ledger was priced when it was imported: other prices now would change nothing in it."""
    if scenario.prices_file is None:
        return
    if any(m.prices_digest != book.digest for m in ledger.manifests):
        raise InputError(
            str(ledger.path),
            "prices_file",
            f"{scenario.prices_file} did not price this ledger, whose costs are fixed at import",
            "import the logs into a new folder with --prices, or leave the file out",
        )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
