"""The ids of the catalog for the many spellings of models, GPUs, number formats and engines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import cast, get_args

import yaml

from weighbridge.catalog.facts import Catalog
from weighbridge.catalog.rows import Precision
from weighbridge.units import InputError

_WHERE = "catalog"
_PARTS = re.compile(r"\s*[,+&]\s*")  # of a machine with GPUs of several kinds
_COUNT = re.compile(r"^\d+-?x-|-x\d+$")  # 8x H100, MI300X (x8)
_SHORTEST_PARENT = 6  # letters; a shorter name inside another is chance


@dataclass(frozen=True, slots=True)
class _Aliases:
    """Spellings of `data/aliases.yaml`, ready to match."""

    model_left_off: re.Pattern[str]
    model_front: re.Pattern[str]
    model_names: Mapping[str, str]
    gpu_left_off: re.Pattern[str]
    gpu_names: tuple[tuple[re.Pattern[str], str], ...]
    precisions: tuple[tuple[re.Pattern[str], str], ...]
    engines: tuple[tuple[re.Pattern[str], str], ...]


def canonical_model(name: str, catalog: Catalog) -> str:
    """Id of the catalog's model that a name means.

    Organisation, number format, instruction tuning and date are left off; what remains must be
    the id or the name of a row, or a spelling of `data/aliases.yaml`. A fine-tune under a name of
    its own is refused: its parent is not guessed.

    Parameters
    ----------
    name : str
        As on Hugging Face, in a benchmark's file or on a command line.
    catalog : Catalog
        Packaged facts, with a user's own rows where given.

    Raises
    ------
    InputError
        Where no row is meant; names the nearest.

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> canonical_model("meta-llama/Meta-Llama-3.1-70B-Instruct-FP8", load_catalog())
    'llama-3.1-70b'
    """
    if name in catalog.models:
        return name
    known = _model_keys(catalog)
    key = _key(_bare_model(name))
    if key in known:
        return known[key]
    parents = {model for other, model in known.items() if _is_within(other, key)}
    if parents:
        mend = (
            f"if it has the shape of {' or '.join(sorted(parents))}, give that id; "
            "else add a row of your own under models"
        )
    else:
        mend = f"use {_nearest(key, known)}, or add a row of your own under models"
    raise InputError(_WHERE, "model", f"has no row for {name!r}", mend)


def canonical_gpu(name: str, catalog: Catalog) -> str:
    """Id of the catalog's GPU that a name means.

    Takes the names of nvidia-smi and torch, of clouds' machine types and of benchmark tables.

    Parameters
    ----------
    name : str
        One kind of GPU; a count before or after it is left off.
    catalog : Catalog
        Packaged facts, with a user's own rows where given.

    Raises
    ------
    InputError
        Where no row is meant (names the nearest), or where the name holds several kinds.

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> canonical_gpu("NVIDIA H100 80GB HBM3", load_catalog())
    'h100-sxm'
    """
    if name in catalog.gpus:
        return name
    kinds = [_one_gpu(part, catalog) for part in _PARTS.split(name) if part]
    if not kinds or None in kinds:
        bare = _bare_gpu(name)
        forms = [gpu_id for gpu_id in catalog.gpus if bare and gpu_id.startswith(f"{bare}-")]
        near = " or ".join(forms) or _nearest(bare, {gpu_id: gpu_id for gpu_id in catalog.gpus})
        raise InputError(
            _WHERE,
            "gpu",
            f"has no row for {name!r}",
            f"use {near}, or add a row of your own under gpus",
        )
    if len(set(kinds)) > 1:
        raise InputError(
            _WHERE,
            "gpu",
            f"cannot be one of {' and '.join(sorted(set(filter(None, kinds))))} ({name!r})",
            "give each kind of GPU on its own: a mixed machine has no single speed",
        )
    return cast(str, kinds[0])


def canonical_precision(name: str) -> Precision:
    """Number format that a spelling means; 16-bit formats are all "bf16".

    Raises
    ------
    InputError
        Where none is meant.

    Examples
    --------
    >>> canonical_precision("UINT4"), canonical_precision("bfloat16")
    ('int4', 'bf16')
    """
    text = _hyphened(name)
    for pattern, precision in _aliases().precisions:
        if pattern.fullmatch(text):
            return cast(Precision, precision)
    raise InputError(
        _WHERE, "precision", f"cannot be {name!r}", f"use one of {', '.join(get_args(Precision))}"
    )


def canonical_engine(name: str) -> str:
    """Id of the serving engine that a spelling means, its version left off.

    Raises
    ------
    InputError
        Where none is meant; names the engines.

    Examples
    --------
    >>> canonical_engine("trtllm 1.2.0rc6.post3"), canonical_engine("vLLM 0.10.0, RHEL 9.6")
    ('tensorrt-llm', 'vllm')
    """
    text = _hyphened(name)
    for pattern, engine in _aliases().engines:
        if pattern.match(text):
            return engine
    engines = sorted({engine for _, engine in _aliases().engines})
    raise InputError(_WHERE, "engine", f"cannot be {name!r}", f"use one of {', '.join(engines)}")


def _model_keys(catalog: Catalog) -> Mapping[str, str]:
    """Ids by every spelling in letters only; a row of the catalog wins over an alias."""
    keys = {_key(alias): model for alias, model in _aliases().model_names.items()}
    for row in catalog.models.values():
        for spelling in (row.name, row.id):
            keys[_key(_bare_model(spelling))] = row.id
    return {key: model for key, model in keys.items() if model in catalog.models}


def _bare_model(name: str) -> str:
    aliases = _aliases()
    text = _hyphened(name.rstrip("/").rsplit("/", 1)[-1])
    return _without(aliases.model_left_off, aliases.model_front.sub("", text))


def _one_gpu(name: str, catalog: Catalog) -> str | None:
    if name in catalog.gpus:
        return name
    text = _bare_gpu(name)
    for pattern, gpu_id in _aliases().gpu_names:
        if pattern.fullmatch(text) and gpu_id in catalog.gpus:
            return gpu_id
    # Ids and names with no hyphen or space left, as in RTXPRO6000.
    names = {
        _key(spelling): row.id for row in catalog.gpus.values() for spelling in (row.name, row.id)
    }
    return names.get(_key(name)) or names.get(_key(text))


def _bare_gpu(name: str) -> str:
    aliases = _aliases()
    return _COUNT.sub("", _without(aliases.gpu_left_off, _hyphened(name)))


def _without(pattern: re.Pattern[str], text: str) -> str:
    """The text without the parts that match, until none is left; hyphens tidied."""
    while (shorter := _tidy(pattern.sub("", text))) != text:
        text = shorter
    return text


def _hyphened(name: str) -> str:
    return _tidy(re.sub(r"[\s_:/()]+", "-", name.strip().lower()))


def _tidy(text: str) -> str:
    return re.sub(r"-{2,}", "-", text).strip("-")


def _key(text: str) -> str:
    return _hyphened(text).replace("-", "")


def _is_within(inner: str, outer: str) -> bool:
    return len(inner) >= _SHORTEST_PARENT and inner in outer


def _nearest(wanted: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(wanted, known, n=6, cutoff=0.4)
    if not near:
        return f"an id of the catalog, such as {known[min(known)]}"
    return " or ".join(list(dict.fromkeys(known[key] for key in near))[:3])


@cache
def _aliases() -> _Aliases:
    text = (resources.files("weighbridge.catalog") / "data" / "aliases.yaml").read_text("utf-8")
    raw = yaml.load(text, Loader=yaml.CSafeLoader)
    models, gpus = raw["models"], raw["gpus"]
    return _Aliases(
        model_left_off=_between_hyphens(models["left_off"]),
        model_front=re.compile(f"^(?:{'|'.join(models['left_off_in_front'])})-"),
        model_names=models["names"],
        gpu_left_off=_between_hyphens(gpus["left_off"]),
        gpu_names=_patterns(gpus["names"]),
        precisions=_patterns(raw["precisions"]),
        engines=_patterns(raw["engines"]),
    )


def _between_hyphens(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![^-])(?:{'|'.join(patterns)})(?![^-])")


def _patterns(table: Mapping[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), target) for pattern, target in table.items())
