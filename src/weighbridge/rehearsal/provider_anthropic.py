"""A plan in Anthropic's words: messages, token counts, models, errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from weighbridge.rehearsal.provider_openai import Event, dumps
from weighbridge.rehearsal.provider_plan import Choice, Plan, RefusedError

STOP = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def usage(plan: Plan, output_tokens: int) -> dict[str, Any] | None:
    """Usage with so much output so far; None where it is withheld."""
    if plan.usage == "missing":
        return None
    real = plan.usage == "real"
    return {
        "input_tokens": plan.uncached_input_tokens if real else 0,
        "cache_creation_input_tokens": plan.cache_write_tokens if real else 0,
        "cache_read_input_tokens": plan.cache_read_tokens if real else 0,
        "output_tokens": output_tokens if real else 0,
        "service_tier": plan.service_tier or "standard",
    }


def message(plan: Plan) -> dict[str, Any]:
    """A whole message."""
    choice = plan.choices[0]
    answer = _frame(plan)
    answer["content"] = [_block(choice)]
    answer["stop_reason"] = STOP[choice.finish]
    told = usage(plan, plan.output_tokens)
    if told is not None:
        answer["usage"] = told
    return answer


def _frame(plan: Plan) -> dict[str, Any]:
    return {
        "id": f"msg_{plan.id}",
        "type": "message",
        "role": "assistant",
        "model": plan.model_name,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(choice: Choice) -> dict[str, Any]:
    if choice.tool is None:
        return {"type": "text", "text": choice.text}
    given = msgspec.json.decode(choice.text) if choice.finish == "tool" else {}
    return {
        "type": "tool_use",
        "id": f"toolu_{choice.call_id}",
        "name": choice.tool,
        "input": given,
    }


def message_events(plan: Plan) -> Iterator[Event]:
    """A message as a stream."""
    choice = plan.choices[0]
    frame = _frame(plan)
    told = usage(plan, 1)
    if told is not None:
        frame["usage"] = told
    yield _event("message_start", {"message": frame}), 0
    block: dict[str, Any] = {"type": "text", "text": ""}
    if choice.tool is not None:
        block = {**_block(choice), "input": {}}
    yield _event("content_block_start", {"index": 0, "content_block": block}), 0
    yield _event("ping", {}), 0
    made = plan.reasoning_tokens
    kind, name = ("text_delta", "text") if choice.tool is None else _TOOL_DELTA
    for piece in choice.pieces:
        made += 1
        yield (
            _event("content_block_delta", {"index": 0, "delta": {"type": kind, name: piece}}),
            made,
        )
    yield _event("content_block_stop", {"index": 0}), made
    ending: dict[str, Any] = {"delta": {"stop_reason": STOP[choice.finish], "stop_sequence": None}}
    if plan.usage != "missing":
        ending["usage"] = {"output_tokens": made if plan.usage == "real" else 0}
    yield _event("message_delta", ending), made
    yield _event("message_stop", {}), made


_TOOL_DELTA = ("input_json_delta", "partial_json")


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {dumps({'type': name, **fields})}\n\n".encode()


def count_tokens(plan: Plan) -> dict[str, Any]:
    """How many tokens the prompt has."""
    return {"input_tokens": plan.input_tokens}


def models(names: Iterable[str]) -> dict[str, Any]:
    """The list of models."""
    listed = [
        {"type": "model", "id": n, "display_name": n, "created_at": "2026-09-01T00:00:00Z"}
        for n in names
    ]
    first, last = (listed[0]["id"], listed[-1]["id"]) if listed else (None, None)
    return {"data": listed, "has_more": False, "first_id": first, "last_id": last}


def error(refused: RefusedError, request_id: str) -> dict[str, Any]:
    """The body of an error."""
    kind = KINDS.get(refused.status, "api_error")
    told = {"type": kind, "message": refused.message}
    return {"type": "error", "error": told, "request_id": request_id}
