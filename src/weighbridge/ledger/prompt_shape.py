"""The shape of a prompt: which template it may be made from, told by keyed hashes alone.

A prompt gets a name of three parts, `~SSSSSSSSSSSS.HHHHHH.TTTTTT`: its fingerprint
(`ledger.fingerprint`, the system prompt where there is one), how the user's text begins, and how
it ends. Prompts of one template share a part or more, never in general all three. Which of them
belong together is found afterwards, from sketches: short lists of keyed hashes of masked
sentences, of runs of three words where a text begins and ends, of how its lines begin, and of the
keys and tags in it. A sketch is kept once for a name, and for few names that begin alike.

All is hashed with the installation's key. Whoever holds the key can confirm guessed sentences and
runs of three words, and see which stand together; nothing else can be read out of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from weighbridge.ledger.fingerprint import Fingerprinter, masked_single, masked_words

SEGMENT_BYTES = 4
SYSTEM_CHARS = 13  # of a name: "~" and the fingerprint
HEAD_CHARS = 20  # of a name: that, and how the user's text begins
NAME_CHARS = 27

_HEAD_OF_USER_CHARS = 96
_TAIL_OF_USER_CHARS = 48
_HEAD_WORDS = 8
_TAIL_WORDS = 4
_KEYS_CHARS = 160
_READ_CHARS = 8192
_BEGINNING_CHARS, _BEGINNING_WORDS = 300, 40
_ENDING_CHARS, _ENDING_WORDS = 160, 20
_MOST_LINES, _LINE_CHARS = 24, 32
_MOST_SENTENCES = 48
_MOST_KEYS = 32
_RUN = 3  # words: long enough to tell, short enough to fit between two filled-in names

_HEAD_ENDS = re.compile(r"[:\n\"“«`<]")
_SENTENCE_ENDS = re.compile(r"\n+|(?<=[.!?。！？])\s*")  # noqa: RUF001 - Chinese and Japanese ones
_KEYS = re.compile(r'"([A-Za-z_][\w -]{0,40})"\s*:|</?([A-Za-z_][\w-]{0,40})')
_UNSPACED = "\u2e7f"


class Sketch(NamedTuple):
    """Segments that stand for a part of a name: four bytes each, keyed, in order."""

    fingerprint: str  # 13 characters: of the system prompt; 27: of the user's text
    segments: bytes


class PromptShaper:
    """Names prompts by their shape, and sketches them.

    >>> shaper = PromptShaper(bytes(32))
    >>> first = shaper.name("You translate.", "Into French: the house")
    >>> second = shaper.name("You translate.", "Into French: the garden")
    >>> first[:20] == second[:20], first == second
    (True, False)
    """

    __slots__ = ("_fingerprinter", "_key", "key_id")

    def __init__(self, key: bytes) -> None:
        self._fingerprinter = Fingerprinter(key)
        self._key = key
        self.key_id = blake2b(b"", digest_size=4, key=key, person=b"id").hexdigest()

    def __repr__(self) -> str:
        return f"PromptShaper({self.key_id})"  # never the key

    def name(self, system_text: str, user_text: str) -> str:
        """What stands as the template of a prompt that nobody named; "" where there is no text."""
        first = self._fingerprinter.template(system_text, user_text)
        user = user_text.strip()
        if not first or not user:
            return first
        head, tail = " ".join(head_words(user)), " ".join(tail_words(user))
        return f"{first}.{self._short(head, b'h')}.{self._short(tail, b'e')}"

    def sketches(
        self, name: str, system_text: str, user_text: str, *, with_system: bool = True
    ) -> tuple[Sketch, ...]:
        """What to keep of a prompt beside its name: of its system text, and of the user's."""
        made = []
        if with_system and system_text and not system_text.isspace():
            told = told_of_system(system_text[:_READ_CHARS])
            made.append(Sketch(name[:SYSTEM_CHARS], self._segments(told, b"s")))
        if len(name) == NAME_CHARS:
            made.append(Sketch(name, self._segments(told_of_user(user_text), b"u")))
        return tuple(made)

    def _segments(self, told: Iterable[str], part: bytes) -> bytes:
        """Keyed hashes of what a text is made of."""
        begun = blake2b(digest_size=SEGMENT_BYTES, key=self._key, person=part)
        found = []
        for one in dict.fromkeys(told):
            hashing = begun.copy()
            hashing.update(one.encode("utf-8", "surrogatepass"))
            found.append(hashing.digest())
        return b"".join(found)

    def _short(self, words: str, kind: bytes) -> str:
        raw = words.encode("utf-8", "surrogatepass")
        return blake2b(raw, digest_size=3, key=self._key, person=kind).hexdigest()


