"""The loop with a real engine: its loads, its tokenizer and its page, without an engine."""

from __future__ import annotations

import copy
import json
import struct
from importlib import import_module
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def loop(checkout):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(checkout))
        names = ("loads", "page", "gguf_tokenizer")
        yield SimpleNamespace(**{n: import_module(f"benchmarks.engine_loop.{n}") for n in names})


def load(name, role, n_concurrent, measured_s, predicted_s, **more):
    spread = {"low_s": predicted_s * 0.5, "high_s": predicted_s * 1.5}
    metrics = ("ttft", "tpot", "e2e")
    return {
        "name": name,
        "role": role,
        "repeats": None,
        "n_concurrent": n_concurrent,
        "rate_frac": None,
        "n_requests": 20,
        "n_failed": 0,
        "input_tokens": 90.0,
        "output_tokens": 24.0,
        "requests_per_s": 1.5,
        "mix": "short",
        "measured": {m: {"mean_s": measured_s, "p90_s": 2 * measured_s} for m in metrics},
        "predicted": {
            m: {"mean_s": predicted_s, "p90_s": 2 * predicted_s, **spread} for m in metrics
        },
        **more,
    }


@pytest.fixture
def results():
    loads = [
        load("a", "training", 1, 1.0, 1.02),
        load("b", "unseen", 3, 2.0, 2.2),
        load("c", "unseen", None, 4.0, 1.0, rate_frac=0.6),
        load("a_again", "repeat", 1, 1.1, 1.02, repeats="a"),
    ]
    sitting = {"loads": ["a", "b"], "wall_s": 30.0, "load_average": 0.9, "others_frac": 0.03}
    return {
        "made_on": "2026-01-31",
        "command": "python -m benchmarks.engine_loop",
        "machine": "2 cores",
        "versions": {"engine": "e", "weights": "w", "python": "3.11", "weighbridge": "0"},
        "settings": {
            "max_requests": 4,
            "max_batched_tokens": 256,
            "context_tokens": 1024,
            "seconds": 14.0,
        },
        "calibration_s": 20.0,
        "profile": {
            "n_evaluations": 22000,
            "parameters": [{"name": "decode_base_s", "value": 0.01, "low": 0.009, "high": 0.012}],
            "held_out": [
                {"run": "a", "metric": m, "mean_error_frac": off, "p90_error_frac": off}
                for m in ("ttft", "tpot", "e2e")
                for off in (-0.04, 0.02, 0.1)
            ],
            "notes": [],
        },
        "loads": loads,
        "sittings": [sitting],
    }


def test_no_unseen_load_is_one_that_the_calibration_saw(loop):
    pairs = [(s.mix, one) for s in loop.loads.SITTINGS for one in s.loads]
    seen = {(mix.name, one.n_concurrent) for mix, one in pairs if one.role == "training"}
    unseen = [(mix.name, one.n_concurrent) for mix, one in pairs if one.role == "unseen"]
    assert not seen.intersection(unseen)
    assert {mix for mix, _ in unseen} - {mix for mix, _ in seen}, "another length mix"
    assert any(n is None for _, n in unseen), "an open loop"


def test_a_repeat_repeats_a_training_load_of_its_own_mix(loop):
    by_name = {one.name: (s.mix, one) for s in loop.loads.SITTINGS for one in s.loads}
    repeats = [(mix, one) for mix, one in by_name.values() if one.role == "repeat"]
    assert repeats
    for mix, one in repeats:
        first_mix, first = by_name[one.repeats]
        assert first.role == "training"
        assert (first_mix, first.n_concurrent) == (mix, one.n_concurrent)


