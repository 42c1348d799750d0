"""What every room's tests share: where the checkout is, and the public data beside it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the checkout under test."""
    return ROOT


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """Public traces kept in a folder beside the checkout; the test skips where there is none."""
    folder = ROOT.parent / "shared" / "traces"
    if not folder.is_dir():
        pytest.skip("no ../shared/traces beside this checkout")
    return folder


@pytest.fixture(scope="session")
def recomputed(checkout: Path):
    """Every published rule of thumb, computed once for all tests."""
    from weighbridge.study.rules_of_thumb import recompute  # noqa: PLC0415  (numpy and the catalog)

    return recompute(checkout / "rules_of_thumb")
