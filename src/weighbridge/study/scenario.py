"""The scenario: what a person states, checked field by field before anything is computed."""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import yaml

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.rows import Precision
from weighbridge.economics.inputs import correlation_root
from weighbridge.study.entries import known_assumption, read_belief
from weighbridge.study.scenario_serving import check_serving
from weighbridge.units import InputError

MAX_SCENARIO_BYTES = 4 * 2**20
MAX_HORIZON_MONTHS = 120
OPTION_IDS = ("api", "committed", "managed", "rented", "owned", "hybrid")


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which query types a rule is about; parts left out match everything."""

    tenant: str | None = None
    feature: str | None = None
    template: str | None = None


class TypeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the owner of some query types states about them."""

    match: Match = msgspec.field(default_factory=Match)
    replaceable: Literal["yes", "no", "unknown"] = "unknown"
    evidence: str = ""
    stays_inside: bool = False
    custom_weights: bool = False
    ttft_p95_s: float | None = None


class Throughput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Your own measurement of one replica; one of the two rates."""

    output_tokens_per_s: float | None = None
    requests_per_s: float | None = None
    input_tokens: float | None = None  # of one measured request
    output_tokens: float | None = None
    n_gpus: float | None = None
    source: str = "own measurement"


class Currency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Reporting currency with the dated rate that turns dollars into it."""

    code: str
    per_usd: float
    on: dt.date
    source: str


class CommittedOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Committed or provisioned throughput: a row of the catalog, or as quoted to you."""

    offer: str | None = None  # catalog id; the fields below are then taken from it
    usd_per_unit_hour: float | None = None
    input_tokens_per_min: float | None = None
    output_tokens_per_min: float | None = None
    term_months: int = 0
    source: str = "quoted to you"


class Correlation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two inputs that move together."""

    between: tuple[str, str]
    correlation: float


class Blend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """API price stated instead of looked up."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    source: str


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One page of what is known; everything has a default but the traffic itself."""

    name: str = "LLM traffic"
    model: str | None = None
    provider: str | None = None
    monthly_spend_usd: float | None = None
    monthly_tokens: float | None = None
    monthly_requests: float | None = None
    input_share_frac: float = 0.75
    tokens_per_request: float = 1500.0
    price: Blend | None = None
    candidate: str | None = None
    gpu: str | None = None
    precision: Precision | None = None
    throughput: Throughput | None = None
    slo: str | None = None
    endpoint_profile: str | None = None
    measured: str | None = None
    options: tuple[str, ...] = ("api", "managed", "rented", "owned", "hybrid")
    committed: CommittedOffer | None = None
    horizon_months: int = 36
    mlops_fte: float | None = None
    can_hire: bool = True
    upkeep_basis: Literal["fte", "hours"] | None = None
    whole_replicas: bool = True
    utilization_frac: float | None = None
    query_types: tuple[TypeRule, ...] = ()
    assumptions: dict[str, Any] = msgspec.field(default_factory=dict)
    correlations: tuple[Correlation, ...] | None = None
    currency: Currency | None = None
    assume_model: str | None = None
    assume_provider: str | None = None
    query_type_by: tuple[str, ...] = ("feature", "template")
    catalog_file: str | None = None
    prices_file: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the scenario's content, whatever file it came from."""
        return sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def load_scenario(path: Path | str) -> Scenario:
    """Read and check a scenario file; every fault names the file, the field and the mend."""
    where, path = str(path), Path(path)
    if path.is_dir():
        raise InputError(where, "", "is a directory", "name the scenario file in it")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            where, "", "does not exist", f"write one with: weighbridge init {where}"
        ) from None
    except OSError as error:
        raise InputError(where, "", f"cannot be read ({error.strerror})", "mend the path") from None
    if len(raw) > MAX_SCENARIO_BYTES:
        raise InputError(where, "", f"has {len(raw)} bytes", "a scenario is one page, not a log")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            where, "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8"
        ) from None
    return parse_scenario(text, where)


BOOL = "tag:yaml.org,2002:bool"
KEY_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}


