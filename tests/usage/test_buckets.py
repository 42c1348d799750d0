"""Reports by bucket of time: spread, downloaded again, unfinished, and what is then told."""

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weighbridge.units import InputError, TooManyRejectsError
from weighbridge.usage import buckets
from weighbridge.usage.importing import ImportOptions, ImportReport, ImportRequest, import_logs
from weighbridge.usage.profile import ProfileOptions, profile
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 21, 12, 30, tzinfo=dt.UTC)
START = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
RESULT = {
    "input_tokens": 1000,
    "input_cached_tokens": 100,
    "output_tokens": 50,
    "num_model_requests": 10,
    "model": "gpt-4o-mini",
    "project_id": "p",
}


def bucket(start: dt.datetime, hours: float, *results: dict[str, Any]) -> dict[str, Any]:
    first = int(start.timestamp())
    made = [{**RESULT, **result} for result in results]
    return {"start_time": first, "end_time": first + int(3600 * hours), "results": made}


def run(
    folder: Path,
    found: Iterable[dict[str, Any]],
    name: str = "page.json",
    has_more: bool = False,
    **options: Any,
) -> ImportReport:
    page = {"object": "page", "data": list(found), "has_more": has_more}
    (folder / name).write_text(json.dumps(page))
    told = ImportOptions(**options)
    request = ImportRequest("openai-usage", (folder / name,), folder / "l", told)
    return import_logs(request, now=NOW)


def stored(folder: Path) -> list[dict[str, Any]]:
    parts = [pq.ParquetFile(name).read() for name in open_ledger(folder / "l").parquet_files]
    return pa.concat_tables(parts).sort_by("started_at").to_pylist()


def test_requests_cover_the_bucket_from_its_start_to_its_end(tmp_path: Path) -> None:
    run(tmp_path, [bucket(START, 1, {"num_model_requests": 3})])
    at = [row["started_at"] for row in stored(tmp_path)]
    assert at[0] == START
    assert abs(at[1] - START - dt.timedelta(minutes=30)) <= dt.timedelta(microseconds=1)
    assert at[2] == START + dt.timedelta(hours=1, microseconds=-1)


def test_a_single_request_stands_in_the_middle(tmp_path: Path) -> None:
    run(tmp_path, [bucket(START, 1, {"num_model_requests": 1})])
    assert [row["started_at"] for row in stored(tmp_path)] == [START + dt.timedelta(minutes=30)]


def test_the_first_requests_take_what_does_not_go_up(tmp_path: Path) -> None:
    run(tmp_path, [bucket(START, 1, {"output_tokens": 52})])
    assert [row["output_tokens"] for row in stored(tmp_path)] == [6, 6, *[5] * 8]


def test_a_row_of_many_requests_is_made_in_several_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, [bucket(START, 1, {}, {"model": "gpt-4o"})])
    (tmp_path / "cut").mkdir()
    monkeypatch.setattr(buckets, "ROWS_PER_TASK", 3)
    run(tmp_path / "cut", [bucket(START, 1, {}, {"model": "gpt-4o"})])
    names = ("request_id", "started_at", "uncached_input_tokens", "cache_read_tokens", "model")
    whole, cut = (
        sorted(tuple(row[name] for name in names) for row in stored(folder))
        for folder in (tmp_path, tmp_path / "cut")
    )
    assert whole == cut
    assert len(whole) == 20


def test_a_faulty_row_of_many_requests_is_rejected_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "ROWS_PER_TASK", 3)
    report = run(tmp_path, [bucket(START, 1, {}, {"input_cached_tokens": 1001, "model": "m"})])
    assert report.rejected_by_reason() == {
        "cache_read_tokens: cached tokens are above input tokens": 1
    }
    assert (report.total("rows_read"), report.total("rows_stored")) == (11, 10)


def test_the_same_bucket_downloaded_again_is_a_duplicate(tmp_path: Path) -> None:
    run(tmp_path, [bucket(START, 1, {})])
    later = bucket(START + dt.timedelta(hours=1), 1, {})
    report = run(tmp_path, [bucket(START, 1, {}), later], "again.json")
    assert (report.total("rows_duplicate"), report.total("rows_stored")) == (10, 10)


