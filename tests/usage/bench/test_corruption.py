"""A file that was damaged on its way is read or refused, and nothing else ever happens."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.units import InputError
from weighbridge.usage.bench.detect import read_loads, read_runs
from weighbridge.usage.bench.points import read_serving_points

GOLDEN = Path(__file__).parent / "golden"
READERS: dict[str, Callable[[Path], Any]] = {
    "profile_export.jsonl": read_runs,
    "guidellm.json": read_runs,
    "vllm_bench.json": read_runs,
    "engine_log/requests.jsonl": read_runs,
    "engine_log/meta.json": read_runs,
    "server_metrics_export.json": read_loads,
    "metrics_after.txt": read_loads,
    "points.csv": read_serving_points,
}


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Bytes cut off, overwritten, doubled or taken out at some places."""
    cut = draw(st.none() | st.floats(0, 1))
    spots = draw(
        st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 40)), max_size=4)
    )
    packed = draw(st.booleans())

    def apply(raw: bytes) -> bytes:
        for share, new, n_gone in spots:
            at = int(share * len(raw))
            raw = raw[:at] + new + raw[at + n_gone :]
        if packed:
            raw = gzip.compress(raw, mtime=0)
        return raw if cut is None else raw[: int(cut * len(raw))]

    return apply


# Values that programs write and readers forget.
ODD = [b"null", b"NaN", b"-1", b"1e999", b"1e308", b"[]", b"{}", b'""', b"true", b"9" * 40]


@st.composite
def odd_values(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """One number of the file, replaced with an odd value."""
    share, odd = draw(st.floats(0, 0.999)), draw(st.sampled_from(ODD))

    def apply(raw: bytes) -> bytes:
        ends = [i for i in range(1, len(raw)) if raw[i - 1 : i].isdigit() and not _in(raw, i)]
        end = ends[int(share * len(ends))]
        start = end
        while start and (raw[start - 1 : start].isdigit() or raw[start - 1 : start] in b".-"):
            start -= 1
        return raw[:start] + odd + raw[end:]

    return apply


def _in(raw: bytes, i: int) -> bool:
    """Whether a number goes on at a place."""
    return raw[i : i + 1].isdigit() or raw[i : i + 1] == b"."


@pytest.mark.parametrize("name", READERS)
@given(change=damage() | odd_values())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_is_read_or_refused(
    name: str, change: Callable[[bytes], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"damage-{name.replace('/', '-')}"
    folder.mkdir(exist_ok=True)
    for other in (GOLDEN / name).parent.iterdir():
        if other.is_file() and other.name != Path(name).name:
            (folder / other.name).write_bytes(other.read_bytes())
    path = folder / Path(name).name
    path.write_bytes(change((GOLDEN / name).read_bytes()))
    refused = ""
    try:
        READERS[name](folder if name.startswith("engine_log") else path)
    except InputError as error:
        refused = str(error)
    assert not refused or str(folder) in refused  # the file is named
