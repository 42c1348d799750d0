from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from weighbridge.cli.keys import keys
from weighbridge.gateway.key_store import KeyStore


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(keys, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.stdout.splitlines()) <= 100 or "--json" in words
    return result


def test_a_key_is_shown_once_and_never_listed(tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    terms = ("--model", "gpt-*", "--rpm", "60", "--budget", "50/month", "--expires", "2999-01-01")
    text = run("create", store, "--tenant", "acme", "--id", "one", *terms).stdout.strip()
    assert text.startswith("wb-one-")
    assert KeyStore(store).load().find(text.encode()) is not None
    for words in (("list", store), ("list", store, "--json")):
        output = run(*words).output
        assert "acme" in output
        assert text not in output
        assert text.removeprefix("wb-one-") not in output


def test_rotate_and_revoke_show_in_the_list(tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    first = json.loads(run("create", store, "--tenant", "acme", "--id", "a", "--json").stdout)
    second = json.loads(run("rotate", store, "a", "--grace-hours", "0", "--json").stdout)
    assert first["key"] != second["key"]
    assert KeyStore(store).list()[0].old_digests[0].until_at > 0
    assert "a of acme is revoked" in run("revoke", store, "a").output
    rows = json.loads(run("list", store, "--json").stdout)
    assert [(row["id"], row["state"]) for row in rows] == [("a", "revoked")]


def test_many_wide_terms_fit_the_page(tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    models = [word for n in range(6) for word in ("--model", f"provider/some-long-model-name-{n}")]
    limits = ("--rpm", "100000", "--tpm", "10000000", "--concurrency", "1000")
    run("create", store, "--tenant", "a-tenant-with-a-long-name", *models, *limits)
    assert "1,000 at once" in " ".join(run("list", store).output.split())
