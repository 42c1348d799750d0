"""A plan in the words of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weighbridge.rehearsal.provider_openai import CREATED, Event, dumps
from weighbridge.rehearsal.provider_plan import Plan


def usage(plan: Plan) -> dict[str, Any] | None:
    """Usage of the whole answer; None where it is withheld."""
    if plan.usage == "missing":
        return None
    real = plan.usage == "real"
    told_in, told_out = (plan.input_tokens, plan.output_tokens) if real else (0, 0)
    return {
        "input_tokens": told_in,
        "input_tokens_details": {"cached_tokens": plan.cache_read_tokens if real else 0},
        "output_tokens": told_out,
        "output_tokens_details": {"reasoning_tokens": plan.reasoning_tokens if real else 0},
        "total_tokens": told_in + told_out,
    }


def response(plan: Plan) -> dict[str, Any]:
    """A whole response."""
    cut = plan.choices[0].finish == "length"
    answer = _frame(plan, "incomplete" if cut else "completed")
    answer["output"] = [_item(plan, done=True)]
    answer["incomplete_details"] = {"reason": "max_output_tokens"} if cut else None
    answer["usage"] = usage(plan)
    return answer


def _frame(plan: Plan, status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{plan.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": plan.model_name,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "service_tier": plan.service_tier or "default",
        "usage": None,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(plan: Plan, done: bool) -> dict[str, Any]:
    choice = plan.choices[0]
    status = "in_progress"
    if done:
        status = "incomplete" if choice.finish == "length" else "completed"
    if choice.tool is not None:
        return {
            "id": f"fc_{plan.id}",
            "type": "function_call",
            "status": status,
            "call_id": f"call_{choice.call_id}",
            "name": choice.tool,
            "arguments": choice.text if done else "",
        }
    return {
        "id": f"msg_{plan.id}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [_part(choice.text)] if done else [],
    }


class _Numbered:
    """Events carry a running number."""

    def __init__(self) -> None:
        self._next = 0

    def event(self, name: str, fields: dict[str, Any]) -> bytes:
        """One event."""
        body = {"type": name, "sequence_number": self._next, **fields}
        self._next += 1
        return f"event: {name}\ndata: {dumps(body)}\n\n".encode()


def response_events(plan: Plan) -> Iterator[Event]:
    """A response as a stream."""
    line, choice = _Numbered(), plan.choices[0]
    for name in ("response.created", "response.in_progress"):
        yield line.event(name, {"response": _frame(plan, "in_progress")}), 0
    item = _item(plan, done=False)
    yield line.event("response.output_item.added", {"output_index": 0, "item": item}), 0
    yield from _call(plan, line) if choice.tool is not None else _text(plan, line)
    made = plan.output_tokens
    ended = {"output_index": 0, "item": _item(plan, done=True)}
    yield line.event("response.output_item.done", ended), made
    whole = response(plan)
    yield line.event(f"response.{whole['status']}", {"response": whole}), made


def _text(plan: Plan, line: _Numbered) -> Iterator[Event]:
    choice, made = plan.choices[0], plan.reasoning_tokens
    place = {"item_id": f"msg_{plan.id}", "output_index": 0, "content_index": 0}
    yield line.event("response.content_part.added", {**place, "part": _part("")}), 0
    for piece in choice.pieces:
        made += 1
        delta = {**place, "delta": piece, "logprobs": []}
        yield line.event("response.output_text.delta", delta), made
    done = {**place, "text": choice.text, "logprobs": []}
    yield line.event("response.output_text.done", done), made
    yield line.event("response.content_part.done", {**place, "part": _part(choice.text)}), made


def _call(plan: Plan, line: _Numbered) -> Iterator[Event]:
    choice, made = plan.choices[0], plan.reasoning_tokens
    place = {"item_id": f"fc_{plan.id}", "output_index": 0}
    for piece in choice.pieces:
        made += 1
        yield line.event("response.function_call_arguments.delta", {**place, "delta": piece}), made
    done = {**place, "arguments": choice.text, "name": choice.tool}
    yield line.event("response.function_call_arguments.done", done), made
