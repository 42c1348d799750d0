"""The demo without a gateway: a synthetic week as a log that LiteLLM might have exported."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from weighbridge.cli.demo_place import Place

if TYPE_CHECKING:
    from weighbridge.study.decide import Progress

FIRST_MONDAY = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)  # fixed: the same seed makes the same log
HOURS_BEYOND = 1  # first and last request then lie whole days apart


def write_log(place: Place, seed: int, days: int, tell: Progress) -> None:
    """Draw the traffic and write it as LiteLLM would have logged it."""
    import numpy as np

    from weighbridge.catalog.prices import compile_prices
    from weighbridge.rehearsal.demo_mix import DEMO_MIX
    from weighbridge.rehearsal.litellm_log import LogLook, write_spend_log
    from weighbridge.rehearsal.traffic import generate

    tell("make traffic", 0.0)
    rng = np.random.default_rng(seed)
    traffic = generate(DEMO_MIX, FIRST_MONDAY, days * 24 + HOURS_BEYOND, rng)
    tell("make traffic", 1.0)
    book, rates = compile_prices(), {}
    for service in {template.service for template in DEMO_MIX.templates}:
        found = book.rates_usd_per_mtok(service.provider, service.model, FIRST_MONDAY.date())
        assert found is not None, f"the price list has lost {service.model}"
        rates[service.model] = found
    look = LogLook(rates, rng)
    write_spend_log(place.log, DEMO_MIX, traffic, look, lambda done, n: tell("write log", done / n))


def import_log(place: Place, tell: Progress) -> None:
    """Read the log into a ledger, as `weighbridge import litellm` does."""
    from weighbridge.usage.importing import ImportRequest, import_logs

    report = import_logs(
        ImportRequest("litellm", (place.log,), place.usage),
        now=dt.datetime.now(dt.UTC),
        on_progress=lambda stage, done, total: tell(f"import: {stage}", done / max(total, 1)),
    )
    report.raise_if_too_many_rejects()
