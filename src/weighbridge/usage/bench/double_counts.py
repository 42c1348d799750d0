"""GPUs that a table of measurements counts twice: once for the layers, once for the experts.

In the silicon samples some aggregate rows of A GPUs, all of which split the layers and hold the
experts, are printed with A times A GPUs. Three things give them away, in this order: an id that
tells of both (`tp8_ep8`); the same measurement, to the last digit, in another row with fewer GPUs;
more GPUs than the eight of a machine whose name ends in `_sxm`, in a run that spans one machine.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from weighbridge.usage.observed import ServingPoint

MAX_SXM_GPUS = 8
_PARALLEL = re.compile(r"#.*_tp(\d+)(?:_0)?_ep(\d+)(?:_|$)")
_CONFIG = re.compile(r"\bconfig_id=(\d+)")


def without_double_counts(points: Sequence[ServingPoint]) -> tuple[ServingPoint, ...]:
    """The points with each GPU counted once; the note of a mended one keeps what was printed."""
    points = [_mended(point, _told_by_id(point)) for point in points]
    by_config = _told_by_copies(points)
    return tuple(
        _mended(point, by_config.get(_config(point)) or _told_by_machine(point)) for point in points
    )


def _mended(point: ServingPoint, n_gpus: int | None) -> ServingPoint:
    if n_gpus is None or point.n_gpus != n_gpus * n_gpus:
        return point
    whole = point.n_tensor_parallel == point.n_gpus
    return replace(
        point,
        n_gpus=n_gpus,
        n_tensor_parallel=n_gpus if whole else point.n_tensor_parallel,
        expert_parallel=True,
        note=f"{point.note}; num_gpus and tp printed as {point.n_gpus} and "
        f"{point.n_tensor_parallel}",
    )


def _told_by_id(point: ServingPoint) -> int | None:
    found = _PARALLEL.search(point.source)
    if found is None or found[1] != found[2] or int(found[2]) < 2:
        return None
    return int(found[1])


def _config(point: ServingPoint) -> str:
    found = _CONFIG.search(point.note)
    return found[1] if found else ""


def _told_by_copies(points: Sequence[ServingPoint]) -> dict[str, int]:
    """GPUs of the configurations of which a row is found again with fewer."""
    copies = defaultdict(list)
    for point in points:
        if not point.disaggregated and point.n_gpus is not None and point.ttft_s is not None:
            copies[_measurement(point)].append(point)
    told: dict[str, int] = {}
    for same in copies.values():
        least = min(point.n_gpus or 0 for point in same)
        told |= {
            _config(point): least
            for point in same
            if _config(point) and point.n_gpus == least * least and least > 1
        }
    return told


def _measurement(point: ServingPoint) -> tuple[object, ...]:
    return (
        point.gpu,
        point.input_tokens,
        point.output_tokens,
        point.n_concurrent,
        point.ttft_s,
        None if point.tpot_s is None else round(point.tpot_s, 5),  # some copies are rounded
    )


def _told_by_machine(point: ServingPoint) -> int | None:
    n_gpus = point.n_gpus or 0
    is_one_machine = point.gpu.endswith("_sxm") and "mode=agg" in point.note
    if not is_one_machine or n_gpus <= MAX_SXM_GPUS:
        return None
    root = math.isqrt(n_gpus)
    return root if root * root == n_gpus else None
