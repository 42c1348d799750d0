"""Spans of OpenTelemetry as rows: OTLP's JSON, or a span for itself as SDKs print them.

OTLP's JSON is told by "OpenTelemetry Protocol File Exporter" of OpenTelemetry's specification, with
one `TracesData` a line, and by the rules of OTLP for JSON: names in lowerCamelCase, ids in hex,
enumerations as numbers, and 64-bit integers as decimal text, so that `intValue` is "12". The SDKs'
own form is that of `ReadableSpan.to_json` (Python), printed over several lines, and of
`ConsoleSpanExporter._exportInfo` (JavaScript), whose instants are microseconds and whose kinds are
numbered otherwise than OTLP's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

# Operations of GenAI spans that ask no model: what they contain has spans of its own.
NO_REQUESTS = frozenset(
    {
        *("create_agent", "execute_tool", "invoke_agent", "invoke_workflow", "plan"),
        *("retrieval", "retrievals", "fetch_response", "none"),
        *("create_memory", "create_memory_store", "delete_memory", "delete_memory_store"),
        *("search_memory", "update_memory", "upsert_memory"),
    }
)
_REQUESTS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
_USAGE = "gen_ai.usage."
_ASKED = ("gen_ai.request.model", "gen_ai.response.model")
_SERVER = frozenset({"span_kind_server", "spankind.server", "server"})
_SERVER_OF_OTLP, _SERVER_OF_JAVASCRIPT = 2, 1
_ERROR = frozenset({"2", "status_code_error", "error", "statuscode.error"})
_MOST_ABOVE = 256  # spans above one: more than any trace has, fewer than a loop


def spans_of(line: bytes) -> list[dict[str, Any]]:
    """The spans of one JSON object, however they are wrapped; what is no span is an empty row."""
    value = msgspec.json.decode(line)
    if not isinstance(value, dict):
        raise TypeError
    return [_row(span, resource) for span, resource in _found(value)]


def _found(value: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    groups = _objects(value["resourceSpans"]) if "resourceSpans" in value else [value]
    for group in groups:
        scopes = group.get("scopeSpans", group.get("instrumentationLibrarySpans"))
        resource = attributes_of(_object(group.get("resource")).get("attributes"))
        if scopes is None:
            yield group, resource
            continue
        for scope in _objects(scopes):
            for span in _objects(scope.get("spans", [])):
                yield span, resource


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; an empty one for whatever is none, so that it is not lost."""
    items = value if isinstance(value, list) else [value]
    return [_object(item) for item in items]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def attributes_of(value: Any) -> dict[str, Any]:
    """Attributes by name: from OTLP's list of keys and typed values, or as they are.

    >>> attributes_of([{"key": "n", "value": {"intValue": "12"}}])
    {'n': 12}
    """
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        return {}
    return {
        str(one["key"]): _typed(one.get("value"))
        for one in value
        if isinstance(one, dict) and "key" in one
    }


