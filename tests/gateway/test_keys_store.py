from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from weighbridge.gateway.admission import Refusal, VirtualKey
from weighbridge.gateway.key_store import KeyBudget, KeyStore, KeyTerms, parse_budget
from weighbridge.units import InputError

AT = 1_800_000_000.0
TERMS = KeyTerms(
    tenant="acme",
    models=("gpt-*",),
    requests_per_minute=60,
    tokens_per_minute=1000,
    concurrency=4,
    budgets=(KeyBudget("50", "month"),),
    expires_at=AT + 100.0,
    tags=("x",),
    data_class="restricted",
    priority=3,
)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.json")


def test_a_created_key_opens_with_all_its_terms(store: KeyStore) -> None:
    made, text = store.create(TERMS, AT, "one")
    key = store.load().check(text.encode(), AT)
    assert isinstance(key, VirtualKey)
    assert (key.id, key.tenant, key.models, key.tags) == ("one", "acme", ("gpt-*",), ("x",))
    assert (key.data_class, key.priority, key.expires_at) == ("restricted", 3, AT + 100.0)
    assert [(one.scope, one.name, one.requests_per_minute) for one in key.limits] == [
        ("key", "one", 60)
    ]
    assert [(one.name, one.usd, one.period, one.kind) for one in key.budgets] == [
        ("one", "50", "month", "hard")
    ]
    assert made in store.list()


def test_the_file_holds_no_text_and_only_its_owner_reads_it(store: KeyStore) -> None:
    _, text = store.create(TERMS, AT)
    assert text.rsplit("-", 1)[-1] not in store.path.read_text()
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    store.path.chmod(0o644)
    store.create(TERMS, AT)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_rotated_text_opens_until_its_grace_ends(store: KeyStore) -> None:
    _, old = store.create(KeyTerms(tenant="acme"), AT, "one")
    _, new = store.rotate("one", 60.0, AT)
    ring = store.load()
    assert isinstance(ring.check(old.encode(), AT + 59.0), VirtualKey)
    late = ring.check(old.encode(), AT + 60.0)
    assert isinstance(late, Refusal)
    assert late.code == "key_expired"
    opened = ring.check(new.encode(), AT + 1e9)
    assert isinstance(opened, VirtualKey)
    assert opened is ring.by_id("one")


def test_grace_never_outlives_the_key(store: KeyStore) -> None:
    _, old = store.create(TERMS, AT, "one")
    store.rotate("one", 1e6, AT)
    assert isinstance(store.load().check(old.encode(), AT + 100.0), Refusal)


def test_texts_whose_grace_is_over_leave_the_file_at_the_next_rotation(store: KeyStore) -> None:
    store.create(KeyTerms(tenant="acme"), AT, "one")
    store.rotate("one", 10.0, AT)
    key, _ = store.rotate("one", 10.0, AT + 11.0)
    assert len(key.old_digests) == 1


def test_a_revoked_key_shuts_its_rotated_texts_too(store: KeyStore) -> None:
    _, old = store.create(KeyTerms(tenant="acme"), AT, "one")
    _, new = store.rotate("one", 60.0, AT)
    store.revoke("one")
    for text in (old, new):
        answer = store.load().check(text.encode(), AT)
        assert isinstance(answer, Refusal)
        assert answer.code == "key_revoked"
    with pytest.raises(InputError, match="is revoked"):
        store.rotate("one", 0.0, AT)


def test_writers_at_one_time_lose_nothing(store: KeyStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.create(KeyTerms(tenant="t"), AT), range(40)))
    ring = store.load()
    assert all(ring.find(text.encode()) is not None for _, text in made)
    assert json.loads(store.path.read_bytes())["revision"] == 40


def test_a_failed_creation_leaves_the_file_as_it_was(store: KeyStore) -> None:
    store.create(TERMS, AT, "one")
    before = store.path.read_bytes()
    for terms, name in ((TERMS, "one"), (TERMS, "A b"), (KeyTerms(tenant=""), "two")):
        with pytest.raises(InputError):
            store.create(terms, AT, name)
    assert store.path.read_bytes() == before


def edited(store: KeyStore, **changes: Any) -> None:
    store.create(TERMS, AT, "one")
    held = json.loads(store.path.read_bytes())
    held["keys"][0].update(changes)
    store.path.write_text(json.dumps(held))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"digest": "abc"}, "keys[0].digest: is no digest"),
        ({"digest": 5}, "keys[0].digest: Expected `str`, got `int`"),
        ({"id": "A-1"}, "keys[0].id: 'A-1' is no id"),
        ({"secret": "x"}, "keys[0]: Object contains unknown field `secret`"),
        ({"terms": {"tenant": ""}}, "keys[0].tenant: is empty"),
        ({"terms": {"tenant": "a", "concurrency": 0}}, "keys[0].concurrency: is 0"),
        (
            {"terms": {"tenant": "a", "budgets": [{"usd": "many", "period": "day"}]}},
            "keys[0].budgets: 'many' is no amount",
        ),
    ],
)
def test_a_broken_file_names_the_field(store: KeyStore, changes: dict[str, Any], told: str) -> None:
    edited(store, **changes)
    with pytest.raises(InputError) as caught:
        store.load()
    assert f"{store.path}: {told}" in str(caught.value)


def test_a_file_that_is_no_json_missing_or_of_another_format_says_so(store: KeyStore) -> None:
    with pytest.raises(InputError, match="no such file"):
        store.load()
    store.path.write_text('{"format": 1, "rev')
    with pytest.raises(InputError, match="is no JSON"):
        store.load()
    store.path.write_text('{"format": 9, "revision": 1, "keys": []}')
    with pytest.raises(InputError, match="format: is 9; this version reads 1"):
        store.load()


def test_a_digest_that_stands_twice_is_refused(store: KeyStore) -> None:
    store.create(TERMS, AT, "one")
    held = json.loads(store.path.read_bytes())
    held["keys"].append({**held["keys"][0], "id": "two"})
    store.path.write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"keys\[1\]: id or digest .* stands twice"):
        store.load()


@pytest.mark.parametrize("text", ["", "50", "50/year", "x/day", "-1/day", "5/day:firm", "nan/day"])
def test_a_budget_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text)


def test_a_key_that_would_never_open_is_not_made(store: KeyStore) -> None:
    for expires_at in (AT, AT - 1.0, float("nan")):
        with pytest.raises(InputError, match="expires_at: has passed already"):
            store.create(KeyTerms(tenant="acme", expires_at=expires_at), AT)
    assert not store.path.exists()


def test_a_missing_file_is_mended_by_the_whole_command(store: KeyStore) -> None:
    with pytest.raises(InputError) as told:
        store.load()
    assert told.value.mend == f"run: weighbridge keys create {store.path} --tenant NAME"
