"""A YAML file read strictly: no key twice, no surprising types, no aliases that explode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from weighbridge.units import InputError

MAX_DOCUMENT_BYTES = 4 * 2**20
MAX_NODES = 200_000  # with every alias counted as often as it is used
MAX_DEPTH = 60

_STRING = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_PLAIN_TYPES = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:[0-9][0-9_]*\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|[0-9]+[eE][-+]?[0-9]+)",
        "-+.0123456789",
    ),
    (_MERGE, r"<<", "<"),
)


class _PlainLoader(yaml.CSafeLoader):
    """Safe loader with YAML 1.2's plain types only.

    `18:00` stays text instead of becoming 1080, `on` and `no` stay words, dates stay text.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012  # PyYAML reads it from the class


for _tag, _pattern, _first in _PLAIN_TYPES:
    _PlainLoader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


def load_yaml(path: Path | str) -> tuple[dict[str, Any], dict[str, int]]:
    """A file's mapping, and the line of each dotted path in it; faults are InputErrors."""
    where = str(path)
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(where, "", "does not exist", "name a YAML file that exists") from None
    except IsADirectoryError:
        raise InputError(where, "", "is a directory", "name the YAML file in it") from None
    except (OSError, ValueError) as fault:
        raise InputError(where, "", f"cannot be read ({fault})", "mend the path") from None
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise InputError(
            where, "", f"has {len(raw)} bytes", f"keep it under {MAX_DOCUMENT_BYTES} bytes"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InputError(
            where, "", f"is not UTF-8 (byte {fault.start})", "save it as UTF-8"
        ) from None
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> tuple[dict[str, Any], dict[str, int]]:
    """As `load_yaml`, from text. Mappings, lists, text, numbers, booleans and null come out."""
    try:
        _check_depth(text, where)
        loader = _PlainLoader(text)
        try:
            root = loader.get_single_node()
            lines = dict(_walk(root)) if root is not None else {}
            document = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        place = where if mark is None else f"{where}, line {mark.line + 1}"
        raise InputError(place, "", f"is not YAML: {fault.problem}", "mend the line") from None
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise InputError(where, "", f"is not YAML: {fault}", "mend it") from None
    if document is None:
        return {}, {}
    if not isinstance(document, dict):
        raise InputError(where, "", "is not a mapping", "begin with `targets:`")
    return document, lines


def _check_depth(text: str, where: str) -> None:
    """Refuse deep nesting before nodes are made of it: the C library recurses without a limit."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line = "" if event.start_mark is None else f", line {event.start_mark.line + 1}"
            raise InputError(f"{where}{line}", "", f"nests deeper than {MAX_DEPTH}", "flatten it")


def _walk(root: yaml.Node) -> Iterator[tuple[str, int]]:
    """Path and line of every node, each key checked on the way."""
    n_nodes = 0
    pending: list[tuple[yaml.Node, str, int]] = [(root, "", 0)]
    while pending:
        node, path, depth = pending.pop()
        n_nodes += 1
        if n_nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _refused(node, "nests or repeats too much (aliases count as what they stand for)")
        if isinstance(node, yaml.MappingNode):
            for name, line, value in _entries(node):
                inner = f"{path}.{name}" if path else name
                yield inner, line
                pending.append((value, inner, depth + 1))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                yield f"{path}[{index}]", value.start_mark.line + 1
                pending.append((value, f"{path}[{index}]", depth + 1))


def _entries(node: yaml.MappingNode) -> Iterator[tuple[str, int, yaml.Node]]:
    seen: set[str] = set()
    for key, value in node.value:
        if key.tag == _MERGE:
            yield "<<", key.start_mark.line + 1, value
            continue
        if not isinstance(key, yaml.ScalarNode):
            raise _refused(key, "a key is not plain text")
        key.tag = _STRING  # a model or tenant may be named 123 or true
        if key.value in seen:
            raise _refused(key, f"key {key.value!r} is given twice")
        seen.add(key.value)
        yield key.value, key.start_mark.line + 1, value


def _refused(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
