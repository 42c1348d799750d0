"""Bodies on their way upstream."""

import json
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.dialects import asking
from weighbridge.gateway.dialects.ask import Ask, AskError
from weighbridge.gateway.dialects.asking import read_ask
from weighbridge.gateway.dialects.rewriting import rewrite

PLAIN = b'{"model":"a","messages":[{"role":"user","content":"the \\"model\\""}],"stream":true}'


def test_nothing_to_change_is_the_same_object() -> None:
    ask = read_ask("chat", PLAIN)
    assert rewrite(ask, PLAIN, None, False) is PLAIN
    assert rewrite(ask, PLAIN, "a", False) is PLAIN


def test_python_spacing_is_plain_too() -> None:
    body = json.dumps({"model": "a", "x": {"model": [1, {"y": 2}]}, "z": "é"}).encode()
    assert rewrite(read_ask("chat", body), body, None, False) is body


def test_model_is_replaced_and_the_rest_is_untouched() -> None:
    body = b'{"seed":123456789012345678901,"model":"a","t":1.0,"x":"\\u00e9 \\/ \xc3\xa9"}'
    out = rewrite(read_ask("chat", body), body, 'b"é', False)
    assert out == body.replace(b'"model":"a"', '"model":"b\\"é"'.encode())


def test_usage_is_asked_for() -> None:
    out = rewrite(read_ask("chat", PLAIN), PLAIN, None, True)
    assert out == PLAIN[:-1] + b',"stream_options":{"include_usage":true}}'


def test_other_stream_options_are_kept() -> None:
    body = b'{"model":"a","stream":true,"stream_options":{"x":1.0,"include_usage":false}}'
    out = rewrite(read_ask("chat", body), body, None, True)
    assert out == body.replace(b"false", b"true")
    nothing = b'{"model":"a","stream":true,"stream_options":null}'
    out = rewrite(read_ask("chat", nothing), nothing, None, True)
    assert out == nothing.replace(b"null", b'{"include_usage":true}')


def test_usage_that_the_client_asked_for_changes_nothing() -> None:
    body = b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}'
    assert rewrite(read_ask("chat", body), body, None, True) is body


def test_continuous_counts_are_asked_for() -> None:
    body = b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}'
    out = rewrite(read_ask("chat", body), body, None, True, add_continuous=True)
    assert json.loads(out)["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }


@pytest.mark.parametrize("endpoint", ["responses", "messages", "embeddings"])
def test_only_chat_and_completions_are_asked_for_usage(endpoint: str) -> None:
    ask = read_ask(endpoint, PLAIN)  # type: ignore[arg-type]
    assert rewrite(ask, PLAIN, None, True) is PLAIN


def test_answers_that_do_not_stream_are_not_asked_for_usage() -> None:
    body = b'{"model":"a"}'
    assert rewrite(read_ask("chat", body), body, None, True) is body


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b'{"model":"a","model":"b"}', b'{"model":"b"}'),
        (b'{"mod\\u0065l":"b"}', b'{"model":"b"}'),
        (b'{"model":"a","mod\\u0065l":"b"}', b'{"model":"b"}'),
        (b'{"model":"b","Model":"evil"}', b'{"model":"b"}'),
        (b'{"MODEL":"evil","model":"b","x":1}', b'{"model":"b","x":1}'),
        (b'{"model":"b","max_tokens":9,"max_tokens":1}', b'{"model":"b","max_tokens":1}'),
        ('{"model":"b","\u017ftream":true}'.encode(), b'{"model":"b"}'),
        (b'{ "model" : "b" }', b'{"model":"b"}'),
        (b'{"model":"b","a":1, "a":2}', b'{"model":"b","a":2}'),
        (b'{"model":"b","a":1,"model":"bb", "c":2}', b'{"model":"bb","a":1,"c":2}'),
    ],
)
def test_ambiguous_body_is_put_together_from_what_was_read(body: bytes, seen: bytes) -> None:
    assert rewrite(read_ask("chat", body), body, None, False) == seen


