"""What each line of a bill is for: tokens of a model, or something that no request explains."""

from __future__ import annotations

import re
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

# Words of providers' line items, whole, in the order in which they are tried.
_WORDS: tuple[tuple[LineKind, str], ...] = (
    ("taxes", "tax|taxes|vat|gst"),
    ("credits", "credits?|refunds?|adjustments?|promotions?|promotional"),
    ("web search", "web search(es)?|search tools?|grounding"),
    ("storage", "storage|vector stores?"),
    ("training", "training|fine[- ]?tun(e|es|ed|ing)"),
    ("images", "images?|dall-e|videos?|sora"),
    ("audio", "audio|speech|transcriptions?|transcrib(e|ed|ing)|tts|whisper|realtime"),
    (
        "tools",
        "code interpreter|code execution|sessions?|file search(es)?|tool calls?",
    ),
)
# A hyphen joins: "tax-bot" is a name, and says nothing of taxes.
_SAID = tuple((kind, re.compile(rf"(?<![\w-])({words})(?![\w-])")) for kind, words in _WORDS)
_OF_CHARGES: dict[str, LineKind] = {"credit": "credits", "tax": "taxes", "adjustment": "credits"}


def kind_of(line: BillLine) -> LineKind:
    """What a line is for; a line that names a model or a token type is of tokens.

    Words decide only where neither is named, since names of models and features hold any word.
    """
    said = f"{line.line_item or ''} {line.token_type or ''}".lower().replace("_", " ").strip()
    if said in _OF_CHARGES:
        return _OF_CHARGES[said]
    if line.model is not None:
        # "MODEL, training": the bill's own word after the model, alone, is no token type.
        own = said.rpartition(", ")[2] if said.startswith(f"{_spaced(line.model)}, ") else ""
        return next((kind for kind, words in _SAID if words.fullmatch(own)), "tokens")
    if token_type_of(line) is not None:
        return "tokens"
    for kind, words in _SAID:
        if words.search(said):
            return kind
    return "credits" if line.usd < 0 else "other"


def _spaced(name: str) -> str:
    return name.lower().replace("_", " ")


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
