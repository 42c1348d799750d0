"""Every number of a study as files: JSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from weighbridge.study.result import OptionResult, Study, Surface

SCHEMA = "weighbridge.study"
SCHEMA_VERSION = 1
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

Row = Sequence[object]
Table = tuple[Row, Iterable[Row]]


def study_to_json(study: Study) -> bytes:
    """A study as JSON: keys are the fields' names and so carry units; a missing number is null.

    Exact costs are strings, instants and dates ISO 8601. All money is in US dollars; `currency` and
    `usd_rate` say how it was shown. An infinite number is a fault of the study and raises.
    """
    body = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **plain(study)}
    return (json.dumps(body, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def plain(value: object, where: str = "study") -> Any:
    """A result as dicts, lists, strings and numbers; `where` names the place in what it raises."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name), f"{where}.{field.name}")
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [plain(item, where) for item in value]
    return _plain_leaf(value, where)


def _plain_leaf(value: object, where: str) -> str | int | float | None:
    if isinstance(value, float):
        return _finite(value, where)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{where}: a {type(value).__name__} has no place in a study's JSON")


def _finite(value: float, where: str) -> float | None:
    if math.isinf(value):
        raise ValueError(f"{where}: is infinite, which no file can hold; it should be None or NaN")
    return None if math.isnan(value) else value


def study_tables(study: Study) -> dict[str, str]:
    """CSV text by file name; exact figures in US dollars, empty where there is none."""
    return {
        f"{name}.csv": csv_text(header, rows) for name, (header, rows) in _tables(study).items()
    }


def _tables(study: Study) -> dict[str, Table]:
    return {
        "options": _options(study),
        "monthly": _monthly(study),
        "lines": _lines(study),
        "break_evens": _flat(study.break_evens),
        "surface": surface_table(study.surface) if study.surface else ((), ()),
        "capacity": _capacity(study),
        "deployments": _flat(study.capacity.tried if study.capacity else ()),
        "tornado": _flat(study.tornado),
        "information": _flat(study.information),
        "reasons": _flat(study.verdict.reasons),
        "query_types": _query_types(study),
        "hidden_costs": _flat(study.naive.steps if study.naive else ()),
        "assumptions": _flat(study.assumptions),
        "show_back": _flat(study.show_back),
        "control_prices": _flat(study.control_prices),
        "usage": _usage(study),
        "changes": _changes(study),
    }


def _flat(items: Sequence[Any]) -> Table:
    """Plain dataclasses as rows; nothing but an empty file where there are none."""
    if not items:
        return (), ()
    names = [field.name for field in dataclasses.fields(items[0])]
    return names, ([getattr(item, name) for name in names] for item in items)


BANDS = (
    "total_usd",
    "npv_usd",
    "usd_per_month",
    "usd_per_mtok",
    "usd_per_request",
    "usd_per_accepted_answer",
)
POINTS = ("p10", "p50", "p90", "mean")


def _options(study: Study) -> Table:
    header = (
        ["option_id", "label", "feasible", "infeasible_because"]
        + [f"{band}_{point}" for band in BANDS for point in POINTS]
        + ["steady_usd_per_month", "cheapest_probability", "expected_regret_usd"]
        + ["payback_plain_month", "payback_discounted_month", "irr_frac_per_year", "moved_types"]
    )
    return header, (_option_row(option) for option in study.options)


def _option_row(option: OptionResult) -> Row:
    back = option.payback
    return [
        option.id,
        option.label,
        option.feasible,
        "; ".join(option.infeasible_because),
        *(getattr(getattr(option, band), point) for band in BANDS for point in POINTS),
        option.steady_usd_per_month,
        option.cheapest_probability,
        option.expected_regret_usd,
        back.plain_month if back else None,
        back.discounted_month if back else None,
        back.irr_frac_per_year if back else None,
        "; ".join(option.moved_types),
    ]


def _monthly(study: Study) -> Table:
    header = ["option_id", "month"]
    header += [f"{kind}_usd_{point}" for kind in ("cash", "cumulative") for point in POINTS[:3]]
    header += ["pnl_usd", "commitment_liability_usd", "cancellation_exposure_usd"]
    header += ["n_gpus", "n_replicas", "utilization_frac"]
    return header, (row for option in study.options for row in _month_rows(option))


