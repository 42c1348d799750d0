"""Tables of published measurements."""

import gzip
from pathlib import Path

import pytest

from weighbridge.units import InputError
from weighbridge.usage.bench.points import read_serving_points

GOLDEN = Path(__file__).parent / "golden" / "points.csv"
SHARED = Path(__file__).parents[4] / "shared" / "measured" / "measured_points.csv"


def _changed(tmp_path: Path, old: str, new: str) -> Path:
    text = GOLDEN.read_text()
    assert text.count(old) == 1
    path = tmp_path / "points.csv"
    path.write_text(text.replace(old, new))
    return path


def test_points_are_read_in_seconds_with_what_their_rows_tell() -> None:
    first, spread, offline, static, *_ = read_serving_points(GOLDEN)
    assert (first.ttft_s, first.tpot_s) == (0.08, 0.0075)
    assert (first.n_gpus, first.n_tensor_parallel, first.n_concurrent) == (2, 2, 4)
    assert (first.expert_parallel, first.disaggregated) == (False, False)
    assert first.output_tokens_per_s is None  # derived by Little's law, not measured
    assert (spread.expert_parallel, spread.disaggregated) == (True, True)
    assert spread.n_gpus is spread.n_tensor_parallel is None
    assert (offline.n_concurrent, offline.ttft_s, offline.output_tokens_per_s) == (None, None, 900)
    assert offline.expert_parallel is None
    assert (static.precision, static.n_concurrent, static.output_tokens_per_s) == (None, 8, 36)
    assert static.note == "static batch; e2e_s=3.5"


def test_gpus_that_were_counted_for_layers_and_again_for_experts_count_once() -> None:
    doubled, split, right = read_serving_points(GOLDEN)[4:7]
    gpus = [(point.n_gpus, point.n_tensor_parallel) for point in (doubled, split, right)]
    assert gpus == [(4, 4), (4, 1), (4, 4)]
    assert doubled.note == "mode=agg; num_gpus and tp printed as 16 and 16"
    assert right.note == "mode=agg"
    assert all(point.expert_parallel for point in (doubled, split, right))


def test_a_copy_with_fewer_gpus_tells_on_its_whole_configuration() -> None:
    doubled, copy, sibling, alone, rack = read_serving_points(GOLDEN)[7:]
    assert [point.n_gpus for point in (doubled, copy, sibling)] == [2, 2, 2]
    assert doubled.expert_parallel
    assert sibling.note.endswith("printed as 4 and 4")
    assert alone.n_gpus == 8  # a machine of that name has no more
    assert (rack.n_gpus, rack.expert_parallel) == (64, None)  # and a rack has


def test_a_packed_table_reads_as_the_plain_one(tmp_path: Path) -> None:
    path = tmp_path / "points.csv.gz"
    path.write_bytes(gzip.compress(GOLDEN.read_bytes()))
    assert read_serving_points(path) == read_serving_points(GOLDEN)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tpot_ms", "tpot", ": tpot_ms: missing from the header\n  mend: begin the file with"),
        ("80.0", "fast", ":2: ttft_ms: is 'fast'\n  mend: give a number above 0, or leave it"),
        ("80.0", "-1", ":2: ttft_ms: is '-1'\n  mend: give a number above 0, or leave it empty"),
        ("80.0", "nan", ":2: ttft_ms: is 'nan'\n  mend: give a number above 0, or leave it"),
        (
            "h100_sxm,2.0,2.0,",
            "h100_sxm,2.5,2.0,",
            ":2: num_gpus: is 2.5\n  mend: give a whole number, or",
        ),
        ("made#l70b_h100", ",", ":2: : has another number of cells than the header\n  mend"),
        ("made#l70b_h100", '"made', ": is not CSV: "),
        (",900,", ",,", ":4: ttft_ms, tpot_ms, output_tok_s: all three are empty\n  mend: give"),
        ("Llama 4 Scout", " ", ":4: model: is empty\n  mend: name it"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = _changed(tmp_path, old, new)
    with pytest.raises(InputError) as caught:
        read_serving_points(path)
    assert told.replace(": : ", ": ") in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_the_published_table_is_read_whole() -> None:
    if not SHARED.exists():
        pytest.skip(f"needs {SHARED.name}, which is not part of the project")
    points = read_serving_points(SHARED)
    assert len(points) == 3627
    assert sum(point.disaggregated for point in points) == 735
    assert max(point.n_gpus or 0 for point in points if point.gpu.endswith("_sxm")) == 8
    assert sum(point.output_tokens_per_s is not None for point in points) == 411
