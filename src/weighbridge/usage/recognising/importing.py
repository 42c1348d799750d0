"""For importers of logs that carry prompts: a name and sketches out, the text left behind.

A source takes the quantity `prompt` (whatever the log holds: text, a list of messages, a request's
body, each also as JSON in text); `usage.shape` hands its values to a `PromptHasher` and forgets
them. The key is the one of the gateway: `WEIGHBRIDGE_FINGERPRINT_KEY` names its file. Without it
prompts are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from weighbridge.ledger.fingerprint import load_or_make_key
from weighbridge.ledger.prompt_shape import PromptShaper, Sketch, SketchBudget
from weighbridge.usage.recognising.prompts import prompt_texts
from weighbridge.usage.sources.source import Source

KEY_VARIABLE = "WEIGHBRIDGE_FINGERPRINT_KEY"
NO_KEY = (
    "template: the log holds prompts, which are not looked at without a key to hash them with; "
    f"set {KEY_VARIABLE} to a key file, best the gateway's"
)


class HashedPrompt(NamedTuple):
    """What is kept of a prompt: its template's name, and sketches where the name is new."""

    template: str | None
    sketches: tuple[Sketch, ...] = ()


NOTHING = HashedPrompt(None)


class PromptHasher:
    """Names prompts as the gateway does; holds no text.

    >>> hasher = PromptHasher(bytes(32))
    >>> hashed = hasher.hash("You translate.", "Into French: the house")
    >>> hashed.template == hasher.hash_prompt(
    ...     [{"role": "system", "content": "You translate."},
    ...      {"role": "user", "content": "Into French: the house"}]
    ... ).template
    True
    """

    def __init__(self, key: bytes) -> None:
        self._shaper = PromptShaper(key)
        self._budget = SketchBudget(most=65_536.0, per_s=0.0)  # a log is read in one go

    def __repr__(self) -> str:
        return f"PromptHasher({self.key_id})"

    @property
    def key_id(self) -> str:
        """Which key it hashes with; says nothing about the key."""
        return self._shaper.key_id

    def hash(self, system_text: str, user_text: str) -> HashedPrompt:
        """Name of a prompt, and what to keep so that it can be grouped."""
        name = self._shaper.name(system_text, user_text)
        if not name:
            return NOTHING
        if not self._budget.takes(name, 0.0):
            return HashedPrompt(name)
        is_new = self._budget.takes_system(name)
        sketches = self._shaper.sketches(name, system_text, user_text, with_system=is_new)
        return HashedPrompt(name, sketches)

    def hash_prompt(self, value: Any) -> HashedPrompt:
        """The same of a value as logs hold it: text, messages, or a request's body."""
        return self.hash(*prompt_texts(value))


def hasher_named(environ: Mapping[str, str]) -> PromptHasher | None:
    """The hasher with the installation's key; None where the environment names no key file."""
    named = environ.get(KEY_VARIABLE)
    return PromptHasher(load_or_make_key(Path(named))) if named else None


def takes_prompts(source: Source) -> bool:
    """Whether a source reads prompts."""
    return any(one.quantity == "prompt" for one in source.takes)


def without_prompts(source: Source) -> Source:
    """A source that leaves prompts unread, and says so."""
    takes = tuple(one for one in source.takes if one.quantity != "prompt")
    return replace(source, takes=takes, cannot_tell={**source.cannot_tell, "prompt": NO_KEY})


def named_prompts(
    templates: Sequence[str | None], prompts: Sequence[Any], hasher: PromptHasher
) -> tuple[list[str | None], list[Sketch]]:
    """Templates with those that nobody named filled in, and the sketches to keep."""
    named: list[str | None] = []
    sketches: list[Sketch] = []
    for template, prompt in zip(templates, prompts, strict=True):
        if template is None and prompt is not None:
            hashed = hasher.hash_prompt(prompt)
            named.append(hashed.template)
            sketches += hashed.sketches
        else:
            named.append(template)
    return named, sketches
