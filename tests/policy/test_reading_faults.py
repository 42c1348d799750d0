"""What is refused, word for word; `REGOLD=1` writes tests/golden/policy/errors.txt anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from weighbridge.policy.types import Policy
from weighbridge.units import InputError

Read = Callable[[str], Policy]
GOLDEN = Path(__file__).parents[1] / "golden" / "policy" / "errors.txt"
SECRET = "sk-proj-do-not-print-me"
TARGETS = """\
targets:
  a: {url: "https://a.example/v1"}
  b: {url: "https://b.example/v1"}
  c: {url: "https://c.example/v1", dialect: anthropic}
"""

DOCUMENTS = {
    "key written twice": "targets:\n  a: {url: 'https://a.example/v1'}\n  a: {url: 'x'}\n",
    "not a mapping": "- targets\n",
    "not YAML": "targets: {a: [\n",
    "an alias that explodes": (
        "a: &a [1,2,3,4,5,6,7,8,9,10]\n"
        + "".join(
            f"{y}: &{y} [*{x},*{x},*{x},*{x},*{x},*{x},*{x},*{x}]\n"
            for x, y in zip("abcdef", "bcdefg", strict=True)
        )
    ),
    "an alias of itself": "a: &a [*a]\n",
    "an object": "a: !!python/object:os.system {}\n",
    "a key that is a list": "? [1, 2]\n: 3\n",
}

TARGET_FIELDS = {
    "no url": "dialect: openai",
    "url without scheme": "url: a.example/v1",
    "url with user": "url: https://me:pass@a.example/v1",
    "url with query": "url: https://a.example/v1?x=1",
    "url with a space": "url: https://a.exa mple/v1",
    "url with a bad port": "url: https://a.example:99999/v1",
    "unknown dialect": "url: https://a.example/v1\ndialect: openapi",
    "literal key": f"url: https://a.example/v1\nkey: {SECRET}",
    "literal key in env": f"url: https://a.example/v1\ncredential: {{kind: bearer, env: {SECRET}}}",
    "literal key as value": f"url: https://a.example/v1\ncredential: {{value: {SECRET}}}",
    "literal key as credential": f"url: https://a.example/v1\ncredential: {SECRET}",
    "literal key as api_key": f"url: https://a.example/v1\napi_key: {SECRET}",
    "secret in a header": f"url: https://a.example/v1\nheaders: {{Authorization: {SECRET}}}",
    "secret in the query": f"url: https://a.example/v1\nquery: api-key={SECRET}",
    "header over two lines": 'url: https://a.example/v1\nheaders: {x-a: "a\\r\\nb: c"}',
    "header of the wire": "url: https://a.example/v1\nheaders: {Host: b.example}",
    "env and file": "url: https://a.example/v1\ncredential: {kind: azure, env: A, file: /b}",
    "client with env": "url: https://a.example/v1\ncredential: {kind: client, env: A}",
    "caps misspelt": "url: https://a.example/v1\ncaps: {request_per_minute: 50}",
    "caps of other tools": "url: https://a.example/v1\ncaps: {rpm: 50}",
    "caps of zero": "url: https://a.example/v1\ncaps: {requests_per_minute: 0}",
    "caps as text": 'url: https://a.example/v1\ncaps: {concurrency: "8"}',
    "caps true": "url: https://a.example/v1\ncaps: {concurrency: true}",
    "timeout negative": "url: https://a.example/v1\ntimeouts: {stall_s: -1}",
    "timeout infinite": "url: https://a.example/v1\ntimeouts: {total_s: .inf}",
    "timeouts a number": "url: https://a.example/v1\ntimeouts: 30",
    "self-hosted without cost": "url: http://vllm:8000/v1\nself_hosted: {gpu: h100-sxm, n_gpus: 2}",
    "self-hosted for nothing": (
        "url: http://vllm:8000/v1\nself_hosted: {gpu: h100-sxm, n_gpus: 2, usd_per_gpu_hour: 0}"
    ),
    "saturation without metrics": (
        "url: http://vllm:8000/v1\n"
        "self_hosted: {gpu: l4, n_gpus: 1, usd_per_gpu_hour: 1, saturation: {waiting_requests: 4}}"
    ),
    "metrics without engine": (
        "url: http://vllm:8000/v1\nself_hosted: {gpu: l4, n_gpus: 1, usd_per_gpu_hour: 1, "
        'metrics_url: "http://vllm:8000/metrics"}'
    ),
    "usage above one": (
        "url: http://vllm:8000/v1\nself_hosted: {gpu: l4, n_gpus: 1, usd_per_gpu_hour: 1, engine: "
        'vllm, metrics_url: "http://vllm:8000/metrics", saturation: {kv_usage_frac: 90}}'
    ),
    "health without slash": "url: http://vllm:8000/v1\nhealth: {path: health}",
    "proxy over https": "url: https://a.example/v1\nproxy: https://proxy:3128",
}

RULES = {
    "no name": "rules:\n  - targets: a\n",
    "no targets": "rules:\n  - name: x\n",
    "rules a mapping": "rules: {name: x, targets: a}\n",
    "unknown target": "rules:\n  - {name: x, targets: [a, bb]}\n",
    "unknown fallback": "rules:\n  - {name: x, targets: a, fallback: [d]}\n",
    "target twice": "rules:\n  - {name: x, targets: [a, a]}\n",
    "name twice": "rules:\n  - {name: x, targets: a}\n  - {name: x, targets: b}\n",
    "two dialects": "rules:\n  - {name: x, targets: a, fallback: [c]}\n",
    "weight negative": "rules:\n  - {name: x, targets: [{target: a, weight: -1}, b]}\n",
    "weights all zero": "rules:\n  - {name: x, targets: [{target: a, weight: 0}]}\n",
    "weight in fallback": "rules:\n  - {name: x, targets: a, fallback: [{target: b, weight: 1}]}\n",
    "shadow": "rules:\n  - {name: x, targets: a, stage: shadow}\n",
    "unknown stage": "rules:\n  - {name: x, targets: a, stage: mooved}\n",
    "unknown sticky": "rules:\n  - {name: x, targets: a, sticky: users}\n",
    "match in the plural": "rules:\n  - {name: x, targets: a, match: {tenants: t}}\n",
    "match misspelt": "rules:\n  - {name: x, targets: a, match: {feture: t}}\n",
    "star within": "rules:\n  - {name: x, targets: a, match: {model: 'gpt-*-mini'}}\n",
    "tokens upside down": (
        "rules:\n  - {name: x, targets: a, match: {input_tokens: {min: 9, max: 3}}}\n"
    ),
    "flag as text": "rules:\n  - {name: x, targets: a, match: {tools: yes}}\n",
    "bad clock": "rules:\n  - {name: x, targets: a, match: {hours: {from: 8, to: '25:00'}}}\n",
    "bad day": "rules:\n  - {name: x, targets: a, match: {hours: {days: mon-fry}}}\n",
    "bad zone": "rules:\n  - {name: x, targets: a, match: {hours: {zone: Europe/Berln}}}\n",
    "no time": "rules:\n  - {name: x, targets: a, match: {hours: {from: '08:00', to: '08:00'}}}\n",
    "model to nowhere": "models: {gpt: aa}\n",
    "model without target": "models: {gpt: }\n",
    "class to nowhere": "data_classes: {pii: [d]}\n",
    "class of nothing": "data_classes: {pii: []}\n",
    "class of all and one": "data_classes: {pii: ['*', a]}\n",
    "class unknown": (
        "rules:\n  - {name: x, targets: a, match: {data_class: pij}}\ndata_classes: {pii: a}\n"
    ),
    "class with no way": (
        "rules:\n  - {name: x, targets: a, match: {data_class: pii}}\ndata_classes: {pii: b}\n"
    ),
}


def _cases() -> dict[str, str]:
    def as_target(text: str) -> str:
        return "targets:\n  gpt:\n" + "".join(f"    {line}\n" for line in text.splitlines())

    return {
        "no target at all": "models: {}\n",
        **DOCUMENTS,
        "target with a bad name": 'targets: {"my gpt": {url: "https://a.example/v1"}}\n',
        "target that is text": "targets: {gpt: https://a.example/v1}\n",
        "target that is a number": "targets: {gpt: 5}\n",
        **{name: as_target(text) for name, text in TARGET_FIELDS.items()},
        **{name: TARGETS + text for name, text in RULES.items()},
    }


def _told(read: Read, text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(text)
    return str(caught.value)


def _gold() -> dict[str, str]:
    sections = GOLDEN.read_text("utf-8").split("## ")[1:]
    return {name: text.strip() for name, _, text in (s.partition("\n") for s in sections)}


def test_golden_file_is_written_anew_only_when_asked(policy_of: Read) -> None:
    if os.environ.get("REGOLD"):
        told = [f"## {name}\n{_told(policy_of, text)}\n" for name, text in _cases().items()]
        GOLDEN.write_text("\n".join(told), "utf-8")
    assert list(_gold()) == list(_cases())


@pytest.mark.parametrize("name", list(_cases()))
def test_fault_is_told_word_for_word(policy_of: Read, name: str) -> None:
    assert _told(policy_of, _cases()[name]) == _gold()[name]


def test_no_error_quotes_a_secret() -> None:
    assert "do-not-print" not in GOLDEN.read_text("utf-8")


def test_faults_of_a_file_are_told_together_by_line(policy_of: Read) -> None:
    told = _told(
        policy_of,
        "targets:\n  a: {url: nowhere}\n  b: {}\nrules:\n  - {name: x, targets: [z, a]}\n",
    )
    lines = [line.split(":")[0] for line in told.splitlines() if not line.startswith("  ")]
    assert lines == ["gateway.yaml, line 2", "gateway.yaml, line 3", "gateway.yaml, line 5"]


def test_hundreds_of_faults_do_not_fill_the_screen(policy_of: Read) -> None:
    rules = "".join(f"  - {{name: r{i}, targets: nowhere}}\n" for i in range(300))
    told = _told(policy_of, f"{TARGETS}rules:\n{rules}")
    assert told.count("mend:") == 20
    assert told.endswith("and 280 more")
