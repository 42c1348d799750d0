"""The table and the JSON of a run."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateway.peers import nginx_version
from benchmarks.gateway.rounds import AT_ONCE, Row


def _median(row: Row, name: str) -> float | None:
    values = row.figures.get(name)
    return statistics.median(values) if values else None


def _shown(row: Row, name: str, digits: int, spread: bool = False) -> str:
    values = row.figures.get(name)
    if not values:
        return "-"
    text = f"{statistics.median(values):,.{digits}f}"
    if spread and len(values) > 1:
        text += f" ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
    return text


def _ratio(row: Row, base: Row | None, name: str) -> str:
    ours, theirs = _median(row, name), _median(base, name) if base else None
    return f"{ours / theirs:.2f}" if ours and theirs else "-"


def _added(row: Row, n: int) -> str:
    return f"{_shown(row, f'added_p50_ms_c{n}', 2)} / {_shown(row, f'added_p99_ms_c{n}', 2)}"


HEADINGS = (
    "gateway",
    "version",
    "CPU ms/request, c=32",
    "times nginx",
    "times Envoy",
    "req/s, c=32",
    *(f"added p50 / p99 ms, c={n}" for n in AT_ONCE),
    "stream of 50 events, CPU ms",
    "times Envoy",
    "256 KB prompt, CPU ms",
    "RSS MiB",
)


def markdown(rows: Sequence[Row]) -> str:
    """The table, medians with the least and most of all rounds."""
    by_name = {row.peer.name: row for row in rows}
    nginx, envoy = by_name.get("nginx"), by_name.get("envoy")
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for row in rows:
        if row.problem:
            cells = [row.peer.label, row.version, f"not run: {row.problem}"]
            cells += [""] * (len(HEADINGS) - len(cells))
        else:
            cells = [
                row.peer.label,
                row.version,
                _shown(row, "cpu_ms", 4, spread=True),
                _ratio(row, nginx, "cpu_ms"),
                _ratio(row, envoy, "cpu_ms"),
                _shown(row, "requests_per_s", 0),
                *(_added(row, n) for n in AT_ONCE),
                _shown(row, "stream_cpu_ms", 2, spread=True),
                _ratio(row, envoy, "stream_cpu_ms"),
                _shown(row, "long_cpu_ms", 3),
                _shown(row, "rss_mib", 0),
            ]
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    lines += ["", *_fingerprint(by_name.get("weighbridge")), *_notes(rows)]
    return "\n".join(lines) + "\n"


def _fingerprint(row: Row | None) -> list[str]:
    if row is None or not row.figures.get("unnamed_cpu_ms"):
        return []
    plain, seen, named, fresh = (
        _median(row, name) or 0.0
        for name in ("cpu_ms", "unnamed_cpu_ms", "fresh_named_cpu_ms", "fresh_cpu_ms")
    )
    return [
        "| fingerprint (no template header), CPU ms/request | with it | without | more |",
        "|---|---|---|---|",
        f"| system prompt seen before | {seen:.4f} | {plain:.4f} | {seen - plain:.4f} |",
        f"| a new system prompt of 4 KB each time | {fresh:.4f} | {named:.4f} |"
        f" {fresh - named:.4f} |",
        "",
    ]


def _notes(rows: Sequence[Row]) -> list[str]:
    return [f"- {row.peer.label}: {row.note}" for row in rows if row.note]


def machine(seconds: float, n_rounds: int, busy: Sequence[float]) -> dict[str, object]:
    """What the figures were measured on and with."""
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    cpus = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": "python -m benchmarks.gateway " + " ".join(sys.argv[1:]),
        "seconds": seconds,
        "rounds": n_rounds,
        "cores": os.cpu_count(),
        "cpu": ", ".join(sorted(cpus)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": nginx_version(),
        "wrk": (wrk.stdout or wrk.stderr).split(" [")[0].removeprefix("wrk "),
        "node": node.stdout.strip(),
        "busy_by_others_frac": [round(frac, 2) for frac in busy],
    }


def write(out: Path, rows: Sequence[Row], facts: dict[str, object]) -> None:
    """`table.md` and `result.json` in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    told = "; ".join(f"{key} {value}" for key, value in facts.items())
    (out / "table.md").write_text(markdown(rows) + f"\n{told}\n")
    result = {
        "run": facts,
        "gateways": [
            {
                "name": row.peer.name,
                "label": row.peer.label,
                "version": row.version,
                "note": row.note,
                "problem": row.problem,
                "figures": row.figures,
            }
            for row in rows
        ],
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