def test_a_page_given_twice_in_one_file_counts_once(tmp_path: Path) -> None:
    report = run(tmp_path, [bucket(START, 1, {}), bucket(START, 1, {})])
    assert (report.total("rows_duplicate"), report.total("rows_stored")) == (10, 10)


def test_a_bucket_summed_up_anew_contradicts_the_first_and_none_of_it_is_stored(
    tmp_path: Path,
) -> None:
    run(tmp_path, [bucket(START, 1, {})])
    before = stored(tmp_path)
    more = {"num_model_requests": 12, "output_tokens": 60}
    again = [bucket(START, 1, more, {"model": "gpt-4o"})]
    report = run(tmp_path, again, "again.json")
    assert report.total("rows_rejected") == 12
    assert report.total("rows_stored") == 10
    assert [row for row in stored(tmp_path) if row["model"] == "gpt-4o-mini"] == before
    with pytest.raises(TooManyRejectsError, match="import the whole report into a new folder"):
        report.raise_if_too_many_rejects()
    (tmp_path / "new").mkdir()
    anew = run(tmp_path / "new", again, "again.json")
    assert (anew.total("rows_rejected"), anew.total("rows_stored")) == (0, 22)


@pytest.mark.parametrize(
    ("again", "told"),
    [
        (
            bucket(START, 24, {}),
            "page.json tells of it by buckets of 1 hour, grouped by model, project_id,",
        ),
        (bucket(START, 1, {"model": None}), "by buckets of 1 hour, grouped by project_id; .*page"),
        (bucket(START + dt.timedelta(minutes=30), 1, {}), "would count usage twice"),
    ],
)
def test_the_same_time_cut_otherwise_is_refused_and_not_counted_twice(
    again: dict[str, Any], told: str, tmp_path: Path
) -> None:
    run(tmp_path, [bucket(START, 1, {})])
    before = stored(tmp_path)
    with pytest.raises(InputError, match=told):
        run(tmp_path, [again], "again.json")
    assert stored(tmp_path) == before
    (tmp_path / "one").mkdir()
    with pytest.raises(InputError, match="twice"):
        run(
            tmp_path / "one",
            [bucket(START, 1, {}), bucket(START - dt.timedelta(hours=1), 1, {}), again],
        )


def test_other_hours_other_reports_and_unfinished_days_are_not_the_same_usage(
    tmp_path: Path,
) -> None:
    today = NOW.replace(hour=0, minute=0)
    run(tmp_path, [bucket(START, 1, {"object": "completions"}), bucket(today, 24, {})])
    later = START + dt.timedelta(hours=1)
    other = {"object": "embeddings", "model": None, "output_tokens": 0}
    run(tmp_path, [bucket(START, 1, other), bucket(later, 1, {"model": None})], "b.json")
    run(tmp_path, [bucket(today, 1, {})], "c.json")
    assert len(stored(tmp_path)) == 40


def test_a_contradiction_in_one_file_leaves_the_same_line_of_another_alone(tmp_path: Path) -> None:
    run(tmp_path, [bucket(START, 1, {})])
    files = []
    for name, found in (
        ("x.json", bucket(START, 1, {"num_model_requests": 12})),
        ("y.json", bucket(START + dt.timedelta(hours=5), 1, {})),
    ):
        page = {"data": [found], "has_more": False}
        (tmp_path / name).write_text(json.dumps(page))
        files.append(tmp_path / name)
    report = import_logs(ImportRequest("openai-usage", tuple(files), tmp_path / "l"), now=NOW)
    assert [m.rows_rejected for m in report.manifests] == [12, 0]
    assert [m.rows_stored for m in report.manifests] == [0, 10]


