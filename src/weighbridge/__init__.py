"""Weigh every LLM request; know when self-hosting pays.

>>> import weighbridge as wb
>>> study = wb.decide("scenario.yaml", "usage")  # doctest: +SKIP
>>> study.verdict.headline  # doctest: +SKIP
'Split: move 3 query types (self-hosted on owned GPUs), keep the rest: …'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from weighbridge.version import __version__ as __version__

if TYPE_CHECKING:
    from weighbridge.study.decide import decide as decide
    from weighbridge.study.predict import predict as predict
    from weighbridge.study.result import Study as Study
    from weighbridge.study.scenario import Scenario as Scenario
    from weighbridge.study.scenario import load_scenario as load_scenario
    from weighbridge.study.size import size as size
    from weighbridge.study.size_question import SizeQuestion as SizeQuestion
    from weighbridge.study.size_question import TrafficQuestion as TrafficQuestion
    from weighbridge.usage.profile import profile as profile
    from weighbridge.usage.store import open_ledger as open_ledger

_PUBLIC = {
    "Scenario": "weighbridge.study.scenario",
    "SizeQuestion": "weighbridge.study.size_question",
    "Study": "weighbridge.study.result",
    "TrafficQuestion": "weighbridge.study.size_question",
    "decide": "weighbridge.study.decide",
    "load_scenario": "weighbridge.study.scenario",
    "open_ledger": "weighbridge.usage.store",
    "predict": "weighbridge.study.predict",
    "profile": "weighbridge.usage.profile",
    "size": "weighbridge.study.size",
}

__all__ = [
    "Scenario",
    "SizeQuestion",
    "Study",
    "TrafficQuestion",
    "decide",
    "load_scenario",
    "open_ledger",
    "predict",
    "profile",
    "size",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `weighbridge --help` pays for none of them."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'weighbridge' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