class UniqueKeyLoader(yaml.CSafeLoader):
    """YAML loader that refuses a key given twice: the second would win in silence.

    Only true and false are booleans, as in YAML 1.2: `replaceable: yes` and `on: 2026-11-20` are
    what they look like.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML reads it from the class
        first: [(tag, pattern) for tag, pattern in rows if tag != BOOL]
        for first, rows in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


UniqueKeyLoader.add_implicit_resolver(  # 1e6, which YAML 1.1 takes for text
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
UniqueKeyLoader.add_implicit_resolver(
    BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _unique_mapping(loader: UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag not in KEY_TAGS:
            raise yaml.constructor.ConstructorError(
                None, None, "a key is not plain text", key.start_mark
            )
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key.value!r} is given twice", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def parse_scenario(text: str, where: str = "scenario") -> Scenario:
    """Check a scenario given as YAML text."""
    try:
        raw = yaml.load(text, Loader=UniqueKeyLoader)  # noqa: S506  # subclass of the safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{where}, line {mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(line, "", f"is not YAML: {problem}", "mend the line") from None
    if not isinstance(raw, dict):
        raise InputError(where, "", "holds no fields", f"write one with: weighbridge init {where}")
    try:
        scenario = msgspec.convert(raw, Scenario)
    except msgspec.ValidationError as error:
        raise _readable(where, str(error)) from None
    check_scenario(scenario, where)
    return scenario


def _readable(where: str, message: str) -> InputError:
    """msgspec's message as ours: the field's path, what was wrong, what would be right."""
    problem, _, path = message.partition(" - at ")
    field = path.strip("`").removeprefix("$").lstrip(".")
    unknown = re.search(r"unknown field `(\w+)`", problem)
    if unknown is not None:
        name = unknown.group(1)
        field = f"{field}.{name}".lstrip(".")
        mend = _nearest(name)
        return InputError(where, field, "is no field of a scenario", mend)
    return InputError(where, field, problem, "see `weighbridge init --full` for what it takes")


def _nearest(name: str) -> str:
    fields = [f.name for f in msgspec.structs.fields(Scenario)]
    close = difflib.get_close_matches(name, [*fields, *load_assumptions()], n=1)
    if not close:
        return "remove it, or see `weighbridge init --full` for every field"
    if close[0] in load_assumptions():
        return f"put it under `assumptions:` as `{close[0]}`"
    return f"did you mean `{close[0]}`?"


def check_scenario(s: Scenario, where: str) -> None:
    """Contradictions and values out of range raise; nothing is clamped."""
    _check_finite(s, where, "")
    _check_numbers(s, where)
    _check_prices(s, where)
    _check_choices(s, where)
    for name, raw in s.assumptions.items():
        read_belief(name, raw, where)
    check_serving(s, where)
    _check_exclusive(s, where)
    _check_correlations(s, where)


def _check_finite(part: Any, where: str, path: str) -> None:
    """No field anywhere is infinite or not a number."""
    if isinstance(part, float) and not math.isfinite(part):
        raise InputError(where, path, f"is {part}", "give a finite number")
    if isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            _check_finite(getattr(part, name), where, f"{path}.{name}".lstrip("."))
    if isinstance(part, tuple):
        for i, item in enumerate(part):
            _check_finite(item, where, f"{path}[{i}]")


def _check_correlations(s: Scenario, where: str) -> None:
    pairs: dict[frozenset[str], float] = {}
    for c in s.correlations or ():
        for name in c.between:
            known_assumption(name, where, "correlations")
        pair, text = frozenset(c.between), " and ".join(c.between)
        if len(pair) < 2:
            raise InputError(where, "correlations", f"{text}: is one input", "name two inputs")
        if not -1 < c.correlation < 1:
            raise InputError(where, "correlations", f"is {c.correlation}", "give -1 < r < 1")
        if pair in pairs:
            raise InputError(where, "correlations", f"{text} is given twice", "keep one of the two")
        pairs[pair] = c.correlation
    names = sorted(frozenset().union(*pairs)) if pairs else []
    matrix = np.eye(len(names))
    for pair, rho in pairs.items():
        i, j = (names.index(name) for name in pair)
        matrix[i, j] = matrix[j, i] = rho
    try:
        correlation_root(matrix, names)
    except ValueError as error:
        raise InputError(
            where, "correlations", str(error), "bring them nearer to 0 until all three can hold"
        ) from None


def _check_numbers(s: Scenario, where: str) -> None:
    positive = ("monthly_spend_usd", "monthly_tokens", "monthly_requests", "tokens_per_request")
    for field in positive:
        value = getattr(s, field)
        if value is not None and not value > 0:
            raise InputError(where, field, f"is {value}", "give a number above zero")
    if not 0 <= s.input_share_frac <= 1:
        raise InputError(
            where, "input_share_frac", f"is {s.input_share_frac}", "give a fraction from 0 to 1"
        )
    if s.mlops_fte is not None and s.mlops_fte < 0:
        raise InputError(where, "mlops_fte", f"is {s.mlops_fte}", "give 0 or more engineers")
    if not 1 <= s.horizon_months <= MAX_HORIZON_MONTHS:
        raise InputError(
            where,
            "horizon_months",
            f"is {s.horizon_months}",
            f"give a whole number from 1 to {MAX_HORIZON_MONTHS}",
        )
    if s.utilization_frac is not None and not 0 < s.utilization_frac <= 1:
        raise InputError(
            where, "utilization_frac", f"is {s.utilization_frac}", "give a fraction above 0, to 1"
        )


def _check_prices(s: Scenario, where: str) -> None:
    for field, price in (("price", s.price), ("committed", s.committed)):
        for name in getattr(price, "__struct_fields__", ()):
            value = getattr(price, name)
            if isinstance(value, int | float) and value < 0:
                raise InputError(where, f"{field}.{name}", f"is {value}", "give 0 or more")
    if s.currency is not None and not s.currency.per_usd > 0:
        raise InputError(where, "currency.per_usd", f"is {s.currency.per_usd}", "give a rate > 0")


def _check_choices(s: Scenario, where: str) -> None:
    if len(set(s.options)) < len(s.options):
        twice = next(o for o in s.options if s.options.count(o) > 1)
        raise InputError(where, "options", f"names {twice} twice", "name each option once")
    unknown = [o for o in s.options if o not in OPTION_IDS]
    if unknown:
        raise InputError(
            where, "options", f"names {unknown[0]}", f"choose from {', '.join(OPTION_IDS)}"
        )
    if "api" not in s.options:
        raise InputError(where, "options", "leaves out api", "keep it: all is measured against it")
    if "committed" in s.options and s.committed is None:
        raise InputError(
            where,
            "options",
            "names committed without an offer",
            "add a `committed:` block with the price per unit hour and what a unit serves",
        )
    if s.committed is not None:
        _check_committed(s.committed, where)
    if s.monthly_spend_usd is not None and s.monthly_tokens is not None:
        raise InputError(
            where,
            "monthly_tokens",
            "is given beside monthly_spend_usd, and price makes one of the other",
            "keep one of the two",
        )


def _check_committed(c: CommittedOffer, where: str) -> None:
    figures = (c.usd_per_unit_hour, c.input_tokens_per_min, c.output_tokens_per_min)
    given = [x for x in figures if x is not None]
    if c.offer is not None and given:
        raise InputError(
            where, "committed.offer", "is given beside figures of your own", "keep one of the two"
        )
    if c.offer is None and not (len(given) == len(figures) and min(given) > 0):
        raise InputError(
            where,
            "committed",
            "needs a price and what one unit serves",
            "give usd_per_unit_hour, input_tokens_per_min and output_tokens_per_min above zero, "
            "or offer: with a catalog id",
        )
    if c.term_months < 0:
        raise InputError(where, "committed.term_months", f"is {c.term_months}", "give 0 or more")


def _highest(raw: Any) -> float:
    """The most that a scenario's entry for a share can become."""
    if not isinstance(raw, dict):
        return float(raw)
    if "p90" in raw:
        return 1.0 if raw["p90"] > raw["p50"] else float(raw["p90"])  # its tail is unbounded
    return max(float(x) for x in raw.get("values", [raw.get("high", 0)]))


