"""`weighbridge import --detect`: what files are, and which command reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def print_kinds(names: Sequence[str], scratch: Path) -> None:
    """Say of each file what it is; raises for the first that is of no known kind."""
    from rich.console import Console

    from weighbridge.usage.detect import detect, told
    from weighbridge.usage.log_files import find_files

    console = Console(highlight=False, soft_wrap=True)
    for file in find_files(names, ("json", "csv", "parquet"), scratch):
        for line in told(detect(file)):
            console.print(line, markup=False)
