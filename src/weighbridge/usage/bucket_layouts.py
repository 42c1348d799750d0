"""How a report by bucket of time was cut: widths and dimensions, so that no usage counts twice.

The same usage by hour and by day, or by model and by project, has other rows and so other ids: only
what it was cut by shows that it is the same. Buckets that are the same throughout may come again,
for their rows have the same ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from weighbridge.units import InputError
from weighbridge.usage.convert import Clock, to_instants
from weighbridge.usage.faults import Faults
from weighbridge.usage.manifests import BucketRun
from weighbridge.usage.sources.source import Source

_ROW = msgspec.json.Decoder(dict[str, dict[str, Any]])
_KIND = "object"  # which of a service's reports a row is of: each counts other usage


def runs_of(items: Iterable[bytes], source: Source) -> tuple[BucketRun, ...]:
    """The buckets of a report's rows, those that follow each other and are cut alike as one."""
    groups: list[tuple[tuple[str, Any, Any], set[str]]] = []  # rows of a bucket lie together
    start_name, end_name = (
        next(one.paths[0][1] for one in source.takes if one.quantity == quantity)
        for quantity in ("started_at", "bucket_ended_at")
    )
    for item in items:
        try:
            row = _ROW.decode(item)
        except msgspec.DecodeError:
            continue
        bucket, result = row.get("bucket", {}), row.get("result", {})
        at = (bucket.get(start_name), bucket.get(end_name))
        if not all(isinstance(one, str | int | float) for one in at):
            continue
        key = (str(result.get(_KIND) or ""), *at)
        if not groups or groups[-1][0] != key:
            groups.append((key, set()))
        groups[-1][1].update(_dimensions(result))
    starts = _instants([key[1] for key, _ in groups], source, "started_at")
    ends = _instants([key[2] for key, _ in groups], source, "bucket_ended_at")
    found = [
        (key[0], tuple(sorted(told)), start, end)
        for (key, told), start, end in zip(groups, starts, ends, strict=True)
        if start < end
    ]
    return _joined(sorted(set(found)))


def _dimensions(result: Mapping[str, Any]) -> set[str]:
    return {
        name for name, held in result.items() if isinstance(held, str | bool) and name != _KIND
    } - _SUMS


_SUMS = frozenset({"input_tokens", "output_tokens", "num_model_requests"})  # a count as text


def _instants(values: Sequence[Any], source: Source, quantity: str) -> Sequence[int]:
    """Instants [us]; 0 where one cannot be read, which the row's reading will say."""
    unit = next(one.unit for one in source.takes if one.quantity == quantity)
    numbers = to_instants(values, Faults(), quantity, Clock("UTC", unit, 0))
    return [int(one) for one in np.where(numbers.empty, 0, numbers.values)]


def _joined(found: Sequence[tuple[str, tuple[str, ...], int, int]]) -> tuple[BucketRun, ...]:
    runs: list[BucketRun] = []
    for kind, dimensions, start, end in found:
        last = runs[-1] if runs else None
        if (
            last is not None
            and (last.kind, last.dimensions, last.width_us) == (kind, dimensions, end - start)
            and last.stop_us == start
        ):
            runs[-1] = BucketRun(kind, dimensions, end - start, last.start_us, end)
        else:
            runs.append(BucketRun(kind, dimensions, end - start, start, end))
    return tuple(runs)


def finished(runs: Iterable[BucketRun], now_us: int) -> tuple[BucketRun, ...]:
    """The runs without buckets that had not ended: those are rejected, and stored later."""
    cut = []
    for run in runs:
        n = min(run.stop_us - run.start_us, now_us - run.start_us) // run.width_us
        if n > 0:
            stop = run.start_us + n * run.width_us
            cut.append(msgspec.structs.replace(run, stop_us=stop))
    return tuple(cut)


def refuse_other_cut(
    name: str, runs: Sequence[BucketRun], earlier: Iterable[tuple[str, Sequence[BucketRun]]]
) -> None:
    """Raise where a report tells of a time that an earlier one, or it itself, cuts otherwise."""
    for other_name, others in (*earlier, (name, runs)):
        for run in runs:
            for other in others:
                if _contradict(run, other):
                    problem = (
                        f"tells of {_times(run, other)} by {_words(run)}; {other_name} tells of "
                        f"it by {_words(other)}, and to store both would count usage twice"
                    )
                    mend = "fetch it again cut as before, or import it into a new folder"
                    raise InputError(name, "", problem, mend)


def _contradict(one: BucketRun, other: BucketRun) -> bool:
    if one.start_us >= other.stop_us or other.start_us >= one.stop_us:
        return False
    if one.kind and other.kind and one.kind != other.kind:
        return False
    alike = one.width_us == other.width_us and one.dimensions == other.dimensions
    return not alike or (one.start_us - other.start_us) % one.width_us != 0


def _words(run: BucketRun) -> str:
    width = str(np.timedelta64(run.width_us // 10**6, "s"))
    for length, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        n, left = divmod(run.width_us, length * 10**6)
        if not left:
            width = f"{n} {unit}{'s' * (n > 1)}"
            break
    return f"buckets of {width}, grouped by {', '.join(run.dimensions) or 'nothing'}"


def _times(one: BucketRun, other: BucketRun) -> str:
    start, stop = max(one.start_us, other.start_us), min(one.stop_us, other.stop_us)
    first, last = (f"{np.datetime64(at, 'us').astype('datetime64[s]')}Z" for at in (start, stop))
    return f"{first} to {last}"
