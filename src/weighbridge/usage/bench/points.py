"""Tables of published measurements: one row per configuration and load."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.bench.double_counts import without_double_counts
from weighbridge.usage.bench.opening import as_text, read_bytes
from weighbridge.usage.observed import ServingPoint

COLUMNS = (
    "source",
    "model",
    "gpu",
    "num_gpus",
    "tp",
    "precision",
    "engine",
    "isl",
    "osl",
    "concurrency",
    "output_tok_s",
    "ttft_ms",
    "tpot_ms",
    "notes",
)

# "epnone" of the silicon samples says nothing; "ep1" says that experts are not spread.
_EXPERT_PARALLEL = re.compile(r"#.*_ep_?(\d+)(?:_|$)")
_UNBOUNDED = re.compile(r"max(\b.*)?")  # offline runs: as many at once as the engine takes


def read_serving_points(path: Path) -> tuple[ServingPoint, ...]:
    """Points of a CSV with the columns `COLUMNS`, in their order of rows; others are left unread.

    Throughput that was derived by Little's law stands in the notes alone (`little_out_tok_s`) and
    is not measured, so such a point has none. `concurrency` of "max…" is none. Milliseconds
    become seconds. Whether experts are spread is taken from the row's id (`…_tp8_ep8_…`);
    GPUs that were counted twice are counted once (`double_counts`).
    """
    text = as_text(path, read_bytes(path))
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = rows.fieldnames or ()
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise InputError(
                str(path),
                ", ".join(missing),
                "missing from the header",
                f"begin the file with the columns {', '.join(COLUMNS)}",
            )
        points = tuple(_Row(path, rows.line_num, row).point() for row in rows)
    except csv.Error as error:
        raise InputError(
            f"{path}:{rows.line_num}", "", f"is not CSV: {error}", "quote fields that hold commas"
        ) from None
    if not points:
        raise InputError(str(path), "", "has a header and no rows", "give at least one measurement")
    return without_double_counts(points)


class _Row:
    """One row: its cells, and where it stands for errors."""

    def __init__(self, path: Path, line: int, cells: dict[str, str | None]) -> None:
        self._where, self._cells = f"{path}:{line}", cells
        if None in cells or None in cells.values():
            raise InputError(
                self._where, "", "has another number of cells than the header", "mend the row"
            )

    def point(self) -> ServingPoint:
        notes = self._text("notes")
        throughput = self._number("output_tok_s")
        point = ServingPoint(
            source=self._named("source"),
            model=self._named("model"),
            gpu=self._named("gpu"),
            n_gpus=self._count("num_gpus"),
            n_tensor_parallel=self._count("tp"),
            expert_parallel=self._expert_parallel(),
            precision=self._text("precision") or None,
            engine=self._named("engine"),
            input_tokens=self._number("isl"),
            output_tokens=self._number("osl"),
            n_concurrent=self._concurrency(),
            ttft_s=self._seconds("ttft_ms"),
            tpot_s=self._seconds("tpot_ms"),
            output_tokens_per_s=None if "little_out_tok_s=" in notes else throughput,
            disaggregated="mode=disagg" in notes,
            note=notes,
        )
        if point.ttft_s is point.tpot_s is throughput is None:
            raise InputError(
                self._where,
                "ttft_ms, tpot_ms, output_tok_s",
                "all three are empty",
                "give what was measured, or leave the row out",
            )
        return point

    def _text(self, name: str) -> str:
        return (self._cells[name] or "").strip()

    def _named(self, name: str) -> str:
        text = self._text(name)
        if not text:
            raise InputError(self._where, name, "is empty", "name it")
        return text

    def _number(self, name: str) -> float | None:
        text = self._text(name)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            raise InputError(
                self._where, name, f"is {text!r}", "give a number above 0, or leave it empty"
            )
        return number

    def _seconds(self, name: str) -> float | None:
        ms = self._number(name)
        return None if ms is None else ms / 1000

    def _count(self, name: str) -> int | None:
        number = self._number(name)
        if number is not None and not number.is_integer():
            raise InputError(
                self._where, name, f"is {number}", "give a whole number, or leave it empty"
            )
        return None if number is None else int(number)

    def _concurrency(self) -> float | None:
        if _UNBOUNDED.fullmatch(self._text("concurrency")):
            return None
        return self._number("concurrency")

    def _expert_parallel(self) -> bool | None:
        found = _EXPERT_PARALLEL.search(self._text("source"))
        return None if found is None else int(found[1]) > 1
