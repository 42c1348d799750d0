"""`weighbridge predict`: one configuration, and a table of measurements held to the prediction."""

import csv

import pytest
from click.testing import CliRunner

import weighbridge as wb
from weighbridge.cli.predict import predict
from weighbridge.units import InputError
from weighbridge.usage.bench.points import COLUMNS


def run(*arguments: str):
    return CliRunner().invoke(predict, list(arguments), env={"COLUMNS": "100"})


def table(path, **changed):
    row = {
        "source": "a test",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "gpu": "NVIDIA H100 80GB HBM3",
        "num_gpus": "1",
        "tp": "1",
        "precision": "fp8",
        "engine": "vllm",
        "isl": "1024",
        "osl": "256",
        "concurrency": "8",
        "ttft_ms": "80",
        "tpot_ms": "9",
        **changed,
    }
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerow(row)
    return path


def test_more_in_flight_is_slower_each_and_faster_in_all() -> None:
    told = [
        wb.predict("llama-3.1-8b", "h100-sxm", input_tokens=1024, output_tokens=256, n_concurrent=n)
        for n in (1, 8, 64)
    ]
    per_token = [one.tpot_s.mid for one in told]
    assert per_token == sorted(per_token)
    rates = [one.output_tokens_per_s.mid for one in told]
    assert rates == sorted(rates)
    assert all(one.tpot_s.low < one.tpot_s.mid < one.tpot_s.high for one in told)


def test_a_measurement_moves_the_prediction_of_its_own_configuration(tmp_path) -> None:
    asked = {"input_tokens": 1024, "output_tokens": 256, "n_concurrent": 8}
    plain = wb.predict("llama-3.1-8b", "h100-sxm", **asked)
    slow = table(tmp_path / "slow.csv", tpot_ms=str(3e3 * plain.tpot_s.mid))
    corrected = wb.predict("llama-3.1-8b", "h100-sxm", **asked, measured=slow)
    assert corrected.tpot_s.mid > 1.5 * plain.tpot_s.mid
    assert corrected.basis == "measured"


def test_the_screen_names_each_load_with_its_interval() -> None:
    found = run("--model", "meta-llama/Llama-3.1-8B", "--gpu", "H100", "--concurrency", "1,32")
    assert found.exit_code == 0, found.output
    lines = found.output.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["1", "32"]
    assert "ms (" in lines[1]
    assert max(map(len, lines)) <= 100


def test_every_row_of_a_table_stands_beside_its_prediction(tmp_path) -> None:
    out = tmp_path / "errors.csv"
    found = run("--against", str(table(tmp_path / "points.csv")), "--out", str(out))
    assert found.exit_code == 0, found.output
    row = next(csv.DictReader(out.read_text().splitlines()))
    assert (row["model"], row["gpu"], row["tpot_s_measured"]) == (
        "llama-3.1-8b",
        "h100-sxm",
        "0.009",
    )
    assert float(row["tpot_s_low"]) < float(row["tpot_s_mid"]) < float(row["tpot_s_high"])


def test_a_table_without_a_usable_row_says_why(tmp_path) -> None:
    found = run("--against", str(table(tmp_path / "points.csv", num_gpus="", tp="")))
    assert isinstance(found.exception, InputError)
    assert "1 rows: no number of GPUs" in str(found.exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--model: is not told"),
        (("--model", "llama-3.1-8b"), "--gpu: is not told"),
        (("--model", "llama-3.1-8c", "--gpu", "h100-sxm"), "llama-3.1-8b"),
        (("--model", "llama-3.1-8b", "--gpu", "h100-sxm", "--concurrency", "many"), "give numbers"),
        (("--model", "llama-3.1-8b", "--gpu", "h100-sxm", "--concurrency", "0"), "from 1 up"),
        (("--model", "llama-3.1-8b", "--gpu", "h100-sxm", "--input-tokens", "2e5"), "context"),
        (("--model", "llama-3.1-405b", "--gpu", "l4"), "mend"),
        (("--model", "llama-3.1-8b", "--gpu", "h100-sxm", "--out", "x.csv"), "--against only"),
        (("--against", "x.csv", "--gpu", "h100-sxm"), "every row of --against"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_mend(arguments, told) -> None:
    found = run(*arguments)
    assert isinstance(found.exception, InputError)
    assert told in str(found.exception)
