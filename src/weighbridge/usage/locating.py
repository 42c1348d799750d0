"""Where a source's quantities stand in one file's columns."""

from __future__ import annotations

from dataclasses import replace

from weighbridge.units import InputError
from weighbridge.usage.inputs import Reading
from weighbridge.usage.shown_names import shown_names
from weighbridge.usage.sources.source import UNMAPPABLE, Source, Take


def located_in(source: Source, reading: Reading) -> Source:
    """The source with each path found in this file's columns; raises where a needed one is not.

    A name that a user wrote with dots is a column of that name if there is one, else a path.
    """
    if source.unfold is not None:
        return source
    names = set(reading.names)
    takes = []
    for take in source.takes:
        paths = tuple(
            tuple(path[0].split(".")) if len(path) == 1 and path[0] not in names else path
            for path in take.paths
        )
        if names and not any(path[0] in names for path in paths):
            _refuse_missing(source, take, reading)
        takes.append(replace(take, paths=paths))
    return replace(source, takes=tuple(takes))


def _refuse_missing(source: Source, take: Take, reading: Reading) -> None:
    if not (take.required or source.mapped_by_user):
        return
    wanted = " or ".join(".".join(path) for path in take.paths)
    shown = shown_names(reading.names, 40)
    if source.mapped_by_user:
        problem = f"there is no column {wanted!r} to map {take.quantity} to"
        raise InputError(reading.file.name, wanted, problem, f"one of {shown}")
    problem = f"is not a column of this file, so it is no {source.title}; its columns are {shown}"
    mend = "name the right source, or use `table` with --map"
    known = source.signature.required if source.signature is not None else ()
    held = [name for name in known if name in reading.names]
    if held:
        problem = (
            f"is not a column of this file, though {', '.join(held)} are: is it an export of "
            f"another version? Its columns are {shown}"
        )
        mend = f"if another column holds it, name that one: --map {take.quantity}=COLUMN"
        if take.quantity in UNMAPPABLE:
            mend = f"export the log again with {wanted}, which no other column can stand for"
    raise InputError(reading.file.name, wanted, problem, mend)
