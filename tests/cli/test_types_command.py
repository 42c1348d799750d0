"""`weighbridge types`, from a gateway's spool to names that `profile` shows."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.usage.recognising.made import KEY, prompts

from weighbridge.cli import weighbridge
from weighbridge.ledger.lines import RequestLine, SketchLine
from weighbridge.ledger.prompt_shape import PromptShaper, SketchBudget
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.usage.compaction import compact
from weighbridge.usage.recognising.naming import type_names
from weighbridge.usage.recognising.stored import read_sketches
from weighbridge.usage.recognising.versions import read_types
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def spooled(folder: Path, *, broken: bool = False) -> tuple[Path, set[str]]:
    """A ledger made of a spool, as the gateway writes it; and the names that were sketched."""
    shaper, budget = PromptShaper(KEY), SketchBudget()
    writer = SpoolWriter(folder / "spool", worker="w0")
    sketched = set()
    for n, one in enumerate(prompts(300)):
        name = shaper.name(one.system, one.user)
        if budget.takes(name, n):
            is_new = budget.takes_system(name)
            for part in shaper.sketches(name, one.system, one.user, with_system=is_new):
                line = SketchLine(
                    fingerprint=part.fingerprint,
                    key_id=shaper.key_id,
                    segments=part.segments.hex(),
                )
                writer.append(encode_line(line))
                sketched.add(part.fingerprint)
        writer.append(
            encode_line(
                RequestLine(
                    request_id=f"r{n}",
                    started_at_us=int(NOW.timestamp() - 86_400 + n) * 10**6,
                    status="ok",
                    price_state="priced",
                    template=name if n % 10 else "by-hand",
                    model="gpt-4o-mini",
                    uncached_input_tokens=100,
                    output_tokens=10,
                    list_cost_pico_usd=10**9,
                )
            )
        )
    if broken:
        line = SketchLine(fingerprint="words of a prompt", key_id="0" * 8, segments="zz")
        writer.append(encode_line(line))
    writer.close()
    compact(folder / "spool", folder / "usage", now=NOW)
    return folder / "usage", sketched


def run(*arguments: object) -> str:
    result = CliRunner().invoke(weighbridge, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(weighbridge, [str(one) for one in arguments])
    assert result.exit_code == 2
    return result.output


def test_a_sketch_of_the_spool_comes_to_the_ledger_once(tmp_path: Path) -> None:
    usage, sketched = spooled(tmp_path)
    stored = read_sketches(open_ledger(usage).sketch_files)
    assert set(stored) == sketched
    assert {key_id for key_id, _ in stored.values()} == {PromptShaper(KEY).key_id}
    assert all(len(segments) % 4 == 0 for _, segments in stored.values())


def test_a_line_that_holds_more_than_hashes_is_rejected_and_kept_aside(tmp_path: Path) -> None:
    usage, sketched = spooled(tmp_path, broken=True)
    ledger = open_ledger(usage)
    assert set(read_sketches(ledger.sketch_files)) == sketched
    (manifest,) = ledger.manifests
    assert manifest.rejected_by_reason == {"segments: is no sketch of a prompt": 1}


def test_types_are_listed_named_and_shown_by_profile(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    before = json.loads(profile_json(usage, tmp_path))
    told = run("types", "--usage", usage, "--write", tmp_path / "names.yaml")
    assert "Version 1: 5 groups" in told
    assert "bear a client's own name" in told
    names = yaml.safe_load((tmp_path / "names.yaml").read_text())
    assert names == {"names": None}  # every line waits for its # to go
    text = (tmp_path / "names.yaml").read_text()
    first = text.split("  # type-", 1)[1].split(":", 1)[0]
    (tmp_path / "names.yaml").write_text(f"names: {{type-{first}: complaints}}")
    assert "complaints" in run("types", "--usage", usage, "--names", tmp_path / "names.yaml")
    after = json.loads(profile_json(usage, tmp_path))
    templates = {one["template"] for one in after["query_types"]}
    assert {"complaints", "by-hand"} <= templates
    assert len(templates) == 6
    assert len(before["query_types"]) > len(after["query_types"]) - 1
    (curve, _) = after["concentration"]
    assert curve["recognised_share_frac"] == pytest.approx(0.9)
    shown = run("profile", "--usage", usage)
    assert "90.0 % in types recognised by their prompts, not named by clients" in shown
    assert "a type split in two makes use look less concentrated than it is" in shown


def profile_json(usage: Path, folder: Path) -> str:
    run("profile", "--usage", usage, "--json", folder / "profile.json")
    return (folder / "profile.json").read_text()


def test_names_that_contradict_each_other_are_refused_and_not_kept(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    (tmp_path / "names.yaml").write_text("names: {type-nobody: a}")
    told = refused("types", "--usage", usage, "--names", tmp_path / "names.yaml")
    assert "names: type-nobody: there is no group type-nobody" in told
    assert not (usage / "query-types.yaml").exists()


def test_a_ledger_without_sketches_says_what_would_make_some(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    for manifest in (usage / "imports").glob("*.json"):
        told = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**told, "sketch_parts": []}))
    assert "no prompt of this ledger was sketched" in refused("types", "--usage", usage)


def test_the_digest_of_a_ledger_changes_with_its_types(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    before = open_ledger(usage).digest
    run("types", "--usage", usage)
    assert open_ledger(usage).digest != before


def edited(usage: Path, folder: Path) -> tuple[Path, dict[str, dict[str, object]]]:
    """A file with a name, a merge and a whole group split off, and what it says."""
    run("types", "--usage", usage)
    types = read_types(usage)
    assert types is not None
    one, two, three, four, _ = types.groups
    says: dict[str, dict[str, object]] = {
        "names": {one.id: 'a "name": #1\nü'},
        "merge": {"tickets: all": [two.id, three.id]},
        "split": {four.id: {"refunds": list(four.prefixes)}},
    }
    file = folder / "edited.yaml"
    file.write_text(yaml.safe_dump(says))
    return file, says


def test_names_merges_and_splits_survive_being_written_and_kept_again(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    file, says = edited(usage, tmp_path)
    run("types", "--usage", usage, "--names", file)
    kept = type_names(usage)
    run("types", "--usage", usage, "--write", tmp_path / "written.yaml")
    assert yaml.safe_load((tmp_path / "written.yaml").read_text()) == says
    types = read_types(usage)
    assert types is not None
    text = (tmp_path / "written.yaml").read_text()
    assert all(one.id in text for one in types.groups)
    assert "Note:" not in run("types", "--usage", usage, "--names", tmp_path / "written.yaml")
    assert type_names(usage) == kept


def test_writing_onto_a_file_that_says_the_same_sets_nothing_aside(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    file, says = edited(usage, tmp_path)
    run("types", "--usage", usage, "--names", file, "--write", file)
    assert yaml.safe_load(file.read_text()) == says
    assert not list(tmp_path.glob("*.bak*"))


def test_writing_onto_edits_that_are_not_in_use_yet_keeps_them_beside(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    file, says = edited(usage, tmp_path)
    for copy in ("edited.yaml.bak", "edited.yaml.bak2"):
        file.write_text(yaml.safe_dump(says))
        assert copy in run("types", "--usage", usage, "--write", file).replace("\n", "")
        assert yaml.safe_load((tmp_path / copy).read_text()) == says


def test_a_file_that_drops_kept_entries_says_which_and_leaves_the_old_one(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    file, says = edited(usage, tmp_path)
    run("types", "--usage", usage, "--names", file)
    (name,) = says["names"]
    (tmp_path / "one.yaml").write_text(f"names: {{{name}: other}}")
    told = run("types", "--usage", usage, "--names", tmp_path / "one.yaml")
    (merged,) = says["merge"].values()
    assert isinstance(merged, list)
    assert all(f"{one}: tickets: all" in told for one in merged)
    (split,) = says["split"]
    assert f"split of {split} at ~" in told
    assert "query-types.yaml.bak;" in told
    assert (usage / "query-types.yaml.bak").read_bytes() == file.read_bytes()
    again = run("types", "--usage", usage, "--names", tmp_path / "one.yaml")
    assert "Note:" not in again
    assert not (usage / "query-types.yaml.bak2").exists()


def test_a_kept_file_with_a_fault_is_set_aside_when_another_takes_its_place(tmp_path: Path) -> None:
    usage, _ = spooled(tmp_path)
    file, _ = edited(usage, tmp_path)
    (usage / "query-types.yaml").write_text("names: {type-nobody: a}")
    assert "had a fault" in run("types", "--usage", usage, "--names", file)
    assert "type-nobody" in (usage / "query-types.yaml.bak").read_text()
