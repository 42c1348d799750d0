"""The requests of a log are typed as its profile types them, none lost and none twice."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa

from weighbridge.ledger.record import COLUMNS
from weighbridge.study.typed_requests import typed_requests
from weighbridge.usage.profile import ProfileOptions, profile
from weighbridge.usage.store import SCHEMA, Ledger, open_ledger, write_table

MONDAY = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)


def row(n: int, **values: object) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys((c.name for c in COLUMNS), None)
    made: dict[str, object] = {
        "request_id": f"r{n}",
        "started_at": MONDAY + dt.timedelta(minutes=10 * n),
        "tenant": "acme",
        "model": "gpt-4o",
        "provider": "openai",
        "status": "ok",
        "uncached_input_tokens": 100 + n,
        "cache_read_tokens": 7,
        "cache_write_tokens": 3,
        "output_tokens": 20,
        "reasoning_tokens": 0,
        "price_state": "priced",
        "list_cost_usd": Decimal("0.01"),
        "import_id": "i",
    }
    return empty | made | values


def ledger(folder: Path, rows: list[dict[str, object]]) -> Ledger:
    write_table(folder, pa.Table.from_pylist(rows, SCHEMA))
    return open_ledger(folder)


def test_every_answered_request_has_the_type_that_the_profile_counts_it_in(tmp_path: Path) -> None:
    names = [("a", "x"), ("a", "y"), ("b", "x"), (None, None), ("b", None)]
    rows = [
        row(n, feature=names[n % 5][0], template=names[n % 5][1], status="ok" if n % 7 else "error")
        for n in range(70)
    ]
    made = ledger(tmp_path / "usage", rows)
    types = profile(made, ProfileOptions()).query_types
    found = typed_requests(made, types, ("feature", "template"))
    assert found.n_requests == 60
    for i, one in enumerate(types):
        mine = found.of_types((i,))
        assert mine.n_requests == one.n_requests - one.n_failed
    assert found.arrival_s[0] == 0
    assert found.first_at == MONDAY + dt.timedelta(minutes=10)  # the first that was answered
    assert found.fresh_tokens[0] == 100 + 1 + 3
    assert set(found.cached_tokens) == {7}


def test_types_beyond_the_largest_are_one_type_together(tmp_path: Path) -> None:
    rows = [row(n, feature=f"f{n % 6}", template="t") for n in range(60)]
    made = ledger(tmp_path / "usage", rows)
    types = profile(made, ProfileOptions(top_types=2)).query_types
    found = typed_requests(made, types, ("feature", "template"))
    counts = np.bincount(found.type_index, minlength=len(types))
    assert counts.tolist() == [t.n_requests for t in types]
    assert len(types) == 3


def test_tenants_stand_in_where_nothing_names_a_query_type(tmp_path: Path) -> None:
    rows = [row(n, tenant="acme" if n % 3 else "globex") for n in range(30)]
    made = ledger(tmp_path / "usage", rows)
    types = profile(made, ProfileOptions()).query_types
    found = typed_requests(made, types, ("feature", "template"))
    assert [t.tenant for t in types] == ["acme", "globex"]
    assert np.bincount(found.type_index).tolist() == [20, 10]


def test_requests_that_no_type_holds_have_none(tmp_path: Path) -> None:
    rows = [row(n, feature="f", template="t" if n % 2 else "u") for n in range(10)]
    made = ledger(tmp_path / "usage", rows)
    types = profile(made, ProfileOptions()).query_types
    found = typed_requests(made, types[:1], ("feature", "template"))
    assert sorted(found.type_index.tolist()) == [-1] * 5 + [0] * 5
    assert found.of_types((0,)).n_requests == 5
