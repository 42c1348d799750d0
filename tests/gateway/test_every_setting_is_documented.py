"""`docs/configuration.md` names every key of the gateway's own settings, with its default."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from weighbridge.gateway import settings
from weighbridge.gateway.config import read_config
from weighbridge.gateway.reloading import FIXED
from weighbridge.gateway.settings import Settings, Strict

HEADING = "## The gateway's own keys"
PARTS = sorted(
    (kind for kind in vars(settings).values() if isinstance(kind, type) and kind is not Strict),
    key=lambda kind: kind.__name__,
)
KEYS = [
    (kind, field)
    for kind in PARTS
    if issubclass(kind, Strict)
    for field in msgspec.structs.fields(kind)
]
INLINE = ("tls", "otlp")  # told in a sentence, not in a table
PART_OF = {
    "AdminSettings": "admin",
    "BudgetWords": "budgets",
    "HttpSettings": "http",
    "IdentifySettings": "identify",
    "LimitWords": "limits",
    "OtlpSettings": "otlp",
    "RetryWords": "retry",
    "SharedSettings": "shared",
    "SpoolSettings": "spool",
    "TlsSettings": "tls",
}


def _section(checkout: Path, kind: type) -> str:
    """The page's text on one part: its own paragraph and table."""
    page = (checkout / "docs" / "configuration.md").read_text("utf-8")
    own = page.split(HEADING)[1].split("\n## ")[0]
    before, *parts = re.split(r"^\*\*`(\w+)`\*\*", own, flags=re.MULTILINE)
    if kind is Settings:
        return before
    return dict(zip(parts[::2], parts[1::2], strict=True))[PART_OF[kind.__name__]]


def _told(default: object) -> str:
    """A default as the page writes it."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int | float):
        return f"{default:g}" if default < 10_000 else str(default)
    return f"`{default}`"


@pytest.mark.parametrize(("kind", "field"), KEYS, ids=lambda one: getattr(one, "__name__", None))
def test_setting_is_documented_with_its_default(
    checkout: Path, kind: type, field: msgspec.structs.FieldInfo
) -> None:
    text = _section(checkout, kind)
    if PART_OF.get(kind.__name__) in INLINE:
        assert re.search(rf"\b{field.name}\b", text)
        return
    rows = [line for line in text.splitlines() if f"`{field.name}`" in line.split(" | ")[0]]
    assert rows, f"no row tells of {field.name}"
    default = field.default
    if isinstance(default, bool | int | float | str):
        assert rows[0].split(" | ")[1] == _told(default)


def test_every_part_of_the_settings_has_its_place_on_the_page() -> None:
    kinds = {kind.__name__ for kind, _ in KEYS}
    assert kinds == {*PART_OF, "Settings"}


def test_page_names_no_setting_that_does_not_exist(checkout: Path) -> None:
    for kind in {kind for kind, _ in KEYS}:
        known = set(kind.__struct_fields__)
        for line in _section(checkout, kind).splitlines():
            first = line.split(" | ")[0]
            if line.startswith("| `"):
                assert set(re.findall(r"`(\w+)`", first)) <= known


def test_example_of_the_page_is_read_as_it_stands(checkout: Path, tmp_path: Path) -> None:
    own = (checkout / "docs" / "configuration.md").read_text("utf-8").split(HEADING)[1]
    example = own.split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "gateway.yaml"
    target = "targets: {a: {url: http://127.0.0.1:1/v1}}\nmodels: {m: a}\n"
    path.write_text(example + target, "utf-8")
    config = read_config(path)
    assert len(config.limits) == 2
    assert [budget.kind for budget in config.budgets] == ["hard", "soft"]


def test_example_of_the_readme_is_read_as_it_stands(checkout: Path, tmp_path: Path) -> None:
    blocks = (checkout / "README.md").read_text("utf-8").split("```yaml\n")[1:]
    examples = [text for block in blocks if "targets:" in (text := block.split("```")[0])]
    assert len(examples) == 1
    path = tmp_path / "gateway.yaml"
    path.write_text(examples[0], "utf-8")
    assert [rule.name for rule in read_config(path).policy.rules][-1] == "models.gpt-4o"


def test_page_says_what_waits_for_a_restart(checkout: Path) -> None:
    rows = [line.split(" | ") for line in _section(checkout, Settings).splitlines()]
    waits = {row[0].strip("| `") for row in rows if row[-1].strip(" |") == "restart"}
    assert waits == set(FIXED)
