"""A version changes with what a policy does, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weighbridge.policy.types import Policy

Read = Callable[[str], Policy]
A = "  a: {url: 'https://a.example/v1', caps: {concurrency: 2, queue_size: 3}}\n"
B = "  b: {url: 'http://b/v1', self_hosted: {gpu: l4, n_gpus: 1, usd_per_gpu_hour: 2.50}}\n"
RULES = "rules:\n  - {name: x, match: {tenant: [t, u]}, targets: a}\n  - {name: y, targets: b}\n"


@pytest.mark.parametrize(
    "text",
    [
        f"targets:\n{B}{A}{RULES}",
        f"{RULES}targets:\n{A}{B}",
        f"targets:\n{A}{B}{RULES}".replace("[t, u]", "[u, t]"),
        f"targets:\n{A}{B}{RULES}".replace("2.50", "2.5"),
        f"targets:\n{A}{B}{RULES}".replace(
            "{concurrency: 2, queue_size: 3}", "{queue_size: 3, concurrency: 2}"
        ),
        f"targets:\n{A}{B}{RULES}".replace("targets: b", "targets: [{target: b, weight: 1.0}]"),
        f"listen: other\ntargets:\n{A}{B}{RULES}",
    ],
)
def test_order_and_spelling_keep_the_version(policy_of: Read, text: str) -> None:
    assert policy_of(text).version == policy_of(f"targets:\n{A}{B}{RULES}").version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("concurrency: 2", "concurrency: 4"),
        ("tenant: [t, u]", "tenant: [t]"),
        ("name: x", "name: z"),
        ("targets: b", "targets: b, fallback: [a]"),
        ("2.50", "2.51"),
    ],
)
def test_any_difference_makes_another_version(policy_of: Read, old: str, new: str) -> None:
    text = f"targets:\n{A}{B}{RULES}"
    assert policy_of(text).version != policy_of(text.replace(old, new)).version


def test_order_of_rules_makes_another_version(policy_of: Read) -> None:
    first, second = RULES.splitlines()[1:]
    swapped = f"targets:\n{A}{B}rules:\n{second}\n{first}\n"
    assert policy_of(swapped).version != policy_of(f"targets:\n{A}{B}{RULES}").version


def test_version_is_twelve_hex_digits_and_the_same_in_every_process(policy_of: Read) -> None:
    version = policy_of(f"targets:\n{A}{B}{RULES}").version
    assert len(version) == 12
    assert int(version, 16) >= 0
