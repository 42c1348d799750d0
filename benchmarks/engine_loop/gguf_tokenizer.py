"""A tokenizer's folder, as benchmark tools load it, from the vocabulary inside a GGUF file.

The layout of a GGUF file is that of ggml's `docs/gguf.md`, version 2 and 3: after magic, version,
number of tensors and number of pairs, each pair is a key, a type and a value, little-endian.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_SCALARS[12] = "d"
_TEXT, _LIST = 8, 9
_CONTROL = 3  # kind of token that stands for no text
_ADDED = ("single_word", "lstrip", "rstrip", "normalized")
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def write_tokenizer(weights: Path, folder: Path) -> Path:
    """Write `tokenizer.json` and `tokenizer_config.json`; byte-level BPE only."""
    told = _metadata(weights)
    if told.get("tokenizer.ggml.model") != "gpt2":
        sys.exit(f"{weights}: its tokenizer is no byte-level BPE; name one with --tokenizer")
    folder.mkdir(parents=True, exist_ok=True)
    words = told["tokenizer.ggml.tokens"]
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(told, words)), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(_config(told, words), indent=1), encoding="utf-8"
    )
    return folder


def _tokenizer(told: dict[str, Any], words: list[str]) -> dict[str, Any]:
    kinds = told["tokenizer.ggml.token_type"]
    control = [i for i, kind in enumerate(kinds) if kind == _CONTROL]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": words[i], **dict.fromkeys(_ADDED, False), "special": True}
            for i in control
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTES],
        },
        "post_processor": None,
        "decoder": _BYTES,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {word: i for i, word in enumerate(words)},
            "merges": [merge.split(" ", 1) for merge in told["tokenizer.ggml.merges"]],
        },
    }


def _config(told: dict[str, Any], words: list[str]) -> dict[str, Any]:
    end = words[told["tokenizer.ggml.eos_token_id"]]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": words[told["tokenizer.ggml.bos_token_id"]],
        "eos_token": end,
        "pad_token": end,
        "clean_up_tokenization_spaces": False,
    }
    template = told.get("tokenizer.chat_template")
    return config if template is None else {**config, "chat_template": template}


def _metadata(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        magic, version = file.read(4), _number(file, "I")
        if magic != b"GGUF" or version not in (2, 3):
            sys.exit(f"{path}: no GGUF file of version 2 or 3")
        _number(file, "Q")  # tensors
        n_pairs = _number(file, "Q")
        return {_text(file): _value(file, _number(file, "I")) for _ in range(n_pairs)}


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(file)
    if kind != _LIST:
        return _number(file, _SCALARS[kind])
    inner, n_values = _number(file, "I"), _number(file, "Q")
    return [_value(file, inner) for _ in range(n_values)]


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "Q")).decode("utf-8", "replace")


def _number(file: BinaryIO, form: str) -> Any:
    (value,) = struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))
    return value
