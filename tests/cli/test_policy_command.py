from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weighbridge.cli import weighbridge

CONFIG = """\
targets:
  api: {url: "https://api.example/v1"}
  fleet: {url: "http://fleet:8000/v1"}
  claude: {url: "https://claude.example/v1", dialect: anthropic}
rules:
  - {name: native, match: {model: "claude-*"}, targets: claude}
  - {name: night, match: {hours: {from: "22:00", to: "06:00"}}, targets: fleet}
  - {name: tooled, match: {tools: true}, targets: fleet}
  - {name: main, match: {tenant: acme}, targets: [{target: api, weight: 3}, fleet]}
data_classes: {pii: [fleet], public: "*"}
"""
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "say something private"}]}
NOON = ("--at", "2026-11-21T12:00+00:00")


@pytest.fixture
def explain(tmp_path: Path):
    def run(body: object, *words: str) -> Result:
        (tmp_path / "gateway.yaml").write_text(CONFIG)
        (tmp_path / "ask.json").write_text(body if isinstance(body, str) else json.dumps(body))
        paths = [str(tmp_path / "gateway.yaml"), "--request", str(tmp_path / "ask.json")]
        return CliRunner().invoke(weighbridge, ["policy", "explain", *paths, *words])

    return run


def test_table_tells_rule_target_and_why(explain) -> None:
    result = explain(ASK, "--tenant", "acme", "--data-class", "public", *NOON)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 100
    for part in (
        "model is gpt-4o, not claude-*",
        "Sat 2026-11-21 12:00 UTC is outside its hours",
        "the request has no tools",
        "Goes to api by rule main",
    ):
        assert part in result.output, part
    assert "private" not in result.output


def test_json_holds_the_same_decision(explain) -> None:
    words = ("--tenant", "acme", "--data-class", "pii", "--json", *NOON)
    told = json.loads(explain(ASK, *words).stdout)
    assert (told["rule"], told["route"], told["refused"]) == ("main", ["fleet"], None)
    assert told["rules"][1]["outcome"] == "no_match"
    assert told["targets"][0] == {
        "name": "api",
        "place": "target",
        "weight": 3.0,
        "order": None,
        "why": "data class pii may not go there",
    }


def test_draw_chooses_among_weighted_targets(explain) -> None:
    words = ("--tenant", "acme", "--data-class", "public", "--json", *NOON)
    assert json.loads(explain(ASK, *words, "--draw", "0.8").stdout)["route"] == ["fleet"]


def test_refusal_is_told(explain) -> None:
    result = explain(ASK, *NOON)
    assert result.exit_code == 0
    assert "Refused (data_class_missing)" in result.output


def test_messages_are_of_the_anthropic_api(explain) -> None:
    body = {**ASK, "model": "claude-sonnet", "max_tokens": 5}
    words = ("--endpoint", "messages", "--data-class", "public", "--json")
    assert json.loads(explain(body, *words).stdout)["route"] == ["claude"]


def test_instant_decides_the_hours(explain) -> None:
    words = ("--data-class", "public", "--json", "--at", "2026-11-21T23:00+00:00")
    assert json.loads(explain(ASK, *words).stdout)["rule"] == "night"


@pytest.mark.parametrize(
    ("body", "words", "told"),
    [
        ("{", (), "ask.json"),
        ({"messages": []}, (), "model"),
        (ASK, ("--at", "noon"), "is no instant"),
        (ASK, ("--at", "2026-11-21T12:00"), "has no offset"),
        (ASK, ("--draw", "1"), "--draw"),
    ],
)
def test_fault_of_the_caller_exits_two(
    explain, body: object, words: tuple[str, ...], told: str
) -> None:
    result = explain(body, *words)
    assert result.exit_code == 2
    assert told in result.stderr