def _typed(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((kind, held),) = value.items()
    if kind == "intValue" and isinstance(held, str):
        return int(held) if held.lstrip("-").isdecimal() and len(held) < 20 else held
    if kind == "arrayValue":
        return [_typed(one) for one in _object(held).get("values") or []]
    if kind == "kvlistValue":
        return attributes_of(_object(held).get("values"))
    return held


def _row(span: dict[str, Any], resource: dict[str, Any]) -> dict[str, Any]:
    context = _object(span.get("context"))
    attributes = attributes_of(span.get("attributes"))
    trace = _hex(span.get("traceId", context.get("trace_id")))
    own = _hex(span.get("spanId", context.get("span_id", span.get("id"))))
    parent = span.get("parentSpanId", span.get("parent_id", span.get("parentId")))
    if parent is None:
        parent = _object(span.get("parentSpanContext")).get("spanId")
    return {
        "id": f"{trace}-{own}" if trace and own else None,
        "parent": f"{trace}-{_hex(parent)}" if trace and _hex(parent) else None,
        "is_server": _is_server(span),
        "has_usage": any(name.startswith(_USAGE) for name in attributes),
        "record": _record(attributes) if trace or attributes else None,
        "started_at": _instant(span, "startTimeUnixNano", "start_time", "timestamp"),
        "ended_at": _instant(span, "endTimeUnixNano", "end_time", ""),
        "duration": span.get("duration"),
        "status": _status(span, attributes),
        "attributes": attributes,
        "resource": resource,
        "prompt": _prompt(span, attributes),
    }


def _is_server(span: Mapping[str, Any]) -> bool:
    kind = span.get("kind")
    if isinstance(kind, int):
        is_otlp = "startTimeUnixNano" in span
        return kind == (_SERVER_OF_OTLP if is_otlp else _SERVER_OF_JAVASCRIPT)
    return str(kind).lower() in _SERVER


def _hex(value: Any) -> str:
    return value.removeprefix("0x").lower() if isinstance(value, str) else ""


def _instant(span: Mapping[str, Any], nanoseconds: str, text: str, microseconds: str) -> Any:
    """Microseconds since 1970, or the text that says an instant; what is neither stays itself."""
    told = span.get(nanoseconds)
    if told is None:
        return span.get(text, span.get(microseconds))
    if isinstance(told, str) and told.isdecimal() and len(told) < 20:
        told = int(told)
    return told // 1000 if isinstance(told, int) else told


def _status(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> str:
    told = span.get("status")
    code = told.get("code", told.get("status_code")) if isinstance(told, dict) else told
    failed = str(code).lower() in _ERROR or bool(attributes.get("error.type"))
    return "error" if failed else "ok"


def _record(attributes: Mapping[str, Any]) -> str:
    """The operation; "inference" where that is unknown and a model was asked, else "none"."""
    told = attributes.get("gen_ai.operation.name")
    operation = told.strip().lower() if isinstance(told, str) else ""
    if operation in NO_REQUESTS or operation in _REQUESTS:
        return operation
    used = any(name.startswith(_USAGE) for name in attributes)
    asked = not operation and any(attributes.get(name) for name in _ASKED)
    return "inference" if used or asked else "none"


def _prompt(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> Any:
    """The request as its prompt's hasher reads it; events held it before attributes did."""
    messages = attributes.get("gen_ai.input.messages", attributes.get("gen_ai.prompt"))
    if messages is None and isinstance(span.get("events"), list):
        for event in _objects(span["events"]):
            messages = attributes_of(event.get("attributes")).get("gen_ai.prompt", messages)
    system = attributes.get("gen_ai.system_instructions")
    if messages is None and system is None:
        return None
    return {"system": _decoded(system), "messages": _decoded(messages)}


def _decoded(value: Any) -> Any:
    try:
        return msgspec.json.decode(value) if isinstance(value, str) else value
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value


def told_twice(spans: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Spans of requests that another span tells of too: one a request is left.

    A framework's span around the client's own, or a server's inside it, repeats its usage. Of the
    spans of requests above each other the innermost of a client is the one that counts: the
    conventions give each call of a model one, with all its attempts in it. Only a span that was
    answered and has usage stands for those above it: where the inner one has none, the outer's
    usage would be thrown away with it.
    """
    above: dict[str, str] = {}
    is_bare: dict[str, bool] = {}  # failed, or without usage: it stands for no other
    requests: dict[str, bool] = {}  # whether a server's
    for span in spans:
        if span["id"] is None:
            continue
        if span["parent"] is not None:
            above[span["id"]] = span["parent"]
        if span["record"] is not None and span["record"] not in NO_REQUESTS:
            requests[span["id"]] = bool(span["is_server"])
            is_bare[span["id"]] = not span["has_usage"] or span["status"] != "ok"
    found = set[str]()
    for own in sorted(requests, key=lambda one: (is_bare[one], requests[one])):  # clients' first
        higher = [one for one in _above(own, above) if one in requests]
        left = [one for one in higher if one not in found]
        by_usage = is_bare[own] and any(not is_bare[one] for one in left)
        alike = (one for one in left if is_bare[one] == is_bare[own])
        if by_usage or (requests[own] and any(not requests[one] for one in alike)):
            found.add(own)
        else:
            found.update(higher)
    return frozenset(found)


def _above(own: str, above: Mapping[str, str]) -> Iterator[str]:
    at = own
    for _ in range(_MOST_ABOVE):
        if at not in above or above[at] == own:
            return
        at = above[at]
        yield at
