"""The kernel compiled by numba: the same functions, translated together on first use.

Only the entry is cached on disk, under a digest of the whole kernel: numba looks at no more than
the file of the function itself when it decides whether a cached translation still holds.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable
from dis import get_instructions
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

from weighbridge.capacity.simulation import (
    blocks,
    calendar,
    pieces,
    routing,
    running,
    scheduling,
    waiting,
)
from weighbridge.capacity.simulation import (
    cache as prefix_cache,
)
from weighbridge.capacity.simulation.routing import run

PACKAGE = "weighbridge.capacity.simulation"
SIGNATURE = "void(int64[::1], float64[::1], float64, int64)"
# The kernel makes no arrays, so that none need be counted: counting halves its speed.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "_nrt": False,
}
MODULES = (calendar, waiting, running, prefix_cache, blocks, scheduling, pieces, routing)
Run = Callable[[Any, Any, float, int], None]


def numba_is_here() -> bool:
    """Whether the kernel can be compiled."""
    return find_spec("numba") is not None


def _entry(digest: int) -> types.FunctionType:
    """The function that is cached; what it closes over is part of the cache's key."""

    def simulate_piece(m: Any, f: Any, until_s: float, n_most: int) -> None:
        if digest >= 0:
            run(m, f, until_s, n_most)

    assert isinstance(simulate_piece, types.FunctionType)
    return simulate_piece


def _kernel() -> tuple[dict[str, Any], dict[str, types.FunctionType]]:
    """All names of the kernel, and its functions among them."""
    names: dict[str, Any] = {}
    for module in MODULES:
        names.update(vars(module))
    functions = {
        name: value
        for name, value in names.items()
        if isinstance(value, types.FunctionType) and value.__module__.startswith(PACKAGE)
    }
    return names, functions


def _digest(names: dict[str, Any], functions: dict[str, types.FunctionType]) -> int:
    """A number that changes with any function or constant of the kernel."""
    parts = [f"{name}={value}" for name, value in sorted(names.items()) if name.isupper()]
    for name, value in sorted(functions.items()):
        code = value.__code__
        parts.append(f"{name} {code.co_code.hex()} {code.co_consts} {code.co_names}")
    return int(sha256("\n".join(parts).encode()).hexdigest()[:15], 16)


def _called_once(functions: dict[str, types.FunctionType]) -> set[str]:
    """Functions with one place that calls them: put in there, they cost no translation apart."""
    calls = Counter(
        line.argval
        for function in functions.values()
        for line in get_instructions(function)
        if line.opname == "LOAD_GLOBAL" and line.argval in functions
    )
    return {name for name, n_calls in calls.items() if n_calls == 1}


@cache
def compiled_run() -> Run:
    """`routing.run` for numpy arrays, compiled; it releases the interpreter's lock."""
    import numba  # noqa: PLC0415

    names, functions = _kernel()
    entry = _entry(_digest(names, functions))
    once = _called_once(functions)
    for name, value in functions.items():
        twin = types.FunctionType(value.__code__, names, name)
        inline = "always" if name in once else "never"
        names[name] = numba.njit(**OPTIONS, no_cpython_wrapper=True, inline=inline)(twin)
    twin = types.FunctionType(entry.__code__, names, "simulate_piece", None, entry.__closure__)
    compiled: Run = numba.njit(SIGNATURE, cache=True, **OPTIONS)(twin)
    return compiled
