"""What each line of a bill is for: tokens of a model, or something that no request explains."""

from __future__ import annotations

from typing import Literal

from weighbridge.usage.bills import BillLine

LineKind = Literal[
    "tokens",
    "credits",
    "taxes",
    "web search",
    "images",
    "audio",
    "storage",
    "tools",
    "training",
    "other",
]

# Words of providers' line items, in the order in which they are tried.
_WORDS: tuple[tuple[LineKind, tuple[str, ...]], ...] = (
    ("taxes", ("tax", "vat ", "gst")),
    ("credits", ("credit", "refund", "adjustment", "promotion")),
    ("web search", ("web search", "web_search", "search tool", "grounding")),
    ("storage", ("storage", "vector store")),
    ("training", ("training", "fine-tun", "fine tun", "finetun")),
    ("images", ("image", "dall-e", "video", "sora")),
    ("audio", ("audio", "speech", "transcri", "tts", "whisper", "realtime")),
    ("tools", ("code interpreter", "code execution", "session", "file search", "tool call")),
)
_OF_CHARGES: dict[str, LineKind] = {"credit": "credits", "tax": "taxes", "adjustment": "credits"}


def kind_of(line: BillLine) -> LineKind:
    """What a line is for; a line that names a model and nothing else is of its tokens."""
    said = f"{line.line_item or ''} {line.token_type or ''}".lower().replace("_", " ").strip()
    if said in _OF_CHARGES:
        return _OF_CHARGES[said]
    for kind, words in _WORDS:
        if any(word.replace("_", " ") in f"{said} " for word in words):
            return kind
    if line.model is None:
        return "credits" if line.usd < 0 else "other"
    return "tokens"


def token_type_of(line: BillLine) -> str | None:
    """Which tokens a line bills, in the words of `price_classes.TOKEN_TYPES`; None: all of them."""
    told = line.token_type
    if told is None and line.line_item is not None:
        head, parted, tail = line.line_item.rpartition(", ")
        told = tail if parted and head else line.line_item
    text = (told or "").lower().replace("_", " ")
    if "cach" in text:
        wrote = any(word in text for word in ("write", "creation", "writ"))
        return "cache write" if wrote else "cache read"
    if "output" in text or "completion" in text:
        return None if "input" in text else "output"
    return "input" if "input" in text or "prompt" in text else None
