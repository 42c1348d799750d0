"""What is easily misread in a log, for the sources that tell of single requests."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.usage.made_imports import GOLDEN, imported, stored_rows

from weighbridge.units import InputError

Row = dict[str, Any]
Change = Callable[[Row], None]


def setter(*path: str | int, value: Any) -> Change:
    def change(row: Row) -> None:
        at: Any = row
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


def attribute(name: str, value: Any) -> Change:
    """Set an attribute of a line's first span, or remove it where the value is None."""

    def change(row: Row) -> None:
        span = row["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        span["attributes"] = [one for one in span["attributes"] if one["key"] != name]
        if value is not None:
            span["attributes"].append({"key": name, "value": value})

    return change


def span(name: str, value: Any) -> Change:
    return setter("resourceSpans", 0, "scopeSpans", 0, "spans", 0, name, value=value)


INPUT = {
    "langfuse": lambda v: setter("usage_details", "input", value=v),
    "bedrock": lambda v: setter("input", "inputTokenCount", value=v),
    "otel-genai": lambda v: attribute("gen_ai.usage.input_tokens", {"stringValue": v}),
    "litellm-payload": lambda v: setter("prompt_tokens", value=v),
}
STARTED = {
    "langfuse": lambda v: setter("start_time", value=v),
    "bedrock": lambda v: setter("timestamp", value=v),
    "otel-genai": lambda v: span("startTimeUnixNano", v),
    "litellm-payload": lambda v: setter("startTime", value=v),
}
BAD_INPUTS = {
    "-5": "is negative",
    "1.000": "is written as another country writes numbers",
    "1.234,5": "is written as another country writes numbers",
    "many": "is not a number",
    "99999999999999": "is impossibly large",
}


def changed(source: str, change: Change, folder: Path, at: int = 0) -> Path:
    lines = (GOLDEN / f"{source}.jsonl").read_text().splitlines()
    row = json.loads(lines[at])
    change(row)
    lines[at] = json.dumps(row)
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "log.jsonl"


def reasons(source: str, change: Change, folder: Path, at: int = 0) -> dict[str, int]:
    report = imported(folder / "l", source, changed(source, change, folder, at))
    return dict(report.manifests[0].rejected_by_reason)


@pytest.mark.parametrize("value", BAD_INPUTS)
@pytest.mark.parametrize("source", INPUT)
def test_a_count_that_cannot_be_is_rejected(source: str, value: str, tmp_path: Path) -> None:
    found = reasons(source, INPUT[source](value), tmp_path)
    assert found == {f"input_tokens: {BAD_INPUTS[value]}": 1}


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("langfuse", "2126-01-01 00:00:00", "lies in the future"),
        ("langfuse", "yesterday", "is not a date and time"),
        ("langfuse", 1790841600000, "is a number without a unit"),
        ("bedrock", "2026-10-01T08:00:00", "has no time zone"),
        ("bedrock", 1790841600000, "is a number without a unit"),
        ("bedrock", None, "is missing"),
        ("otel-genai", "1790841600000", "lies before 2015"),  # milliseconds for nanoseconds
        ("otel-genai", "1790841600000000", "lies before 2015"),  # microseconds
        ("otel-genai", "17908416000000000000", "is not a date and time"),
        ("litellm-payload", 1790841600000.5, "is not a date and time"),  # milliseconds for seconds
        ("litellm-payload", 4102444800.5, "lies in the future"),
        ("litellm-payload", None, "is missing"),
    ],
)
def test_an_instant_in_another_unit_or_without_a_zone_is_rejected(
    source: str, value: Any, reason: str, tmp_path: Path
) -> None:
    found = reasons(source, STARTED[source](value), tmp_path)
    assert found in ({f"started_at: {reason}": 1}, {"started_at: lies in the future": 1})
    assert f"started_at: {reason}" in found or value == 1790841600000.5


@pytest.mark.parametrize(
    ("source", "change", "at", "missing"),
    [
        ("langfuse", setter("usage_details", value={}), 0, "input_tokens"),
        ("langfuse", setter("usage_details", value={"input": 5}), 0, "output_tokens"),
        ("bedrock", setter("output", value={}), 0, "output_tokens"),
        ("otel-genai", attribute("gen_ai.usage.output_tokens", None), 4, "output_tokens"),
        ("otel-genai", attribute("gen_ai.usage.input_tokens", None), 4, "input_tokens"),
        ("litellm-payload", setter("completion_tokens", value=None), 0, "output_tokens"),
    ],
)
def test_an_answer_without_its_usage_is_no_answer_of_nothing(
    source: str, change: Change, at: int, missing: str, tmp_path: Path
) -> None:
    assert reasons(source, change, tmp_path, at) == {f"{missing}: is missing": 1}


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("otel-genai", attribute("gen_ai.usage.cache_read.input_tokens", {"intValue": "1001"})),
        (
            "litellm-payload",
            setter("metadata", "usage_object", value={"cache_read_input_tokens": 1001}),
        ),
    ],
)
def test_more_cached_than_input_is_rejected_where_input_contains_it(
    source: str, change: Change, tmp_path: Path
) -> None:
    found = reasons(source, change, tmp_path)
    assert found == {"cache_read_tokens: cached tokens are above input tokens": 1}


