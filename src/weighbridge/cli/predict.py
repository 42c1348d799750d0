"""`weighbridge predict`: what a benchmark would measure, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli.decide import progress_bar, replace_file, screen
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.study.predict import Comparison, Held

N_SHOWN_GROUPS = 40


@click.command()
@click.option("--model", help="Model, by catalog id or as it is commonly spelled.")
@click.option("--gpu", help="GPU, likewise.")
@click.option("--tensor-parallel", "n_tensor_parallel", type=int, default=1, show_default=True)
@click.option("--data-parallel", "n_data_parallel", type=int, default=1, show_default=True)
@click.option("--expert-parallel", is_flag=True, help="Spread experts over all GPUs.")
@click.option("--precision", default="fp8", show_default=True, help="Format of the weights.")
@click.option("--kv-precision", help="Format of the cache. Default: what the engine usually does.")
@click.option("--engine", default="vllm", show_default=True)
@click.option("--input-tokens", type=float, default=1024, show_default=True)
@click.option("--output-tokens", type=float, default=1024, show_default=True)
@click.option(
    "--concurrency",
    default="1,4,16,64",
    show_default=True,
    help="Requests always in flight, with commas between.",
)
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    help="Table of measurements near by, which correct the prediction (CSV).",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="Instead: predict every row of a table of measurements, and show the errors.",
)
@click.option("--out", type=click.Path(path_type=Path), help="With --against: all rows, as CSV.")
@click.pass_context
def predict(
    context: click.Context, /, against: Path | None, out: Path | None, **given: Any
) -> None:
    """Predict latency and throughput of a configuration under a benchmark's load.

    \b
    weighbridge predict --model llama-3.1-70b --gpu h200-sxm --tensor-parallel 2
    weighbridge predict --against measured_points.csv --out errors.csv
    """
    if against is not None:
        told = [n for n in given if context.get_parameter_source(n) is _COMMAND_LINE]
        if told:
            option = "--" + told[0].removeprefix("n_").replace("_", "-")
            problem = "says what every row of --against says itself"
            raise InputError(option, "", problem, "leave one of them out")
        _compare(against, out)
        return
    if out is not None:
        raise InputError("--out", "", "is written with --against only", "leave it out")
    _predict(**given)


_COMMAND_LINE = click.core.ParameterSource.COMMANDLINE


def _predict(model: str | None, gpu: str | None, concurrency: str, **given: Any) -> None:
    from rich.table import Table

    from weighbridge.study.predict import predict as study

    if model is None or gpu is None:
        option = "--model" if model is None else "--gpu"
        raise InputError(option, "", "is not told", "name it, or give --against FILE")
    found = [(n, study(model, gpu, n_concurrent=n, **given)) for n in _numbers(concurrency)]
    table = Table(box=None, pad_edge=False)
    for title in ("in flight", "first token", "per token", "tokens/s out"):
        table.add_column(title, justify="right", no_wrap=True)
    for n, told in found:
        table.add_row(
            f"{n:g}", _ms(told.ttft_s), _ms(told.tpot_s), _span(told.output_tokens_per_s, 1.0, "")
        )
    console = screen()
    console.print(table)
    console.print("in brackets: 90 % interval, from errors on measurements that no fit saw")
    for why in dict.fromkeys(why for _, told in found for why in told.why):
        console.print(f"- {why}", highlight=False)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        problem = f"is {text!r}"
        raise InputError("--concurrency", "", problem, "give numbers such as 1,4,16") from None


def _ms(interval: Any) -> str:
    return _span(interval, 1e3, " ms")


def _span(interval: Any, scale: float, unit: str) -> str:
    low, mid, high = (f"{scale * v:,.3g}" for v in (interval.low, interval.mid, interval.high))
    if scale * interval.mid >= 1000:
        low, mid, high = (f"{scale * v:,.0f}" for v in (interval.low, interval.mid, interval.high))
    return f"{mid}{unit} ({low} to {high})"


def _compare(path: Path, out: Path | None) -> None:
    from weighbridge.study.predict import compare

    with progress_bar() as tell:
        found = compare(path, progress=tell)
    if out is not None:
        replace_file(out, _rows(found).encode())
    _show(found)
    if out is not None:
        screen().print(f"written: {out}", highlight=False)


def _show(found: Comparison) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("model on GPU", "rows", "TPOT error", "inside", "TTFT error", "inside"):
        table.add_column(title, justify="left" if title.startswith("model") else "right")
    groups: dict[str, list[Held]] = {}
    for one in found.held:
        groups.setdefault(one.measured.group, []).append(one)
    for name, held in sorted(groups.items())[:N_SHOWN_GROUPS]:
        table.add_row(name, str(len(held)), *_errors(held))
    table.add_row("all rows alike", str(len(found.held)), *_errors(list(found.held)))
    console = screen()
    console.print(table)
    console.print("errors are medians of |predicted / measured - 1|; inside: of the 90 % interval")
    console.print(
        "the fit may have seen some of these: docs/accuracy.md has its errors on unseen ones"
    )
    if found.n_repeats:
        console.print(f"{found.n_repeats:,} repeats of other rows were left out", highlight=False)
    for reason, n in sorted(found.n_unusable_by_reason.items(), key=lambda item: -item[1]):
        console.print(f"{n:,} rows left out: {reason}", highlight=False)


def _errors(held: list[Held]) -> tuple[str, ...]:
    from statistics import median

    told: list[str] = []
    for name in ("tpot", "ttft"):
        ratios = [r for one in held if (r := getattr(one, f"{name}_ratio")) is not None]
        inside = [r for one in held if (r := getattr(one, f"{name}_inside")) is not None]
        told.append(f"{median(abs(r - 1) for r in ratios):.1%}" if ratios else "-")
        told.append(f"{sum(inside) / len(inside):.0%}" if inside else "-")
    return tuple(told)


def _rows(found: Comparison) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = [f"{m}_s_{p}" for m in ("ttft", "tpot") for p in ("measured", "low", "mid", "high")]
    load = ("input_tokens", "output_tokens", "n_concurrent")
    writer.writerow(("source", "model", "gpu", "n_gpus", "precision", "engine", *load, *metrics))
    for one in found.held:
        to, point, at = one.measured.deployment, one.measured.point, one.measured.load
        row: list[object] = [point.source, to.model.id, to.gpu.id, to.n_gpus, to.precision]
        row += [to.engine, *(getattr(at, name) for name in load)]
        for seen, told in ((point.ttft_s, one.told.ttft_s), (point.tpot_s, one.told.tpot_s)):
            row += ["" if seen is None else seen, told.low, told.mid, told.high]
        writer.writerow(row)
    return text.getvalue()