def test_unreadable_body_of_another_endpoint_passes() -> None:
    assert rewrite(Ask("other", ""), b"--boundary", None, True) == b"--boundary"
    with pytest.raises(AskError):
        rewrite(Ask("chat", "m"), b"[", None, False)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def _plain(body: bytes) -> dict[str, object]:
    """The oracle: Python's parser, which refuses to see a key twice."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    said = json.loads(body, object_pairs_hook=once)
    assert isinstance(said, dict)
    return said


@given(
    before=st.lists(st.tuples(st.sampled_from(["model", "n", "x", "yé"]), VALUES), max_size=4),
    model=st.text(min_size=1, max_size=5),
    spaced=st.booleans(),
    ascii_only=st.booleans(),
    other=st.none() | st.text(min_size=1, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_upstream_sees_the_model_decided_on_and_each_key_once(
    before: list[tuple[str, object]], model: str, spaced: bool, ascii_only: bool, other: str | None
) -> None:
    comma, colon = (", ", ": ") if spaced else (",", ":")
    pairs = [
        f"{json.dumps(key, ensure_ascii=ascii_only)}{colon}"
        f"{json.dumps(value, ensure_ascii=ascii_only, separators=(comma, colon))}"
        for key, value in [*before, ("model", model)]
    ]
    body = ("{" + comma.join(pairs) + "}").encode("utf-8", "surrogatepass")
    ask = Ask("chat", model)
    out = rewrite(ask, body, other, False)
    expected = dict(json.loads(body))
    expected["model"] = other or model
    keys = [key for key, _ in before]
    assert {**_plain(out)} == expected
    if other in {None, model} and len({*keys, "model"}) == len(keys) + 1 and "yé" not in keys:
        assert out is body


SAID = st.lists(
    st.tuples(
        st.sampled_from(["model", "stream", "n", "tools", "user", "Model", "messages", "x"]),
        st.sampled_from(
            [
                '"m"',
                "true",
                "1",
                "[]",
                '"a, \\"model\\": \\"b\\""',
                '{"model": "b", "n": 2}',
                "null",
            ]
        ),
    ),
    max_size=6,
)


@given(said=SAID, spaced=st.booleans(), stream=st.booleans(), model=st.sampled_from([None, "up"]))
@settings(max_examples=300, deadline=None)
def test_a_large_body_taken_apart_once_is_read_and_rewritten_as_one_taken_apart_twice(
    said: list[tuple[str, str]], spaced: bool, stream: bool, model: str | None
) -> None:
    colon, comma = (": ", ", ") if spaced else (":", ",")
    fields = [
        ("model", '"m"'),
        ("messages", json.dumps([{"role": "user", "content": "a word " * 4000}])),
        *said,
        ("stream", "true" if stream else "false"),
    ]
    body = ("{" + comma.join(f'"{name}"{colon}{value}' for name, value in fields) + "}").encode()
    with mock.patch.object(asking, "_LARGE_BYTES", 1 << 30):
        try:
            twice: Ask | str = asking.read_ask("chat", body)
        except AskError as error:
            twice = str(error)
    try:
        once: Ask | str = asking.read_ask("chat", body)
    except AskError as error:
        once = str(error)
    has_each_once = len({name for name, _ in fields}) == len(fields)
    assert once == twice or not has_each_once  # what the last one replaces may be of any type
    if isinstance(once, Ask) and isinstance(twice, Ask):
        assert (once.fields is None, twice.fields) == (False, None)
        assert once == twice
        expected = rewrite(twice, body, model, True)
        assert rewrite(once, body, model, True) == expected
        assert rewrite(once, body, model, True) == expected  # a second target is sent the same
        plain = has_each_once and b'"Model"' not in body
        assert (rewrite(once, body, None, False) is body) is plain


def test_what_is_kept_of_a_large_body_is_not_shown() -> None:
    ask = asking.read_ask("chat", b'{"model":"m","messages":"' + b"secret" * 4000 + b'"}')
    assert "secret" not in repr(ask)
