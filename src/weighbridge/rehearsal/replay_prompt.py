"""Prompts of the right length for rows that have none: words, the same for the same template."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import msgspec

from weighbridge.rehearsal.provider_plan import WORDS
from weighbridge.rehearsal.replay_rows import MOONCAKE_BLOCK_TOKENS, Row

Api = Literal["auto", "openai", "anthropic"]

N_POOL_WORDS = 60_000
SYSTEM_TOKENS = 400  # of every template's system prompt, where its requests are longer


@dataclass(frozen=True, slots=True)
class Call:
    """A request, ready to be sent."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    streamed: bool


class Words:
    """Text of any length in a moment: slices of one long drawn text."""

    def __init__(self, seed: int) -> None:
        drawn = Random(seed).choices(WORDS, k=N_POOL_WORDS)  # noqa: S311  # words of a rehearsal
        self._text = " ".join(drawn) + " "
        self._starts = [0]
        for word in drawn:
            self._starts.append(self._starts[-1] + len(word) + 1)

    def text(self, key: int, n_words: int) -> str:
        """So many words; equal keys begin with the same ones."""
        parts = []
        while n_words > 0:
            first = key * 7919 % N_POOL_WORDS
            last = min(first + n_words, N_POOL_WORDS)
            parts.append(self._text[self._starts[first] : self._starts[last]])
            n_words -= last - first
            key += 1
        return "".join(parts).rstrip()


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How rows become requests."""

    seed: int = 0
    model: str | None = None  # in the place of the rows' own
    stream_frac: float | None = None  # of requests; None: as the rows say
    api: Api = "auto"  # auto: Anthropic's for rows of that provider, else OpenAI's
    exact_output: bool = False  # asks, as vLLM understands it, for exactly the row's output
    plain_system: str = ""  # system prompt of rows without a template, as chat windows send one


class PromptMaker:
    """Makes requests; equal seeds and rows give equal bytes."""

    def __init__(self, settings: PromptSettings) -> None:
        self._settings = settings
        self._words = Words(settings.seed)

    def model(self, row: Row) -> str:
        """The model that is asked for."""
        return self._settings.model or row.model

    def call(self, row: Row, number: int, key: str | None) -> Call:
        """The request of a row; `number` makes its words its own."""
        settings = self._settings
        system, user = self._texts(row, number)
        is_anthropic = settings.api == "anthropic" or (
            settings.api == "auto" and settings.model is None and row.provider == "anthropic"
        )
        body: dict[str, Any] = {
            "model": self.model(row),
            "max_tokens": max(row.output_tokens, 1),
        }
        streamed = self._is_streamed(row, number)
        talk = [{"role": "user", "content": user}]
        if is_anthropic:
            body |= {"messages": talk, **({"system": system} if system else {})}
        else:
            body["messages"] = [{"role": "system", "content": system}, *talk] if system else talk
        if streamed:
            body["stream"] = True
            if not is_anthropic:
                body["stream_options"] = {"include_usage": True}
        if settings.exact_output:
            body |= {"ignore_eos": True, "min_tokens": max(row.output_tokens, 1)}
        path = "/v1/messages" if is_anthropic else "/v1/chat/completions"
        headers = _headers(row, key, is_anthropic)
        return Call(path, headers, msgspec.json.encode(body), streamed)

    def _texts(self, row: Row, number: int) -> tuple[str, str]:
        if row.blocks:
            n_last = row.input_tokens - MOONCAKE_BLOCK_TOKENS * (len(row.blocks) - 1)
            sizes = [MOONCAKE_BLOCK_TOKENS] * (len(row.blocks) - 1) + [max(n_last, 1)]
            pairs = zip(row.blocks, sizes, strict=True)
            return "", " ".join(self._words.text(block, size) for block, size in pairs)
        if row.template is None:
            return self._settings.plain_system, self._words.text(number, max(row.input_tokens, 1))
        name = f"{row.feature}/{row.template}"
        system = f"You serve {name}. " + self._words.text(zlib.crc32(name.encode()), SYSTEM_TOKENS)
        n_left = max(row.input_tokens - SYSTEM_TOKENS, 1)
        return system, self._words.text(number, n_left)

    def _is_streamed(self, row: Row, number: int) -> bool:
        frac = self._settings.stream_frac
        if frac is None:
            return row.streamed
        return Random(self._settings.seed * 1_000_003 + number).random() < frac  # noqa: S311


def _headers(row: Row, key: str | None, is_anthropic: bool) -> tuple[tuple[str, str], ...]:
    headers = [("content-type", "application/json")]
    if is_anthropic:
        headers.append(("anthropic-version", "2023-06-01"))
    if key is not None:
        headers.append(("x-api-key", key) if is_anthropic else ("authorization", f"Bearer {key}"))
    if row.feature is not None:
        headers.append(("x-weighbridge-feature", row.feature))
    if row.template is not None:
        headers.append(("x-weighbridge-template", row.template))
    return tuple(headers)
