"""What the demo is at: a bar on a terminal, and a line for each phase in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def phases() -> Iterator[Callable[[str, float], None]]:
    """Tell of a phase and how far it is; where output is no terminal, each phase is a line."""
    from weighbridge.cli.decide import progress_bar

    seen: set[str] = set()
    with progress_bar() as bar:

        def tell(phase: str, share_frac: float) -> None:
            if phase not in seen:
                seen.add(phase)
                told_phase(phase)
            bar(phase, share_frac)

        yield tell


def told_phase(phase: str) -> None:
    """One line at once, so that whoever follows the log sees where it is."""
    if not sys.stdout.isatty():
        print(f"demo: {phase}", flush=True)
