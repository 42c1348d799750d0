"""Each kind of log from its golden file, the newer ones for ten days, through to a decision."""

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from weighbridge.study.decide import Run, decide
from weighbridge.study.scenario import Scenario
from weighbridge.usage.importing import ImportOptions, ImportRequest, import_logs
from weighbridge.usage.sources.table import read_column_map
from weighbridge.usage.store import open_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
DAYS = 10
_DAY_S = 86_400
_INSTANT = re.compile(r"2026-10-0([1-3])([T ])")
_SECONDS = re.compile(r"(179\d{7})")


def on_day(text: str, day: int) -> str:
    """The same rows some days later, under ids of their own."""
    text = _INSTANT.sub(lambda found: f"2026-10-{int(found[1]) + day:02d}{found[2]}", text)
    text = _SECONDS.sub(lambda found: str(int(found[1]) + day * _DAY_S), text)
    text = text.replace("5b8efff7", f"5b8eff{day:02d}")
    return re.sub(r"\b(gen|h|r|obs|req)-(\d)\b", rf"\1-{day}-\2", text)


def pages(text: str) -> str:
    return "".join(on_day(text, day) for day in range(0, DAYS, 3))


def hourly(text: str) -> str:
    found = [
        text.replace("T08:00:00Z", f"T{hour:02d}:00:00Z").replace(
            "T09:00:00Z", f"T{hour + 1:02d}:00:00Z"
        )
        for hour in (0, 8, 22)
    ]
    return "".join(on_day(one, day) for day in range(DAYS) for one in found)


def rows(text: str) -> str:
    return "".join(on_day(text, day) for day in range(DAYS))


def rows_under_a_header(text: str) -> str:
    head, _, body = text.partition("\n")
    return head + "\n" + rows(body)


def one_document(text: str, rows_key: str = "data") -> str:
    every = [row for day in range(DAYS) for row in json.loads(on_day(text, day))[rows_key]]
    return json.dumps({rows_key: every, "error": None})


def events(text: str) -> str:
    return one_document(text, "events")


def as_it_is(text: str) -> str:
    return text


CASES: dict[str, tuple[str, Callable[[str], str], ImportOptions]] = {
    "openai-usage.json": ("openai-usage", pages, ImportOptions()),
    "anthropic-usage.json": ("anthropic-usage", hourly, ImportOptions(tokens_per_request=1500)),
    "openrouter.csv": ("openrouter", rows_under_a_header, ImportOptions()),
    "helicone.jsonl": ("helicone", rows, ImportOptions()),
    "helicone.json": ("helicone", one_document, ImportOptions()),
    "helicone.csv": ("helicone", rows_under_a_header, ImportOptions()),
    "litellm-payload.jsonl": ("litellm-payload", rows, ImportOptions()),
    "langfuse.jsonl": ("langfuse", rows, ImportOptions()),
    "langfuse.json": ("langfuse", one_document, ImportOptions()),
    "langfuse.csv": ("langfuse", rows_under_a_header, ImportOptions()),
    "bedrock.jsonl": ("bedrock", rows, ImportOptions()),
    "bedrock-cloudwatch.json": ("bedrock", events, ImportOptions()),
    "otel-genai.jsonl": ("otel-genai", rows, ImportOptions()),
    "otel-genai-sdk.json": ("otel-genai", rows, ImportOptions()),
    "burstgpt.csv": ("burstgpt", as_it_is, ImportOptions()),
    "azure-llm-2024.csv": ("azure-llm-2024", as_it_is, ImportOptions()),
    "litellm.jsonl": ("litellm", as_it_is, ImportOptions()),
    "azure-llm-2023.csv": ("azure-llm-2023", as_it_is, ImportOptions()),
    "mooncake.jsonl": ("mooncake", as_it_is, ImportOptions()),
    "table.csv": ("csv", as_it_is, ImportOptions(read_column_map(GOLDEN / "table.map.yaml"))),
}


@pytest.mark.parametrize("name", CASES)
def test_a_golden_log_reaches_a_decision(name: str, tmp_path: Path) -> None:
    source, again, options = CASES[name]
    file = tmp_path / name
    file.write_text(again((GOLDEN / name).read_text(encoding="utf-8")), encoding="utf-8")
    report = import_logs(ImportRequest(source, (file,), tmp_path / "l", options), now=NOW)
    assert report.total("rows_rejected") == report.total("rows_duplicate") == 0
    run = Run(as_of=NOW.date(), n_draws=256, where="test")
    study = decide(Scenario(assume_model="gpt-4o-mini"), tmp_path / "l", run)
    assert study.profile is not None
    assert study.profile.span.n_requests == report.total("rows_stored")
    resolution_s = open_ledger(tmp_path / "l").time_resolution_s
    assert study.profile.time_resolution_s == resolution_s
    told = " ".join((*study.withheld, *(w.conclusion for w in study.profile.withheld)))
    assert ("spread of token lengths" in told) == (resolution_s is not None)
    assert study.verdict.headline