def head_words(user_text: str) -> list[str]:
    """How a user's text begins, masked; of an object in JSON, its first keys."""
    if user_text[0] in "{[<":
        found = [one or other for one, other in _KEYS.findall(user_text[:_KEYS_CHARS])]
        if found:
            return found
    text = user_text[:_HEAD_OF_USER_CHARS]
    end = _HEAD_ENDS.search(text, 1)
    words = (text if end is None else text[: end.start()]).split(None, _HEAD_WORDS)
    return masked_single(words[:_HEAD_WORDS])


def tail_words(user_text: str) -> list[str]:
    """How a user's text ends, masked."""
    last = user_text[-_TAIL_OF_USER_CHARS:].rsplit("\n", 1)[-1]
    return masked_single(last.split()[-_TAIL_WORDS:])


def told_of_system(text: str) -> list[str]:
    """What a system prompt's sketch is made of: sentences, runs of words where it begins and ends.

    Keys and tags too; the beginnings of lines are the sentences' here.
    """
    parts = _SENTENCE_ENDS.split(text)
    told = [" ".join(masked_words(part)) for part in parts[:_MOST_SENTENCES] if part]
    told = ["." + one for one in told if one and one != "0"]
    return told + _ends(text) + _keys(text)


def told_of_user(text: str) -> list[str]:
    """Runs of words where a text begins and ends, how its lines begin, its keys and tags.

    Its sentences are left out: most of them are the user's own.
    """
    told = _ends(text)
    text = text[:_READ_CHARS]
    if "\n" in text:
        lines = [line for line in text.split("\n", _MOST_LINES) if line and not line.isspace()]
        beginnings = (masked_words(line[:_LINE_CHARS])[:_RUN] for line in lines[:_MOST_LINES])
        told += ["^" + " ".join(words) for words in beginnings if words and words != ["0"]]
    return told + _keys(text)


def _ends(text: str) -> list[str]:
    told = _runs(text[:_BEGINNING_CHARS], _BEGINNING_WORDS)
    if len(text) > _BEGINNING_CHARS:
        told += _runs(text[-_ENDING_CHARS:], _ENDING_WORDS, last=True)
    return told


def _keys(text: str) -> list[str]:
    if '":' not in text and "</" not in text and '" :' not in text:
        return []
    return ["=" + (one or other) for one, other in _KEYS.findall(text)[:_MOST_KEYS]]


def _runs(text: str, most_words: int, *, last: bool = False) -> list[str]:
    words = masked_words(text)
    if not text.isascii():
        words = _single(words)
    words = words[-most_words:] if last else words[:most_words]
    if len(words) < _RUN:
        return [" ".join(words)] if words and words != ["0"] else []
    return [" ".join(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)]


def _single(words: list[str]) -> list[str]:
    """Words, those of scripts without spaces taken apart."""
    return [one for word in words for one in (word if word[0] > _UNSPACED else (word,))]


class SketchBudget:
    """Which names get a sketch: few of those that begin alike, and so many in a while.

    Free text makes a name of its own of almost every request. Enough of them are kept to see that
    they belong together; the others then belong where all that begin like them do.
    """

    __slots__ = ("_alike", "_at_s", "_left", "_most", "_per_s", "_seen")

    MOST_HEADS = 32  # sketches of names that share system prompt and beginning
    MOST_SYSTEMS = 512  # of names that share the system prompt
    MOST_SEEN = 65_536

    def __init__(self, *, most: float = 4096.0, per_s: float = 2.0) -> None:
        self._most, self._left, self._per_s = most, most, per_s
        self._at_s = 0.0
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._alike: OrderedDict[str, int] = OrderedDict()

    def takes(self, name: str, now_s: float) -> bool:
        """Whether this name is to be sketched now; it is asked once for each request."""
        if name in self._seen:
            return False
        head, system = name[:HEAD_CHARS], name[:SYSTEM_CHARS]
        n_heads, n_systems = self._alike.get(head, 0), self._alike.get(system, 0)
        if n_heads >= self.MOST_HEADS or n_systems >= self.MOST_SYSTEMS:
            return False
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        self._seen[name] = None
        self._alike[head] = n_heads + 1
        self._alike[system] = n_systems + 1 if system != head else n_heads + 1
        for kept in (self._seen, self._alike):
            if len(kept) > self.MOST_SEEN:
                kept.popitem(last=False)
        return True

    def takes_system(self, name: str) -> bool:
        """Whether the sketch of the system prompt is new, asked after `takes` agreed."""
        return self._alike.get(name[:SYSTEM_CHARS], 0) <= 1
