"""`docs/configuration.md` names every key that a policy may hold."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from weighbridge.policy.credentials import KINDS
from weighbridge.policy.document import parse_yaml
from weighbridge.policy.reading import POLICY_KEYS, read_policy
from weighbridge.policy.rules import MATCH_FIELDS, RULE_FIELDS
from weighbridge.policy.targets import TARGET_FIELDS
from weighbridge.policy.types import ActiveHealth, ProviderCaps, Saturation, SelfHosted, Timeouts

KINDS_OF_PART = (Timeouts, ProviderCaps, SelfHosted, Saturation, ActiveHealth)
PARTS = tuple(field.name for kind in KINDS_OF_PART for field in fields(kind))


def _page(checkout: Path) -> str:
    return (checkout / "docs" / "configuration.md").read_text("utf-8")


@pytest.mark.parametrize(
    "key", sorted({*POLICY_KEYS, *TARGET_FIELDS, *RULE_FIELDS, *MATCH_FIELDS, *PARTS, *KINDS})
)
def test_key_is_documented(checkout: Path, key: str) -> None:
    page = _page(checkout)
    assert any(f"{before}{key}" in page for before in ("`", "{", ", "))


def test_example_of_the_page_holds(checkout: Path) -> None:
    example = _page(checkout).split("```yaml\n")[1].split("```")[0]
    policy = read_policy(*_with_place(example))
    assert [rule.name for rule in policy.rules] == [
        "search goes inside",
        "models.gpt-4o",
        "models.*",
    ]


def _with_place(text: str) -> tuple[dict[str, object], str]:
    return parse_yaml(text, "configuration.md")[0], "configuration.md"


@pytest.mark.parametrize("kind", [Timeouts, ProviderCaps])
def test_defaults_of_the_page_are_those_of_the_code(checkout: Path, kind: type) -> None:
    page = _page(checkout)
    for field in fields(kind):
        if field.default is not None:
            assert f"| `{field.name}` | {field.default:g} |" in page
