"""Fingerprints of prompt templates: requests made from one template share one, and no text is kept.

What varies from request to request (numbers, dates, ids, addresses, quoted text, filled-in slots,
fenced or tagged documents) is masked; a keyed BLAKE2b of what is left names the template. One key
per installation: without it a fingerprint says nothing, and fingerprints of two installations
cannot be compared. Whoever holds the key *and* guesses a whole prompt can confirm the guess, and
can see that two requests share a template; they can read nothing out of it.

What masking cannot know, such as a plain name in running text, makes a fingerprint of its own.
`segments` lets such fingerprints be grouped afterwards: most of their lines are equal.
"""

from __future__ import annotations

import os
import re
import stat
from collections import OrderedDict
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from weighbridge.units import InputError

FINGERPRINT_START = "~"  # of a template that nobody named
MOST_REMEMBERED = 8192
_HEAD_CHARS = 8192  # of a system prompt; what comes later rarely tells templates apart
_MOST_USER_WORDS = 12
_MOST_SEGMENTS = 64
_LONG_WORD_CHARS = 24  # longer words of letters alone are encoded data
_HEX_CHARS = 8
_KEY_BYTES = 32

_MASK = "0"
_QUOTED = re.compile(r'"[^"\n]{0,400}"|“[^“”\n]{0,400}”|«[^«»\n]{0,400}»|`[^`\n]{0,400}`')
_FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|\"\"\".*?(?:\"\"\"|\Z)", re.DOTALL)
_SLOT = re.compile(r"\$?\{\{?[^{}\n]{0,80}\}?\}|\[\[[^\[\]\n]{0,80}\]\]|%\(\w{1,40}\)[sd]")
_DATA_TAG = re.compile(
    r"<(context|contexts|document|documents|doc|data|input|user_input|history|conversation|"
    r"transcript|text|article|email|passage|passages|search_results|results|file|files|content)"
    r"\b[^>]{0,200}>.*?(?:</\1>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_VARIES = re.compile(r"[\d@]|://|/[^/]+/|^www\.")
_PUNCTUATION = ".,;:!?()[]{}<>*-\u2013\u2014\u2026\"'\u2018\u2019\u201c\u201d|#=+/\\"
_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_CALENDAR = frozenset(
    word
    for name in (*_MONTHS.split(), *_DAYS.split(), "Sept", "AM", "PM", "am", "pm", "UTC", "GMT")
    for word in (name, name[:3])
)
_NUMBER = re.compile(r"\d[!-~]*")
_UNSPACED = "\u2e7f"  # Chinese and Japanese follow: there a "word" is a sentence
_SENTENCE_ENDS = re.compile(r"\n+|(?<=[.!?])\s+")
_USER_HEAD_ENDS = re.compile(r"[:\n\"“«`<]")


def masked_words(text: str) -> list[str]:
    """Words of a text with whatever varies between requests as "0", repeats of that folded."""
    if "```" in text or "~~~" in text or '"""' in text:
        text = _FENCED.sub(" 0 ", text)
    if "</" in text:
        text = _DATA_TAG.sub(r" <\1> 0 ", text)
    if "{" in text or "[[" in text or "%(" in text:
        text = _SLOT.sub(" 0 ", text)
    text = _QUOTED.sub(" 0 ", text)
    return masked_single(text.split())


def masked_single(words: list[str]) -> list[str]:
    """The same of words by themselves, without what quotes, braces or tags enclose."""
    words = [
        word if word.isalpha() and len(word) < _HEX_CHARS and word not in _CALENDAR else _mask(word)
        for word in words
    ]
    if _MASK not in words:
        return words
    before = ["", *words]
    return [w for w, last in zip(words, before, strict=False) if w != _MASK or last != _MASK]


def _mask(word: str) -> str:
    core = word.strip(_PUNCTUATION)
    if not core:
        return word
    if core[0] > _UNSPACED:
        return _NUMBER.sub(_MASK, word)
    if core.isalpha():
        is_hex = len(core) >= _HEX_CHARS and not core.strip("abcdefABCDEF")
        return _MASK if is_hex or len(core) >= _LONG_WORD_CHARS or core in _CALENDAR else word
    return _MASK if len(core) > _LONG_WORD_CHARS or _VARIES.search(core) else word


class Fingerprinter:
    """Names templates by their masked prompt; a prompt that was seen before costs one hash of it.

    >>> known = Fingerprinter(bytes(32))
    >>> first = known.template("Answer user 17 politely.", "")
    >>> first == known.template("Answer  user 4711 politely.", "Hello")
    True
    >>> first == known.template("Answer user 17 rudely.", "")
    False
    """

    __slots__ = ("_key", "_most", "_seen")

    def __init__(self, key: bytes, *, most_remembered: int = MOST_REMEMBERED) -> None:
        if len(key) != _KEY_BYTES:
            problem = f"has {len(key)} bytes"
            raise InputError("fingerprint key", "", problem, f"give {_KEY_BYTES} random bytes")
        self._key = key
        self._most = most_remembered
        self._seen: OrderedDict[bytes, str] = OrderedDict()

    def __repr__(self) -> str:
        return f"Fingerprinter({len(self._seen)} remembered)"  # never the key

    def template(self, system_text: str, first_user_text: str) -> str:
        """Fingerprint of a request's template, "~" and 12 hex digits; "" where there is no text.

        By the first 8192 characters of the system prompt; without one, by how the first user
        message begins, up to the first colon, quote or line end.
        """
        if system_text and not system_text.isspace():
            kind, text = b"s", system_text[:_HEAD_CHARS]
        else:
            kind, text = b"u", _head_of(first_user_text)
            if not text:
                return ""
        raw = text.encode("utf-8", "surrogatepass")
        seen_as = blake2b(raw, digest_size=16, key=self._key, person=kind).digest()
        found = self._seen.get(seen_as)
        if found is not None:
            self._seen.move_to_end(seen_as)
            return found
        words = masked_words(text)
        if kind == b"u":
            words = words[:_MOST_USER_WORDS]
        found = FINGERPRINT_START + self._hash(" ".join(words), b"t" + kind, 6)
        if len(self._seen) >= self._most:
            self._seen.popitem(last=False)
        self._seen[seen_as] = found
        return found

    def segments(self, text: str) -> tuple[str, ...]:
        """Keyed hashes of the masked sentences of a text, in order, at most 64 of them.

        Two texts of one template share most of them even where a name in one differs.
        """
        parts = _SENTENCE_ENDS.split(text[:_HEAD_CHARS])
        masked = (" ".join(masked_words(part)) for part in parts)
        telling = [part for part in masked if part and part != _MASK]
        return tuple(self._hash(part, b"g", 6) for part in telling[:_MOST_SEGMENTS])

    def _hash(self, text: str, kind: bytes, n_bytes: int) -> str:
        raw = text.encode("utf-8", "surrogatepass")
        return blake2b(raw, digest_size=n_bytes, key=self._key, person=kind).hexdigest()


def _head_of(user_text: str) -> str:
    """How a user message begins: instructions come first, what they are about comes after."""
    text = user_text[:_HEAD_CHARS].lstrip()
    end = _USER_HEAD_ENDS.search(text, min(1, len(text)))
    return (text if end is None else text[: end.start()]).strip()


def load_or_make_key(path: Path) -> bytes:
    """The installation's key, made (readable by its owner alone) where there is none yet."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        _make_key(path)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as fault:
        raise InputError(str(path), "", f"cannot be read ({fault.strerror})", _MEND) from fault
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        key = file.read(_KEY_BYTES + 1)
    if mode & 0o007 or mode & 0o020:
        problem = f"may be read or written by others (mode {mode:04o})"
        raise InputError(str(path), "", problem, f"chmod 600 {path}")
    if len(key) != _KEY_BYTES:
        problem = f"is no fingerprint key: it has not {_KEY_BYTES} bytes"
        raise InputError(str(path), "", problem, "restore it, or name another file to make one")
    return key


_MEND = "let the gateway's user read it"


def _make_key(path: Path) -> None:
    """Put a whole key in place; of several processes that start together one wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    except OSError as fault:
        mend = "let the gateway write there, or put 32 random bytes there yourself"
        raise InputError(str(path), "", f"cannot be made ({fault.strerror})", mend) from fault