FAULTS = {
    "tokens without requests": ({"num_model_requests": 0}, "n_requests", "no request used them"),
    "no count": ({"num_model_requests": None}, "n_requests", "is missing"),
    "half a request": ({"num_model_requests": 1.5}, "n_requests", "is not a whole number"),
    "fewer than none": ({"num_model_requests": -1}, "n_requests", "is negative"),
    "absurd": ({"num_model_requests": 10**9}, "n_requests", "is impossibly large"),
    "images": ({"input_tokens": None}, "input_tokens", "is missing"),
    "reasoned": ({"output_tokens": "1.000"}, "output_tokens", "another country"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_row_is_one_reject(case: str, tmp_path: Path) -> None:
    change, field, reason = FAULTS[case]
    report = run(tmp_path, [bucket(START, 1, {}, {"model": "m", **change})])
    (told,) = report.rejected_by_reason()
    assert told.startswith(f"{field}: ")
    assert reason in told
    assert (report.total("rows_read"), report.total("rows_stored")) == (11, 10)


def test_a_count_written_as_text_is_read_as_a_count(tmp_path: Path) -> None:
    assert (
        run(tmp_path, [bucket(START, 1, {"num_model_requests": "10"})]).total("rows_stored") == 10
    )


def test_a_bucket_that_has_not_ended_is_rejected(tmp_path: Path) -> None:
    today = NOW.replace(hour=0, minute=0)
    report = run(tmp_path, [bucket(START, 24, {}), bucket(today, 24, {})])
    assert report.rejected_by_reason() == {"bucket_ended_at: the bucket of time had not ended": 1}


def test_pages_that_are_not_the_last_say_so(tmp_path: Path) -> None:
    whole = run(tmp_path, [bucket(START, 1, {})]).manifests[0]
    torn = run(
        tmp_path, [bucket(START + dt.timedelta(hours=1), 2, {})], "b.json", has_more=True
    ).manifests[0]
    assert not any("has_more" in line for line in whole.cannot_tell)
    assert any("has_more" in line for line in torn.cannot_tell)


def test_options_that_a_source_does_not_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tokens-per-request"):
        run(tmp_path, [bucket(START, 1, {})], tokens_per_request=100)
    with pytest.raises(InputError, match="leave --timezone out"):
        run(tmp_path, [bucket(START, 1, {})], timezone="Europe/Berlin")
    request = ImportRequest("litellm", ("x",), tmp_path / "l", ImportOptions(most_rows=5))
    with pytest.raises(InputError, match="--most-rows"):
        import_logs(request, now=NOW)


def test_more_requests_than_allowed_are_not_stored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--most-rows 10"):
        run(tmp_path, [bucket(START, 1, {})], most_rows=9)
    assert run(tmp_path, [bucket(START, 1, {})], most_rows=10).total("rows_stored") == 10


def ten_days(hours: int) -> list[dict[str, Any]]:
    step = dt.timedelta(hours=hours)
    busy = [10 + 7 * (k % 5) for k in range(240 // hours)]
    return [
        bucket(START + k * step, hours, {"num_model_requests": n, "input_tokens": 100 * n})
        for k, n in enumerate(busy)
    ]


@pytest.mark.parametrize(("hours", "windows"), [(1, {3600, 86_400}), (24, {86_400})])
def test_a_profile_tells_peaks_no_finer_than_the_bucket_and_of_lengths_the_mean(
    hours: int, windows: set[int], tmp_path: Path
) -> None:
    run(tmp_path, ten_days(hours))
    ledger = open_ledger(tmp_path / "l")
    assert ledger.time_resolution_s == 3600 * hours
    found = profile(ledger, ProfileOptions(caps={"requests_per_min": 10.0}))
    assert {peak.window_s for peak in found.peaks} == windows
    assert {p.window_s for one in found.query_types for p in one.peaks} <= windows
    assert found.input_length.mean == 100
    assert found.input_length.p99 != found.input_length.p99
    assert found.volume_relative_sd_frac is None
    assert found.caps == ()
    assert abs(found.span.span_days - 10) < 1e-6
    withheld = {one.conclusion for one in found.withheld}
    assert {"concurrency", "use of a provider's caps", "peak-to-mean at 1 minute"} <= withheld
    assert ("rhythm within the day" in withheld) == (hours == 24)
    assert len(withheld) == len(found.withheld)


def test_sums_of_a_profile_are_those_of_the_report(tmp_path: Path) -> None:
    told = ten_days(24)
    run(tmp_path, told)
    found = profile(open_ledger(tmp_path / "l"))
    results = [result for one in told for result in one["results"]]
    assert found.span.n_requests == sum(one["num_model_requests"] for one in results)
    assert found.tokens.input_tokens == sum(one["input_tokens"] for one in results)
    assert found.tokens.cache_read_tokens == sum(one["input_cached_tokens"] for one in results)
