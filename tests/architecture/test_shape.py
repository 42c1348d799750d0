"""Small functions, telling file names, documented public functions in the pure rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

MAX_LINES = 60
MAX_LINES_P95 = 40
PURE_ROOMS = ("economics", "planning", "charts", "capacity", "units")
FORBIDDEN = ("util", "utils", "helper", "helpers", "manager", "managers", "common", "misc")


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return total
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1)


def function_lengths(source: str) -> Iterator[tuple[str, int]]:
    """Name and length of every function in a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, code_lines(node)


def undocumented(source: str) -> list[str]:
    """Public functions, classes and methods of a module that say nothing of themselves."""
    return list(_undocumented_in(ast.parse(source)))


def _undocumented_in(scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from _undocumented_in(node)


def says_nothing(path: Path) -> bool:
    """Whether a file or folder name tells nothing of what is in it."""
    words = [word for part in path.with_suffix("").parts for word in part.lower().split("_")]
    return any(word in FORBIDDEN for word in words)


def _sources(checkout: Path) -> list[Path]:
    return sorted((checkout / "src").rglob("*.py"))


def test_no_function_is_longer_than_a_screen(checkout: Path) -> None:
    long = [
        f"{path.relative_to(checkout)}: {name} has {lines} lines"
        for path in _sources(checkout)
        for name, lines in function_lengths(path.read_text())
        if lines > MAX_LINES
    ]
    assert not long, "\n".join(long)


def test_most_functions_are_small(checkout: Path) -> None:
    lengths = sorted(
        lines for path in _sources(checkout) for _, lines in function_lengths(path.read_text())
    )
    assert lengths[int(0.95 * len(lengths))] <= MAX_LINES_P95


def test_file_names_say_what_is_inside(checkout: Path) -> None:
    folders = ("src", "tests", "benchmarks")
    files = [path for folder in folders for path in (checkout / folder).rglob("*.py")]
    assert not [str(p) for p in files if says_nothing(p.relative_to(checkout))]


def test_public_functions_of_pure_rooms_are_documented(checkout: Path) -> None:
    source = checkout / "src" / "weighbridge"
    faults = [
        f"{path.relative_to(checkout)}: {name}"
        for room in PURE_ROOMS
        for path in sorted((source / room).rglob("*.py"))
        for name in undocumented(path.read_text())
    ]
    assert not faults, "\n".join(["no docstring:", *faults])


def test_a_long_function_is_found_and_its_docstring_forgiven() -> None:
    body = "    x = 1\n" * MAX_LINES
    assert dict(function_lengths(f"def f():\n{body}")) == {"f": MAX_LINES + 1}
    docstring = '    """Say.\n' + "    more\n" * MAX_LINES + '    """\n'
    assert dict(function_lengths(f"def f():\n{docstring}    return 1\n")) == {"f": 2}


@pytest.mark.parametrize("name", ["cost_utils.py", "helpers.py", "common/money.py"])
def test_a_name_that_says_nothing_is_found(name: str) -> None:
    assert says_nothing(Path(name))


def test_a_telling_name_passes() -> None:
    assert not says_nothing(Path("economics/commonality.py"))


def test_missing_docstrings_are_found() -> None:
    source = "def f(): ...\nclass A:\n    def m(self): ...\n    def _p(self): ...\n"
    assert undocumented(source) == ["f", "A", "m"]
    assert undocumented('def f():\n    """Say."""\n') == []