def _check_exclusive(s: Scenario, where: str) -> None:
    both = {"upkeep_fte", "maintenance_hours_per_month"} <= set(s.assumptions)
    if both and s.upkeep_basis is None:
        raise InputError(
            where,
            "assumptions.maintenance_hours_per_month",
            "is given beside upkeep_fte: both are the same work",
            "keep one, or say upkeep_basis: fte or hours",
        )
    if s.utilization_frac is not None:
        joined = {"peak_to_mean_ratio", "headroom_frac"} & set(s.assumptions)
        if joined:
            raise InputError(
                where,
                f"assumptions.{sorted(joined)[0]}",
                "is given beside utilization_frac, which already contains the peak",
                "keep one of the two",
            )
    for name in ("api_discount_frac", "api_overhead_frac"):
        if s.monthly_spend_usd is not None and name in s.assumptions:
            raise InputError(
                where,
                f"assumptions.{name}",
                "is given beside monthly_spend_usd, which is what you pay, all in it",
                "drop it, or state monthly_tokens instead of the spend",
            )
    shares = [_highest(s.assumptions.get(name, 0)) for name in ("reserved_frac", "spot_frac")]
    if sum(shares) > 1:
        raise InputError(
            where,
            "assumptions.reserved_frac",
            f"and spot_frac may add up to {sum(shares):g}, more than the whole fleet",
            "keep their highest values at 1 together",
        )
    if s.mlops_fte is not None and "existing_mlops_fte" in s.assumptions:
        raise InputError(
            where,
            "assumptions.existing_mlops_fte",
            "is given beside mlops_fte",
            "keep one of the two",
        )