def test_more_cached_than_input_is_usual_where_it_is_counted_apart(tmp_path: Path) -> None:
    assert reasons("bedrock", setter("input", "inputTokenCount", value=1), tmp_path) == {}
    assert stored_rows(tmp_path / "l")[0]["uncached_input_tokens"] == 1


@pytest.mark.parametrize("source", INPUT)
def test_an_id_with_other_content_is_rejected_and_with_the_same_is_a_duplicate(
    source: str, tmp_path: Path
) -> None:
    lines = (GOLDEN / f"{source}.jsonl").read_text().splitlines()
    other = json.loads(lines[0])
    INPUT[source]("777")(other)
    (tmp_path / "log.jsonl").write_text("\n".join([lines[0], json.dumps(other), lines[0]]) + "\n")
    report = imported(tmp_path / "l", source, tmp_path / "log.jsonl")
    assert report.total("rows_stored") == 1
    assert report.total("rows_duplicate") == 1
    assert report.rejected_by_reason() == {
        "request_id: the id was seen before, with other content": 1
    }


@pytest.mark.parametrize(
    ("source", "lines"), [("langfuse", slice(1, 3)), ("otel-genai", slice(6, None))]
)
def test_a_log_without_a_single_request_is_refused(
    source: str, lines: slice, tmp_path: Path
) -> None:
    text = (GOLDEN / f"{source}.jsonl").read_text().splitlines()
    rows = text[lines] if source == "langfuse" else text[-1:]
    (tmp_path / "log.jsonl").write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match="none of which is a request to a model"):
        imported(tmp_path / "l", source, tmp_path / "log.jsonl")
    assert not (tmp_path / "l").exists()


def test_spans_of_one_request_in_two_files_count_once(tmp_path: Path) -> None:
    lines = (GOLDEN / "otel-genai.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_text("".join(lines[:2]))
    (tmp_path / "b.jsonl").write_text("".join(lines[2:]))
    imported(tmp_path / "l", "otel-genai", tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    expected = json.loads((GOLDEN / "otel-genai.jsonl.expected.json").read_text())["rows"]
    found = [row["request_id"] for row in stored_rows(tmp_path / "l")]
    assert found == [row["request_id"] for row in expected]


def test_traces_of_langfuse_are_told_from_its_observations(tmp_path: Path) -> None:
    row = {"id": "t", "timestamp": "2026-10-01T08:00:00Z", "name": "n", "userId": None}
    (tmp_path / "traces.jsonl").write_text(json.dumps(row | {"sessionId": None, "tags": []}) + "\n")
    with pytest.raises(InputError, match="is langfuse-traces"):
        imported(tmp_path / "l", "langfuse", tmp_path / "traces.jsonl")


def test_a_span_that_is_no_span_is_rejected_with_its_line(tmp_path: Path) -> None:
    text = (GOLDEN / "otel-genai.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(text + '{"resourceSpans": [7]}\n[1]\n{"half": \n')
    report = imported(tmp_path / "l", "otel-genai", tmp_path / "log.jsonl")
    assert report.manifests[0].rejected_by_reason == {
        "started_at: is missing": 1,
        "is not a JSON object": 1,
        "is not JSON": 1,
    }
    assert [one.reject.line for one in report.quoted] == [9, 10, 11]


def test_a_bucket_of_packed_bedrock_logs_is_read_as_one(tmp_path: Path) -> None:
    lines = (GOLDEN / "bedrock.jsonl").read_bytes().splitlines(keepends=True)
    for hour, line in enumerate(lines):
        folder = tmp_path / "logs" / f"2026/10/01/{hour:02d}"
        folder.mkdir(parents=True)
        (folder / f"part-{hour}.json.gz").write_bytes(gzip.compress(line))
    imported(tmp_path / "l", "bedrock", tmp_path / "logs")
    imported(tmp_path / "m", "bedrock", GOLDEN / "bedrock.jsonl")
    apart, whole = stored_rows(tmp_path / "l"), stored_rows(tmp_path / "m")
    assert [row["request_id"] for row in apart] == [row["request_id"] for row in whole]


def test_a_converse_body_that_is_a_list_of_a_streams_events_spoils_no_row(tmp_path: Path) -> None:
    events = [{"metadata": {"metrics": {"latencyMs": 9}}}]
    change = setter("output", value={"outputBodyJson": events, "outputTokenCount": 7})
    assert reasons("bedrock", change, tmp_path) == {}
    assert "latency_s" not in stored_rows(tmp_path / "l")[0]
