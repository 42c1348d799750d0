"""Requests drawn from rates into a ledger: rates alone are no log of requests."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from weighbridge.capacity.arrivals import synthesize_clients
from weighbridge.units import InputError
from weighbridge.usage.buckets import MOST_ROWS
from weighbridge.usage.importing import ImportOptions, ImportReport, ImportRequest, import_logs
from weighbridge.usage.request_traces import read_rate_windows, read_request_trace
from weighbridge.usage.sources.servegen import SERVEGEN


@dataclass(frozen=True, slots=True)
class DrawnLog:
    """Which requests to draw: clients' rates, the trace whose lengths they have, and how many."""

    rates: Path
    lengths_from: Path
    demand_ratio: float = 1.0
    seed: int = 1

    @property
    def name(self) -> str:
        """What the log is called in its manifest."""
        told = f"{self.rates}, lengths from {self.lengths_from}, seed {self.seed}"
        return told if self.demand_ratio == 1 else f"{told}, rates times {self.demand_ratio:g}"


def import_drawn(
    drawn: DrawnLog,
    into: Path,
    options: ImportOptions,
    *,
    now: dt.datetime,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> ImportReport:
    """Draw requests and store them; raises where they would be too many."""
    windows = read_rate_windows(drawn.rates).times(drawn.demand_ratio)
    most = MOST_ROWS if options.most_rows is None else options.most_rows
    if windows.n_requests > most:
        problem = f"comes to {windows.n_requests:,.0f} requests, and each would become a row"
        ratio = drawn.demand_ratio * most / windows.n_requests
        mend = f"draw fewer, as bursty: --demand-ratio {ratio:.1g}; or allow it with --most-rows"
        raise InputError(str(drawn.rates), "", problem, mend)
    lengths = read_request_trace(drawn.lengths_from).requests
    requests = synthesize_clients(windows, lengths, np.random.default_rng([drawn.seed, 1]))
    table = pa.table(
        {
            "arrival_s": requests.arrival_s,
            "input_tokens": requests.input_tokens,
            "output_tokens": requests.output_tokens,
        }
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "drawn.parquet"
        pq.write_table(table, file)
        told = replace(options, most_rows=None)  # obeyed above, where the number is known first
        request = ImportRequest(SERVEGEN.name, (file,), into, told, drawn.name)
        return import_logs(request, now=now, on_progress=on_progress)
