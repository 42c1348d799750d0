"""The shortest way from YAML to a policy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weighbridge.policy.document import parse_yaml
from weighbridge.policy.reading import read_policy
from weighbridge.policy.types import Policy


def _policy_of(text: str) -> Policy:
    document, lines = parse_yaml(text, "gateway.yaml")
    return read_policy(document, "gateway.yaml", lines)


@pytest.fixture(scope="session")
def policy_of() -> Callable[[str], Policy]:
    """Reads a YAML text; faults are told as of `gateway.yaml`."""
    return _policy_of
