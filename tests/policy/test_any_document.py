"""Whatever a document holds, it is read or refused with an InputError; never anything else."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from weighbridge.policy.document import parse_yaml
from weighbridge.policy.litellm import from_litellm
from weighbridge.policy.litellm_deployments import READ_PARAMS
from weighbridge.policy.litellm_providers import PROVIDERS
from weighbridge.policy.matching import Matcher
from weighbridge.policy.notes import notes_on
from weighbridge.policy.reading import read_policy
from weighbridge.policy.rules import MATCH_FIELDS, RULE_FIELDS
from weighbridge.policy.targets import TARGET_FIELDS
from weighbridge.policy.types import Facts
from weighbridge.units import InputError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**15),
    st.floats(),
    st.sampled_from(
        ("a", "b", "*", "a*", "env:X", "openai", "https://a.example/v1", "08:00", "mon")
    ),
    st.text(max_size=5),
)
INNER = (
    "kind",
    "env",
    "target",
    "weight",
    "min",
    "max",
    "from",
    "to",
    "days",
    "zone",
    "gpu",
    "path",
)
KEYS = st.sampled_from((*TARGET_FIELDS, *RULE_FIELDS, *MATCH_FIELDS, *INNER, "a", "b"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
TARGET = st.fixed_dictionaries(
    {"url": st.just("https://a.example/v1")},
    optional={name: VALUES for name in TARGET_FIELDS if name != "url"},
)
NAMES = st.lists(st.sampled_from(("a", "b")), min_size=1, max_size=2)
RULE = st.fixed_dictionaries(
    {"name": st.text(min_size=1, max_size=3), "targets": st.one_of(NAMES, VALUES)},
    optional={"match": VALUES, "fallback": st.one_of(NAMES, VALUES), "sticky": VALUES},
)
DOCUMENTS = st.fixed_dictionaries(
    {"targets": st.one_of(VALUES, st.fixed_dictionaries({"a": TARGET, "b": TARGET}))},
    optional={
        "rules": st.one_of(VALUES, st.lists(RULE, max_size=3)),
        "models": st.one_of(VALUES, st.dictionaries(st.text(max_size=4), NAMES, max_size=3)),
        "data_classes": st.one_of(VALUES, st.dictionaries(st.text(max_size=3), NAMES, max_size=2)),
    },
)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
@example({"targets": {"a": {"url": "http://[/v1"}}})
@example({"targets": {"a": {"url": "http://a/v1", "query": {"x": [1]}}}})
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        policy = read_policy(document, "x")
    except InputError:
        return
    notes_on(policy)
    if not Matcher(policy).needs_at:
        Matcher(policy).route(Facts("openai", "a"), 0.5)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-[]{}*&!<>|#'\"\n ?~%@`,.0", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        parse_yaml(text, "x")


MODELS = st.builds(
    "{}{}".format,
    st.sampled_from(("", "weird/", *(f"{name}/" for name in PROVIDERS))),
    st.sampled_from(("gpt-4o", "claude-3", "*", "a b", "x/y", "")),
)
PARAMS = st.fixed_dictionaries(
    {"model": MODELS}, optional=dict.fromkeys(sorted(READ_PARAMS - {"model"}), SCALARS)
)
GROUPS = st.one_of(st.sampled_from(("gpt-4o", "m", "*", "a*", "x y", "-")), st.text(max_size=4))
LITELLM = st.fixed_dictionaries(
    {
        "model_list": st.lists(
            st.fixed_dictionaries({"model_name": GROUPS, "litellm_params": PARAMS}), max_size=4
        )
    },
    optional={
        "router_settings": st.fixed_dictionaries(
            {},
            optional={
                "fallbacks": st.lists(
                    st.dictionaries(GROUPS, st.lists(GROUPS, max_size=2), max_size=2), max_size=2
                ),
                "model_group_alias": st.dictionaries(GROUPS, GROUPS, max_size=2),
                "num_retries": SCALARS,
                "timeout": SCALARS,
                "redis_host": SCALARS,
            },
        )
    },
)


@settings(max_examples=150, deadline=None)
@given(LITELLM)
def test_any_litellm_configuration_becomes_one_that_holds(document: dict[str, Any]) -> None:
    new, notes = from_litellm(document, {"X": "https://x.example/v1"})
    assert all(notes)
    if new["targets"]:
        read_policy(new, "converted")
