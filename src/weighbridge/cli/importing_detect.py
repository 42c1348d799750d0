"""`weighbridge import --detect`: what files are, and which command reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def print_kinds(names: Sequence[str], scratch: Path) -> None:
    """Say of each file what it is; raises for the first that is of no known kind."""
    from rich.console import Console

    from weighbridge.usage.detect import benchmark_of, detect, told
    from weighbridge.usage.log_files import find_files

    console = Console(highlight=False, soft_wrap=True)
    for file in find_files(names, ("json", "csv", "parquet"), scratch):
        found = detect(file)
        tool = benchmark_of(file) if found.best is None else None
        for line in told(found) if tool is None else _benchmark(file.name, tool):
            console.print(line, markup=False)


def _benchmark(name: str, tool: str) -> Sequence[str]:
    return (
        f"{name}: {tool}",
        "  a benchmark's result, which holds no request of yours",
        f"  next: weighbridge calibrate {name} --out serving.json",
    )
