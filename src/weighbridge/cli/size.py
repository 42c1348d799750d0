"""`weighbridge size`: how many GPUs this traffic needs, and what a million tokens costs."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli.decide import check_folder, progress_bar, replace_file, screen
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.study.size_question import SizeQuestion
    from weighbridge.study.size_result import SizeStudy

N_MOST_THREADS = 8


@click.command()
@click.option("--usage", type=click.Path(path_type=Path), help="Ledger directory of `import`.")
@click.option(
    "--only",
    multiple=True,
    metavar="FIELD=VALUE",
    help="With --usage: only these requests, by tenant, feature, template, model, target, …",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Request trace: Azure, Mooncake (with prefix blocks) or BurstGPT.",
)
@click.option("--rates", type=click.Path(path_type=Path), help="Rates by client: ServeGen.")
@click.option(
    "--lengths-from",
    type=click.Path(path_type=Path),
    help="With --rates: the trace whose token lengths are drawn.",
)
@click.option(
    "--synthesize",
    "synthesize_days",
    type=float,
    metavar="DAYS",
    help="Draw so many days from the traffic's hours and bursts.",
)
@click.option(
    "--times",
    "demand_ratio",
    type=float,
    default=1.0,
    show_default=True,
    help="Size for a multiple of the traffic.",
)
@click.option("--model", required=True, help="Open-weight model to serve (catalog id or name).")
@click.option(
    "--slo",
    required=True,
    metavar="TARGETS",
    help="Such as ttft_p95=500ms,tpot_p95=50ms,e2e_p95=20s (p50, p90, p95, p99, mean).",
)
@click.option("--gpu", "gpus", multiple=True, help="GPU; several allowed. Default: all on offer.")
@click.option(
    "--tensor-parallel", type=int, multiple=True, help="GPUs of a replica. Default: 1, 2, 4, 8."
)
@click.option("--precision", multiple=True, help="Format of the weights. Default: fp8 and bf16.")
@click.option("--kv-precision", help="Format of the cache. Default: bf16.")
@click.option("--engine", multiple=True, help="Serving engine. Default: vllm.")
@click.option(
    "--profile",
    type=click.Path(path_type=Path),
    help="Profile of your own endpoint, from `calibrate`.",
)
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    help="Table of measurements near by, which correct the step times (CSV).",
)
@click.option(
    "--headroom", type=float, default=0.2, show_default=True, help="Growth to have room for."
)
@click.option("--spare", type=int, default=1, show_default=True, help="Replicas that may be lost.")
@click.option("--usd-per-gpu-hour", type=float, help="Your own price, for every GPU.")
@click.option("--api-model", help="API model that takes what overflows, such as openai/gpt-4o.")
@click.option("--start-up-s", type=float, help="Start of a replica. Default: an assumption.")
@click.option("--spot-interruptions", type=float, help="Of a machine a month.")
@click.option("--spot-restart-s", type=float, help="Until a replica that was taken serves again.")
@click.option("--catalog", type=click.Path(), help="Catalog rows of your own (YAML).")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write report.html, size.json and tables (CSV) into this folder.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1, max=256), help="Default: one per core.")
def size(slo: str, out: Path | None, catalog: str | None, **given: Any) -> None:
    """Say how many replicas the traffic needs within a latency target, and what they cost.

    \b
    A trace:         weighbridge size --trace conv.csv --model llama-3.1-70b \\
                       --slo ttft_p95=1s,tpot_p95=50ms --gpu h100-sxm --gpu h200-sxm
    Your own log:    weighbridge size --usage usage --model qwen3-32b --slo e2e_p95=20s --out size
    """
    from weighbridge.capacity.slo import parse_slo
    from weighbridge.report.size_terminal import render_size
    from weighbridge.study.size import impossible
    from weighbridge.study.size import size as weigh

    check_folder(out)
    question = _question(parse_slo(slo), given)
    facts = _catalog(catalog)
    with progress_bar() as tell:
        from dataclasses import replace

        study = weigh(replace(question, progress=tell), facts)
        if not study.sized:
            raise impossible(study)
        files = _rendered(study, out, tell) if out is not None else {}
    for path, content in files.items():
        replace_file(path, content)
    console = screen()
    render_size(study, console)
    if files:
        console.print(f"written: {out}", highlight=False, soft_wrap=True)


def _catalog(path: str | None) -> Any:
    import datetime as dt

    from weighbridge.catalog.facts import load_catalog

    return load_catalog(Path(path), dt.datetime.now(dt.UTC).date()) if path else load_catalog()


def _question(slo: Any, given: dict[str, Any]) -> SizeQuestion:
    """The options as a question; what cannot be asked raises before anything is read."""
    from weighbridge.catalog.canonical import canonical_precision
    from weighbridge.study.size_question import SizeQuestion, TrafficQuestion

    kv = given["kv_precision"]
    sources = ("usage", "trace", "rates", "lengths_from", "synthesize_days", "demand_ratio")
    traffic = TrafficQuestion(
        **{name: given[name] for name in sources}, only=_chosen(given["only"])
    )
    return SizeQuestion(
        model=given["model"],
        slo=slo,
        traffic=traffic,
        gpus=given["gpus"],
        n_tensor_parallel=given["tensor_parallel"],
        precisions=given["precision"],
        engines=given["engine"],
        kv_precision=canonical_precision(kv) if kv is not None else None,
        profile=given["profile"],
        measured=given["measured"],
        headroom_frac=given["headroom"],
        n_spare_replicas=given["spare"],
        usd_per_gpu_hour=given["usd_per_gpu_hour"],
        api_model=given["api_model"],
        start_up_s=given["start_up_s"],
        spot_interruptions_per_month=given["spot_interruptions"],
        spot_restart_s=given["spot_restart_s"],
        n_threads=given["threads"] or min(N_MOST_THREADS, os.cpu_count() or 1),
        seed=given["seed"],
        command=shlex.join(["weighbridge", *sys.argv[1:]]),
    )


def _chosen(only: tuple[str, ...]) -> dict[str, list[str]]:
    """Values by dimension; several of one dimension add up."""
    chosen: dict[str, list[str]] = {}
    for text in only:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError("--only", "", f"{text!r} is no FIELD=VALUE", "say model=gpt-4o")
        chosen.setdefault(name, []).append(value)
    return chosen


def _rendered(study: SizeStudy, out: Path, tell: Any) -> dict[Path, bytes]:
    """Every file of the folder, rendered before the first is written."""
    from weighbridge.report.size_files import size_tables, size_to_json
    from weighbridge.report.size_html import render_size_html

    tell("report", 0.0)
    files = {out / "report.html": render_size_html(study).encode()}
    files[out / "size.json"] = size_to_json(study)
    files |= {out / name: text.encode() for name, text in size_tables(study).items()}
    tell("report", 1.0)
    return files