def test_an_open_loop_runs_at_its_share_of_the_rate_that_was_reached(loop):
    sitting = loop.loads.SITTINGS[-1]
    endpoint = loop.loads.Endpoint("http://127.0.0.1:1", "m", "folder", {"cache_prompt": False})
    config = loop.loads.aiperf_config(sitting, endpoint, 14.0, 2.0, "out", 7)["benchmark"]
    phases = {one["name"]: one for one in config["phases"]}
    assert phases["warm_up"]["kind"] == "warmup"
    for one in sitting.loads:
        if one.rate_frac is None:
            assert phases[one.name]["concurrency"] == one.n_concurrent
        else:
            assert phases[one.name]["type"] == "poisson"
            assert phases[one.name]["rate"] == pytest.approx(one.rate_frac * 2.0)
        assert phases[one.name]["duration"] == 14.0
    assert config["endpoint"]["extra"] == {"ignore_eos": True, "cache_prompt": False}


def test_drift_is_the_second_measurement_over_the_first(loop, results):
    assert loop.page.drift(results["loads"]) == {
        "a": {metric: pytest.approx(0.1) for metric in ("ttft", "tpot", "e2e")}
    }


def test_a_table_row_holds_prediction_interval_measurement_and_errors(loop, results):
    text = "\n".join(loop.page.page(results))
    assert (
        "| short, 90 + 24 tokens, 3 at once | 20 | TTFT | 2.20 [1.10, 3.30] | 2.00 | +10.0% | "
        "+10.0% |"
    ) in text
    assert "Poisson at 60%, 1.5 requests/s | 20 | TTFT | 1.00 [0.50, 1.50] | 4.00 | -75.0%" in text
    assert "3 of 6 measured means" in text.replace("\n", " ")
    assert "TTFT 42.5% (mean)" in text.replace("\n", " ")
    assert "median of 4.0% (TTFT)" in text.replace("\n", " ")


def test_a_quiet_machine_and_a_busy_one_are_told_apart(loop, results):
    assert "at most 3%" in loop.page.verdict(results)
    assert "up to 10%" in loop.page.verdict(results)
    busy = copy.deepcopy(results)
    busy["sittings"][0]["others_frac"] = 0.4
    assert "not quiet: others took up to 40%" in loop.page.verdict(busy)
    busy["sittings"][0]["others_frac"] = None
    assert "not known" in loop.page.verdict(busy)


def test_the_page_is_made_from_the_recorded_results(loop, checkout):
    recorded = json.loads((checkout / "benchmarks" / "results" / "engine_loop.json").read_text())
    made = "\n".join(loop.page.page(recorded)) + "\n"
    assert made == (checkout / "docs" / "real-engine.md").read_text()


def gguf(pairs):
    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def valued(value):
        if isinstance(value, str):
            return struct.pack("<I", 8) + text(value)
        if isinstance(value, int):
            return struct.pack("<II", 4, value)
        inner, written = (8, text) if isinstance(value[0], str) else (5, struct.Struct("<i").pack)
        return struct.pack("<IIQ", 9, inner, len(value)) + b"".join(map(written, value))

    body = b"".join(text(key) + valued(value) for key, value in pairs.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + body


VOCABULARY = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<end>", "a", "b", "ab"],
    "tokenizer.ggml.token_type": [3, 1, 1, 1],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 0,
    "tokenizer.chat_template": "{{ messages }}",
}


def test_a_tokenizer_is_made_of_the_vocabulary_in_the_weights(loop, tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf(VOCABULARY))
    folder = loop.gguf_tokenizer.write_tokenizer(file, tmp_path / "tokenizer")
    made = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert made["model"]["vocab"] == {"<end>": 0, "a": 1, "b": 2, "ab": 3}
    assert made["model"]["merges"] == [["a", "b"]]
    assert [one["content"] for one in made["added_tokens"]] == ["<end>"]
    assert (config["eos_token"], config["chat_template"]) == ("<end>", "{{ messages }}")


def test_weights_with_another_kind_of_tokenizer_are_refused(loop, tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf({**VOCABULARY, "tokenizer.ggml.model": "llama"}))
    with pytest.raises(SystemExit, match="name one with --tokenizer"):
        loop.gguf_tokenizer.write_tokenizer(file, tmp_path / "tokenizer")
    file.write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(SystemExit, match="no GGUF file"):
        loop.gguf_tokenizer.write_tokenizer(file, tmp_path / "tokenizer")
