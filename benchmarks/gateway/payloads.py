"""What the load sends and the upstreams answer: a 0.7 KB chat request and a 1 KB completion."""

from __future__ import annotations

import json

MODEL = "gpt-4.1-mini"
TEMPLATE = "support-answer-v3"
CLIENT_KEY = "sk-weighbridge-bench-0123456789abcdef"
N_EVENTS = 50

SYSTEM = (
    "You answer questions of customers of a shop for outdoor equipment. Be brief and kind, "
    "quote prices only from the context, and say so when the context does not hold the answer. "
    "Never promise a delivery date. Answer in the language of the question."
)
QUESTION = (
    "The seam of the tent that I bought in March has opened along the left pole after two nights "
    "of rain. Can it be repaired, or do I get a new one, and who pays for sending it in?"
)


def request(system: str = SYSTEM, stream: bool = False) -> bytes:
    """A chat request as a client library writes it."""
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": QUESTION},
        ],
        "temperature": 0.2,
        "max_tokens": 400,
        "user": "customer-48151623",
    }
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()  # as the OpenAI client writes it


def completion() -> bytes:
    """A chat completion of about 1 KB with its usage."""
    content = (
        "I am sorry about the seam. A seam that opens within two years is covered, so the repair "
        "costs you nothing, and neither does sending the tent in: print the label that I attach "
        "and hand the parcel in anywhere. Our workshop looks at it within a week and sews and "
        "tapes the seam again; where the cloth itself is torn you get a new tent of the same "
        "colour."
    )
    answer = {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": 1741569952,
        "model": f"{MODEL}-2025-04-14",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
    }
    return json.dumps(answer).encode()


USAGE = {
    "prompt_tokens": 142,
    "completion_tokens": 84,
    "total_tokens": 226,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def _chunk(choices: list[object], **more: object) -> bytes:
    event = {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": f"{MODEL}-2025-04-14",
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
        "choices": choices,
        **more,
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def events() -> list[bytes]:
    """The paced events of a stream, each one token."""
    return [_chunk([_choice({"content": f" seam{number}"})]) for number in range(N_EVENTS)]


def closing(with_usage: bool) -> bytes:
    """What follows the last token at once."""
    usage = _chunk([], usage=USAGE) if with_usage else b""
    return _chunk([_choice({}, "stop")]) + usage + b"data: [DONE]\n\n"
