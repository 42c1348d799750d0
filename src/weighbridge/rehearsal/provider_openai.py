"""A plan in OpenAI's words: chat, completions, embeddings, models, errors."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from weighbridge.rehearsal.provider_plan import Choice, Plan, RefusedError

Event = tuple[bytes, int]  # an event, and the output tokens that are out once it is sent

CREATED = 1_790_000_000  # fixed: equal seeds give equal bytes
DONE = b"data: [DONE]\n\n"
FINISH = {"stop": "stop", "length": "length", "tool": "tool_calls"}


def dumps(value: Any) -> str:
    """JSON text."""
    return msgspec.json.encode(value).decode()


def usage(plan: Plan, output_tokens: int) -> dict[str, Any] | None:
    """Usage of a chat or a completion, with so much output so far; None where it is withheld."""
    if plan.usage == "missing":
        return None
    real = plan.usage == "real"
    told_in, told_out = (plan.input_tokens, output_tokens) if real else (0, 0)
    return {
        "prompt_tokens": told_in,
        "completion_tokens": told_out,
        "total_tokens": told_in + told_out,
        "prompt_tokens_details": {
            "cached_tokens": plan.cache_read_tokens if real else 0,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": min(plan.reasoning_tokens, output_tokens) if real else 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _with_usage(plan: Plan, answer: dict[str, Any]) -> dict[str, Any]:
    told = usage(plan, plan.output_tokens)
    if told is not None:
        answer["usage"] = told
    if plan.service_tier is not None:
        answer["service_tier"] = plan.service_tier
    return answer


def chat(plan: Plan) -> dict[str, Any]:
    """A whole chat completion."""
    choices = [
        {
            "index": index,
            "message": _message(choice),
            "logprobs": None,
            "finish_reason": FINISH[choice.finish],
        }
        for index, choice in enumerate(plan.choices)
    ]
    return _with_usage(
        plan,
        {
            "id": f"chatcmpl-{plan.id}",
            "object": "chat.completion",
            "created": CREATED,
            "model": plan.model_name,
            "choices": choices,
        },
    )


def _message(choice: Choice) -> dict[str, Any]:
    if choice.tool is None:
        return {"role": "assistant", "content": choice.text, "refusal": None}
    call = {
        "id": f"call_{choice.call_id}",
        "type": "function",
        "function": {"name": choice.tool, "arguments": choice.text},
    }
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}


class _Chunks:
    """What all chunks of a stream share, written once."""

    def __init__(self, plan: Plan, kind: str, prefix: str) -> None:
        self._plan = plan
        tier = f'"service_tier":{dumps(plan.service_tier)},' if plan.service_tier else ""
        self._head = (
            f'data: {{"id":{dumps(prefix + plan.id)},"object":"{kind}","created":{CREATED},'
            f'"model":{dumps(plan.model_name)},{tier}"choices":['
        )

    def event(self, choice: str, output_tokens: int) -> Event:
        """A chunk with one choice, or with none."""
        return f"{self._head}{choice}]{self._usage(output_tokens)}}}\n\n".encode(), output_tokens

    def last(self) -> Iterator[Event]:
        """Usage where it was asked for, then the end mark."""
        plan = self._plan
        if plan.include_usage:
            told = usage(plan, plan.output_tokens)
            if told is not None:
                yield f'{self._head}],"usage":{dumps(told)}}}\n\n'.encode(), plan.output_tokens
        yield DONE, plan.output_tokens

    def _usage(self, output_tokens: int) -> str:
        if self._plan.continuous_usage:
            told = usage(self._plan, output_tokens)
            return f',"usage":{dumps(told)}' if told is not None else ""
        return ',"usage":null' if self._plan.include_usage else ""


def chat_events(plan: Plan) -> Iterator[Event]:
    """A chat completion as a stream."""
    chunks = _Chunks(plan, "chat.completion.chunk", "chatcmpl-")
    for index, choice in enumerate(plan.choices):
        yield chunks.event(_delta(index, dumps(_first_delta(choice))), 0)
    made = plan.reasoning_tokens
    for index, choice, piece in _interleaved(plan.choices):
        made += 1
        text = dumps(piece)
        if choice.tool is None:
            delta = f'{{"content":{text}}}'
        else:
            delta = f'{{"tool_calls":[{{"index":0,"function":{{"arguments":{text}}}}}]}}'
        yield chunks.event(_delta(index, delta), made)
    made = plan.output_tokens
    for index, choice in enumerate(plan.choices):
        yield chunks.event(_delta(index, "{}", FINISH[choice.finish]), made)
    yield from chunks.last()


def _first_delta(choice: Choice) -> dict[str, Any]:
    if choice.tool is None:
        return {"role": "assistant", "content": "", "refusal": None}
    function = {"name": choice.tool, "arguments": ""}
    call = {"index": 0, "id": f"call_{choice.call_id}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _delta(index: int, delta: str, finish: str | None = None) -> str:
    ended = "null" if finish is None else f'"{finish}"'
    return f'{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{ended}}}'


def _interleaved(choices: list[Choice]) -> Iterator[tuple[int, Choice, str]]:
    for step in range(max(len(choice.pieces) for choice in choices)):
        for index, choice in enumerate(choices):
            if step < len(choice.pieces):
                yield index, choice, choice.pieces[step]


def completion(plan: Plan) -> dict[str, Any]:
    """A whole completion."""
    choices = [
        {
            "index": index,
            "text": choice.text,
            "logprobs": None,
            "finish_reason": FINISH[choice.finish],
        }
        for index, choice in enumerate(plan.choices)
    ]
    return _with_usage(
        plan,
        {
            "id": f"cmpl-{plan.id}",
            "object": "text_completion",
            "created": CREATED,
            "model": plan.model_name,
            "choices": choices,
        },
    )


def completion_events(plan: Plan) -> Iterator[Event]:
    """A completion as a stream."""
    chunks = _Chunks(plan, "text_completion", "cmpl-")
    made = plan.reasoning_tokens
    for index, _, piece in _interleaved(plan.choices):
        made += 1
        yield chunks.event(_text(index, dumps(piece), "null"), made)
    for index, choice in enumerate(plan.choices):
        ended = f'"{FINISH[choice.finish]}"'
        yield chunks.event(_text(index, '""', ended), plan.output_tokens)
    yield from chunks.last()


def _text(index: int, text: str, ended: str) -> str:
    return f'{{"index":{index},"text":{text},"logprobs":null,"finish_reason":{ended}}}'


def embeddings(plan: Plan) -> dict[str, Any]:
    """Vectors, as numbers or as base64 of little-endian 32-bit floats."""
    data = []
    for index, vector in enumerate(plan.vectors):
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        value = packed if plan.vectors_as_base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": value})
    answer: dict[str, Any] = {"object": "list", "data": data, "model": plan.model_name}
    if plan.usage != "missing":
        told = plan.input_tokens if plan.usage == "real" else 0
        answer["usage"] = {"prompt_tokens": told, "total_tokens": told}
    return answer


def models(names: Iterable[str]) -> dict[str, Any]:
    """The list of models."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "rehearsal"}
            for name in names
        ],
    }


def error(refused: RefusedError) -> dict[str, Any]:
    """The body of an error."""
    return {
        "error": {
            "message": refused.message,
            "type": refused.kind,
            "param": refused.param,
            "code": refused.code,
        }
    }
