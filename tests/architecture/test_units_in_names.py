"""A number without a unit in its name does not merge."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from weighbridge.units import unit_of

Functions = Literal["all", "public", "none"]

# Private functions of charts work in places on a page, which have no unit of the glossary.
ROOMS: dict[str, Functions] = {
    "economics": "all",
    "planning": "all",
    "capacity": "all",
    "charts": "public",
    "catalog": "none",
}

# Names of numbers that have no unit of their own, each with the reason.
_ANY = "mathematics for a quantity of any unit"
WITHOUT_UNIT = {
    **dict.fromkeys(("x", "y", "value", "values", "grid", "low", "high", "lower", "upper"), _ANY),
    **dict.fromkeys(
        ("min", "mid", "max", "mode", "p10", "p50", "p90", "low_input", "high_input"), _ANY
    ),
    **dict.fromkeys(("gap", "span", "positions", "centres", "step", "level"), _ANY),
    **dict.fromkeys(("u", "z"), "point of the unit cube, or its normal score"),
    **dict.fromkeys(("weights", "probabilities", "correlations"), "pure numbers"),
    **dict.fromkeys(("x_start", "best", "members", "fits"), "points of logarithms of many units"),
    **dict.fromkeys(("factor", "factors"), "what another quantity is multiplied by"),
    **dict.fromkeys(("scale", "profile"), "only their product has a unit, and it is cash_usd"),
    **dict.fromkeys(
        ("parameters", "residuals", "start", "log_ratios", "log_ttft", "log_tpot", "sd_ratios"),
        "natural logarithms, of ratios or of seconds",
    ),
    **dict.fromkeys(("groups", "held", "train"), "arrays of names and of choices, not of numbers"),
    **dict.fromkeys(("conditions", "difficulties", "earned"), "shares and powers of ratios"),
    **dict.fromkeys(("coefficients", "ranges"), "mappings: each key carries the unit"),
    "among": "covariances",
    "hourly": "requests or tokens by hour of week, as its caption says",
    "schedule": "pairs of from_s and n_replicas, as its caption says",
    "arrays": "a mapping: each key carries the unit",
}

# Names that ought to carry a unit and do not yet: to be renamed, never to be added to.
OWED = {
    "happens": "happens_event",
    "usd_per_unit_hour": "a suffix of the glossary for a committed unit and hour",
}


def _is_number(annotation: ast.expr | None) -> bool:
    """Whether an annotation promises floats: float, NDArray of them, or a container of either."""
    if annotation is None:
        return False
    if isinstance(annotation, ast.Subscript) and "Callable" in ast.unparse(annotation.value):
        return False
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _is_number(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.Name):
        return annotation.id in {"float", "Floats", "NDArray"}
    if isinstance(annotation, ast.Attribute):
        return annotation.attr == "float64"
    children = [node for node in ast.iter_child_nodes(annotation) if isinstance(node, ast.expr)]
    return any(_is_number(child) for child in children)


def _is_record(node: ast.ClassDef) -> bool:
    marks = [ast.unparse(mark) for mark in (*node.decorator_list, *node.bases)]
    return any("dataclass" in mark or "Struct" in mark or "NamedTuple" in mark for mark in marks)


def _fields(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and _is_record(node):
            for line in node.body:
                match line:
                    case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                        if _is_number(annotation):
                            yield line.lineno, name


def _functions(scope: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Functions and methods; those inside another function borrow the names around them."""
    for node in scope.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node)


def _parameters(tree: ast.Module, functions: Functions) -> Iterator[tuple[int, str]]:
    if functions == "none":
        return
    for node in _functions(tree):
        if functions == "public" and node.name.startswith("_"):
            continue
        for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            if _is_number(parameter.annotation):
                yield parameter.lineno, parameter.arg


def unitless(source: str, functions: Functions = "all") -> list[str]:
    """Names of numbers in a module that carry no unit of the glossary, with their lines."""
    tree = ast.parse(source)
    found = [*_fields(tree), *_parameters(tree, functions)]
    return [
        f"line {line}: {name}"
        for line, name in found
        if unit_of(name) is None and name not in WITHOUT_UNIT
    ]


def _faults(checkout: Path) -> list[str]:
    source = checkout / "src" / "weighbridge"
    return [
        f"{path.relative_to(checkout)} {fault}"
        for room, functions in ROOMS.items()
        for path in sorted((source / room).rglob("*.py"))
        for fault in unitless(path.read_text(), functions)
    ]


def test_numbers_carry_their_unit(checkout: Path) -> None:
    faults = [fault for fault in _faults(checkout) if fault.rsplit(" ", 1)[1] not in OWED]
    assert not faults, "\n".join(["no unit of units/glossary.py in:", *faults])


def test_a_name_that_got_its_unit_leaves_the_list(checkout: Path) -> None:
    still = {fault.rsplit(" ", 1)[1] for fault in _faults(checkout)}
    assert still >= OWED.keys(), f"renamed: take {OWED.keys() - still} off OWED"


@pytest.mark.parametrize(
    "source",
    [
        "def cost(price: float) -> float: ...",
        "def cost(*, rate: float | None = None): ...",
        "def cost(load: NDArray[np.float64]): ...",
        "def cost(load: 'Floats'): ...",
        "@dataclass(frozen=True)\nclass Gpu:\n    memory: float",
        "class Offer(msgspec.Struct):\n    price: tuple[float, ...]",
    ],
)
def test_a_number_without_a_unit_is_found(source: str) -> None:
    assert len(unitless(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def cost(gpu_usd_per_hour: float, n_gpus: float): ...",
        "def name(label: str, index: int): ...",
        "def solve(function: Callable[[float], float]): ...",
        "@dataclass\nclass Gpu:\n    memory_gib: float | None\n    id: str",
        "class Band(NamedTuple):\n    p10: float",
    ],
)
def test_a_number_with_a_unit_passes(source: str) -> None:
    assert unitless(source) == []


def test_private_functions_are_forgiven_only_where_said() -> None:
    source = "def _draw(width: float): ..."
    assert unitless(source) == ["line 1: width"]
    assert unitless(source, "public") == []
