"""What a person told of an endpoint, held against what the files themselves record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from weighbridge.catalog.canonical import canonical_gpu, canonical_model, canonical_precision
from weighbridge.catalog.facts import Catalog, load_catalog
from weighbridge.units import CatalogError, InputError
from weighbridge.usage.observed import EngineSettings, ObservedLoad, ObservedRun

Measured = ObservedRun | ObservedLoad
# What makes another endpoint of it: told against a record, these are refused.
_COUNTED = {
    "n_tensor_parallel": "--tensor-parallel",
    "n_data_parallel": "--data-parallel",
    "expert_parallel": "--expert-parallel",
}
# What an engine may have been given otherwise than its files say: told against a record, noted.
_SET = (
    "n_max_requests",
    "n_max_batched_tokens",
    "n_block_tokens",
    "kv_tokens",
    "prefix_caching",
    "async_scheduling",
)
_PARTS = re.compile(r"[-_/.:\s]+")


def check_told(
    runs: Sequence[Measured], told: EngineSettings, precision: str | None, notes: list[str]
) -> None:
    """Refuse a model, GPU, split or number format other than recorded; note other differences."""
    catalog = load_catalog()
    for run in runs:
        recorded = run.settings
        _check_name(run, "model", told, catalog, notes)
        _check_name(run, "gpu", told, catalog, notes)
        _check_engine(run, told.engine)
        for field, option in _COUNTED.items():
            own, found = getattr(told, field), getattr(recorded, field)
            if own is not None and found is not None and own != found:
                raise _contradicted(run, option, own, found)
        for field in _SET:
            own, found = getattr(told, field), getattr(recorded, field)
            if own is not None and found is not None and own != found:
                _note(notes, f"{field} is told as {own}, against {found} in the files")
    recorded_precision = precision_in_names(runs)
    if precision is None or recorded_precision is None:
        return
    if canonical_precision(precision) != recorded_precision:
        raise _contradicted(runs[0], "--precision", precision, recorded_precision)


def precision_in_names(runs: Iterable[Measured]) -> str | None:
    """Number format that the recorded models' names end in; None where none tells of one."""
    for run in runs:
        for part in reversed(_PARTS.split(run.settings.model or "")):
            if part.lower() == "half":  # a word in names
                continue
            try:
                return canonical_precision(part)
            except InputError:
                continue
    return None


def _check_name(
    run: Measured, field: str, settings: EngineSettings, catalog: Catalog, notes: list[str]
) -> None:
    """One id of the catalog must be meant by both; a name that it does not know is an alias."""
    told, recorded = getattr(settings, field), getattr(run.settings, field)
    if not told or not recorded or told == recorded:
        return
    known: Callable[[str, Catalog], str] = canonical_model if field == "model" else canonical_gpu
    try:
        meant = known(recorded, catalog)
    except (InputError, CatalogError):
        _note(notes, f"the files call the {field} {recorded!r}, taken to be {told}")
        return
    try:
        is_same = known(told, catalog) == meant
    except (InputError, CatalogError):
        is_same = False
    if not is_same:
        raise _contradicted(run, f"--{field}", told, recorded)


def _check_engine(run: Measured, told: str | None) -> None:
    """Name and version as far as both tell them, such as vllm and vllm 0.19.0."""
    recorded = run.settings.engine
    if told is None or recorded is None:
        return
    own, found = told.lower().split(), recorded.lower().split()
    if any(a != b for a, b in zip(own, found, strict=False)):
        raise _contradicted(run, "--engine", told, recorded)


def _contradicted(run: Measured, option: str, told: object, recorded: object) -> InputError:
    return InputError(
        option,
        str(told),
        f"is not what was measured: {run.name} records {recorded}",
        f"leave {option} out, or give files of that endpoint",
    )


def _note(notes: list[str], text: str) -> None:
    if text not in notes:
        notes.append(text)
