"""Hand-made studies, one for each shape that a report may meet."""

import importlib.util
from pathlib import Path

import pytest

MAKER = Path(__file__).resolve().parents[1] / "report" / "make_study.py"


def _variants():
    spec = importlib.util.spec_from_file_location("weighbridge_made_studies", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: make() for name, make in module.VARIANTS.items()}


@pytest.fixture(scope="session")
def studies():
    return _variants()


@pytest.fixture
def study(studies):
    return studies["full"]