def _month_rows(option: OptionResult) -> Iterator[Row]:
    series = [
        *(getattr(option.cash_usd_by_month, point) for point in POINTS[:3]),
        *(getattr(option.cumulative_usd_by_month, point) for point in POINTS[:3]),
        option.pnl_usd_by_month,
        option.commitment_liability_usd_by_month,
        option.cancellation_exposure_usd_by_month,
    ]
    if option.fleet is not None:
        fleet = option.fleet
        series += [fleet.n_gpus_by_month, fleet.n_replicas_by_month]
        series += [fleet.utilization_frac_by_month]
    empty = [None] * (0 if option.fleet is not None else 3)
    for month, values in enumerate(zip(*(line.tolist() for line in series), strict=True), start=1):
        yield [option.id, month, *values, *empty]


def _lines(study: Study) -> Table:
    rows = (
        [option.id, line.category, line.name, place, month, usd]
        for option in study.options
        for place, lines in (("sum", option.lines), ("memo", option.memo_lines))
        for line in lines
        for month, usd in enumerate(line.usd_by_month.tolist(), start=1)
    )
    return ["option_id", "category", "line", "place", "month", "usd"], rows


def surface_table(surface: Surface) -> Table:
    """Header and rows of a surface, one row for each cell."""
    rows = (
        [
            x,
            y,
            float(surface.saving_usd[row, column]),
            float(surface.win_probability[row, column]),
            surface.best_option[row][column],
        ]
        for row, y in enumerate(surface.y.tolist())
        for column, x in enumerate(surface.x.tolist())
    )
    header = [surface.x_name, surface.y_name, "saving_usd", "win_probability", "best_option_id"]
    return header, rows


def _capacity(study: Study) -> Table:
    """Replicas by demand; the figures of today stand in the study's JSON."""
    capacity = study.capacity
    if capacity is None:
        return (), ()
    bands = capacity.n_replicas_by_demand
    series = (capacity.demand_ratio, bands.p10, bands.p50, bands.p90)
    rows = zip(*(values.tolist() for values in series), strict=True)
    return ["demand_ratio", "n_replicas_p10", "n_replicas_p50", "n_replicas_p90"], rows


def _query_types(study: Study) -> Table:
    names = ["label", "verdict", "replaceable", "evidence", "tokens_share_frac"]
    names += ["api_usd_per_month", "saving_usd_per_month"]
    rows = (
        [
            *(getattr(item, name) for name in names),
            "; ".join(reason.text for reason in item.reasons),
            "; ".join(reason.flips_when for reason in item.reasons),
        ]
        for item in study.verdict.by_type
    )
    return [*names, "reasons", "flips_when"], rows


def _changes(study: Study) -> Table:
    """Causes of change against an old study, by option, in the order in which they were applied."""
    if study.change is None:
        return (), ()
    rows = (
        [option.option_id, part.kind, part.cause, part.was, part.now, part.usd_per_month]
        for option in study.change.options
        for part in option.parts
    )
    return ["option_id", "kind", "cause", "was", "now", "usd_per_month"], rows


def _usage(study: Study) -> Table:
    """Spend tables of the profile, one below the other, costs exact."""
    if study.profile is None:
        return (), ()
    buckets = ["uncached_input_tokens", "cache_read_tokens", "cache_write_tokens"]
    buckets += ["output_tokens", "reasoning_tokens"]
    names = ["n_requests", "n_failed", "list_cost_usd", "n_unpriced", "unpriced_tokens"]
    names += ["cost_share_frac", "tokens_share_frac"]
    rows = (
        [
            dimension,
            row.key,
            *(getattr(row.tokens, name) for name in buckets),
            *(getattr(row, name) for name in names),
        ]
        for dimension, groups in study.profile.by.items()
        for row in groups
    )
    return ["dimension", "key", *buckets, *names], rows


def csv_text(header: Row, rows: Iterable[Row]) -> str:
    """A table as CSV; a missing number is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: object) -> str:
    """A value as a CSV cell; text that a spreadsheet would run as a formula is quoted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        finite = _finite(value, "table")
        return "" if finite is None else repr(finite)
    if isinstance(value, Decimal):
        return format(value, "f")
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_STARTS) else text


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_tables(study: Study, folder: Path) -> tuple[Path, ...]:
    """Write the CSV tables into a folder; gives the files written."""
    made = tuple((folder / name, text.encode()) for name, text in study_tables(study).items())
    for path, data in made:
        write_whole(path, data)
    return tuple(path for path, _ in made)
