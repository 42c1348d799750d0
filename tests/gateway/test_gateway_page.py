"""`docs/gateway.md` names what the gateway says: error codes, metrics, events, admin paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "gateway.md").read_text("utf-8")
ROOMS = [ROOT / "src" / "weighbridge" / room for room in ("gateway", "policy")]
SOURCE = "\n".join(path.read_text("utf-8") for room in ROOMS for path in sorted(room.rglob("*.py")))
OF_WIRE = {"error"}  # faults and timeouts of an attempt are told by their own names
CODES = {
    *re.findall(r"\bRefusal\(\s*\d{3},\s*\"([a-z_]+)\"", SOURCE),
    *re.findall(r"\b(?:NoRoute|Fail)\(\s*\"([a-z_]+)\"", SOURCE),
}
METRICS = sorted(set(re.findall(r"`((?:weighbridge|gen_ai)_\w+)", PAGE)))
EVENTS = sorted(
    {
        *re.findall(r"name=\"(\w+)\"", PAGE),
        *re.findall(r"`(state_\w+|restart_needed|spool_failing)`", PAGE),
    }
    - {"state_path"}
)


@pytest.mark.parametrize("code", sorted(CODES - OF_WIRE))
def test_every_code_of_a_refusal_is_told(code: str) -> None:
    assert f"`{code}`" in PAGE


@pytest.mark.parametrize("name", METRICS)
def test_metric_of_the_page_is_one_that_is_counted(name: str) -> None:
    own = name.removeprefix("weighbridge_").removeprefix("engine_").removeprefix("tenant_")
    parts = (own, own.removesuffix("_total"))
    assert any(part in SOURCE for part in parts)


@pytest.mark.parametrize("name", EVENTS)
def test_event_of_the_page_is_one_that_happens(name: str) -> None:
    assert f'"{name}"' in SOURCE


def test_admin_paths_of_the_page_are_those_that_are_answered() -> None:
    told = set(re.findall(r"\| `(?:GET|POST) (/\w+)", PAGE))
    admin = (ROOMS[0] / "admin.py").read_text("utf-8")
    known = re.search(r"known here: ([/a-z ]+)", admin)
    assert known is not None
    assert told == set(known.group(1).split())


def test_python_of_the_page_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "gateway.md", "exec")
