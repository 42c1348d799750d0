"""Spans to rows, and which of several spans tells of a request."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.usage.spans import attributes_of, spans_of, told_twice


def row(own: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"record": "chat", "is_server": False, "has_usage": True, "status": "ok"}
    return {"id": own, "parent": parent, **told, **more}


def test_a_chain_of_requests_leaves_the_innermost_of_a_client() -> None:
    spans = [row("a"), row("b", "a", record="none"), row("c", "b"), row("d", "c", is_server=True)]
    assert told_twice(spans) == {"a", "d"}
    assert told_twice(reversed(spans)) == {"a", "d"}


@pytest.mark.parametrize("bare", [{"has_usage": False}, {"status": "error"}])
def test_an_inner_span_without_usage_or_answer_does_not_hide_an_outer_one_with(
    bare: dict[str, Any],
) -> None:
    assert told_twice([row("a"), row("b", "a", **bare)]) == {"b"}
    assert told_twice([row("a"), row("b", "a"), row("c", "b", **bare)]) == {"a", "c"}
    assert told_twice([row("a", is_server=True), row("b", "a", **bare)]) == {"b"}
    assert told_twice([row("a", **bare), row("b", "a", is_server=True)]) == {"a"}


def test_of_spans_that_all_lack_usage_the_innermost_is_left() -> None:
    assert told_twice([row("a", has_usage=False), row("b", "a", has_usage=False)]) == {"a"}


def test_of_servers_in_a_row_the_innermost_is_a_request() -> None:
    spans = [row("a", is_server=True), row("b", "a", is_server=True)]
    assert told_twice(spans) == {"a"}


def test_a_server_alone_is_a_request() -> None:
    assert told_twice([row("a", "gone", is_server=True)]) == frozenset()


def test_two_calls_under_one_framework_span_both_count() -> None:
    assert told_twice([row("a"), row("b", "a"), row("c", "a")]) == {"a"}


def test_calls_under_an_agent_or_a_tool_count_and_those_do_not_hide_them() -> None:
    spans = [row("a", record="invoke_agent"), row("t", "a", record="execute_tool"), row("c", "t")]
    assert told_twice(spans) == frozenset()


def test_spans_that_name_each_other_as_parent_end_the_search() -> None:
    assert told_twice([row("a", "b"), row("b", "a")]) <= {"a", "b"}
    assert told_twice([row("a", "a")]) == frozenset()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 11), st.booleans(), st.sampled_from(["chat", "none"]), st.booleans()
        ),
        max_size=12,
    )
)
def test_of_spans_above_each_other_one_is_left_and_none_is_lost(
    made: list[tuple[int, bool, str, bool]],
) -> None:
    spans = [
        row(
            str(n),
            str(parent) if parent < n else None,
            is_server=server,
            record=record,
            has_usage=used,
        )
        for n, (parent, server, record, used) in enumerate(made)
    ]
    above = {span["id"]: span["parent"] for span in spans}
    requests = {span["id"] for span in spans if span["record"] == "chat"}
    left = requests - told_twice(spans)

    def higher(own: str) -> set[str]:
        found = set()
        while (at := above[own]) is not None:
            found.add(at)
            own = at
        return found

    assert not any(higher(own) & left for own in left)
    for own in requests - left:
        assert higher(own) & left or any(own in higher(other) for other in left)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"intValue": "12"}, 12),
        ({"intValue": 12}, 12),
        ({"intValue": "-3"}, -3),
        ({"intValue": "1.000"}, "1.000"),
        ({"doubleValue": 0.5}, 0.5),
        ({"boolValue": True}, True),
        ({"stringValue": "a"}, "a"),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}, [1, "b"]),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}, {"k": 1}),
        ({}, None),
        (None, None),
        (7, None),
    ],
)
def test_typed_values_are_unwrapped(value: Any, found: Any) -> None:
    assert attributes_of([{"key": "n", "value": value}]) == {"n": found}


@pytest.mark.parametrize(
    ("line", "n_rows"),
    [
        ({"resourceSpans": []}, 0),
        ({"resourceSpans": [{"scopeSpans": [{"spans": []}]}]}, 0),
        ({"resourceSpans": 7}, 1),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [7, {}]}]}]}, 2),
        ({"scopeSpans": [{"spans": [{"traceId": "a", "spanId": "b"}]}]}, 1),
        ({"resourceMetrics": []}, 1),
        ({"unknown": 1}, 1),
    ],
)
def test_nothing_in_a_line_is_lost(line: dict[str, Any], n_rows: int) -> None:
    assert len(spans_of(json.dumps(line).encode())) == n_rows


def test_javascripts_kinds_are_numbered_otherwise_than_otlps() -> None:
    def of(span: dict[str, Any]) -> dict[str, Any]:
        return spans_of(json.dumps(span).encode())[0]

    base = {"traceId": "a", "attributes": {"gen_ai.usage.input_tokens": 1}}
    assert of({**base, "id": "b", "kind": 1, "timestamp": 5})["is_server"]
    assert not of({**base, "id": "b", "kind": 2, "timestamp": 5})["is_server"]
    assert of({**base, "spanId": "b", "kind": 2, "startTimeUnixNano": "5"})["is_server"]
    assert of({**base, "spanId": "b", "kind": "SPAN_KIND_SERVER"})["is_server"]
    found = of({**base, "id": "b", "parentSpanContext": {"spanId": "P"}, "timestamp": 5})
    assert (found["id"], found["parent"], found["started_at"]) == ("a-b", "a-p", 5)


@pytest.mark.parametrize(
    ("attributes", "record"),
    [
        ({"gen_ai.operation.name": "chat"}, "chat"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 1}, "invoke_agent"),
        ({"gen_ai.operation.name": "responses", "gen_ai.usage.input_tokens": 1}, "inference"),
        ({"gen_ai.operation.name": "rerank", "gen_ai.request.model": "m"}, "none"),
        ({"gen_ai.request.model": "m"}, "inference"),
        ({"http.request.method": "GET"}, "none"),
    ],
)
def test_only_calls_of_a_model_are_requests(attributes: dict[str, Any], record: str) -> None:
    span = {"traceId": "a", "spanId": "b", "attributes": attributes}
    assert spans_of(json.dumps(span).encode())[0]["record"] == record
