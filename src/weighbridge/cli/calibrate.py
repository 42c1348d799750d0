"""`weighbridge calibrate`: a dated profile of an endpoint, from what was measured on it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli.decide import check_writable, progress_bar, replace_file
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.capacity.calibrate import EndpointProfile
    from weighbridge.usage.observed import EngineSettings

PLOTS = (".html", ".svg", ".png")
_OF_DRIVE = (
    "url",
    "tokenizer",
    "concurrency",
    "input_tokens",
    "output_tokens",
    "n_requests",
    "results",
    "api_key_variable",
)
_ONE = click.IntRange(min=1)
_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, type=_FILE)
@click.option("-o", "--out", type=_FILE, required=True, help="Profile to write, as JSON.")
@click.option("--ledger", type=_FILE, help="Ledger of the gateway; with --target.")
@click.option("--target", help="Target of the ledger whose endpoint is meant.")
@click.option("--model", help="Model served. Default: what the files say.")
@click.option("--gpu", help="GPU it runs on. Default: what the files say.")
@click.option("--engine", help="Engine and version, as `vllm 0.19.0`.")
@click.option("--precision", help="Format of the weights. Default: as the model is named, or bf16.")
@click.option("--tensor-parallel", type=_ONE, help="GPUs that each layer is split over.")
@click.option("--data-parallel", type=_ONE, help="Ranks with a scheduler each, in lockstep.")
@click.option("--expert-parallel/--no-expert-parallel", default=None, help="Experts over all GPUs.")
@click.option("--kv-tokens", type=_ONE, help="Tokens that one rank's cache holds.")
@click.option("--block-tokens", type=_ONE, help="Tokens of a cache block.")
@click.option("--max-requests", type=_ONE, help="Most requests running in one rank.")
@click.option("--max-batched-tokens", type=_ONE, help="Most tokens of one iteration.")
@click.option("--prefix-caching/--no-prefix-caching", default=None, help="Prompts share blocks.")
@click.option(
    "--async-scheduling/--no-async-scheduling",
    default=None,
    help="Batches are settled one iteration ahead (vLLM's default since 0.14).",
)
@click.option("--plot", type=_FILE, help="Errors on held-out requests: .html, .svg or .png.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--drive",
    type=click.Choice(["aiperf", "guidellm", "vllm"]),
    help="Run this tool first, against --url.",
)
@click.option("--url", help="With --drive: base address of the endpoint.")
@click.option("--tokenizer", help="With --drive: folder or name the tool can load.")
@click.option("--concurrency", default="1,8,32", show_default=True, metavar="N[,N…]")
@click.option("--input-tokens", type=_ONE, default=512, show_default=True)
@click.option("--output-tokens", type=_ONE, default=128, show_default=True)
@click.option("--requests", "n_requests", type=_ONE, default=100, show_default=True)
@click.option("--results", type=_FILE, help="With --drive: folder for the tool's files.")
@click.option("--api-key-variable", help="With --drive: environment variable with the key.")
@click.pass_context
def calibrate(context: click.Context, /, paths: tuple[Path, ...], **given: Any) -> None:
    """Profile an endpoint from measured runs.

    PATH: results of aiperf, guidellm or `vllm bench serve`, a folder with requests.jsonl; or, for
    latency over concurrency alone, a table of measured points or saved /metrics pages of vLLM.

    \b
    weighbridge calibrate run.json --kv-tokens 41408 -o profile.json --plot errors.html
    """
    from weighbridge.study.calibrate import (
        are_aggregates,
        calibrate_points,
        observe,
        prepare,
        profile_text,
    )

    plot = given["plot"]
    if plot is not None and plot.suffix not in PLOTS:
        raise InputError(
            "--plot", str(plot), "is of no known kind", f"end it in {', '.join(PLOTS)}"
        )
    _check_options(context, given)
    check_writable(given["out"], plot)
    if given["drive"] is not None:
        paths = (*paths, *_driven(given))
    if are_aggregates(paths):
        if plot is not None:
            raise InputError("--plot", "", "needs single requests", "leave it out for aggregates")
        profile = calibrate_points(paths, _told(given), datetime.now(UTC).date())
    else:
        runs = observe(paths, given["ledger"], given["target"])
        profile = _calibrated(prepare(runs, _told(given)), given["seed"])
    _show(profile)
    replace_file(given["out"], profile_text(profile).encode())
    click.echo(f"written: {given['out']}")
    if plot is not None:
        from weighbridge.report.calibration import calibration_picture

        replace_file(plot, calibration_picture(profile, plot.suffix))
        click.echo(f"written: {plot}")


def _check_options(context: click.Context, given: dict[str, Any]) -> None:
    """No option is read and left unused, and none is found bad only after a long run."""
    command_line = click.core.ParameterSource.COMMANDLINE

    def is_told(name: str) -> bool:
        return context.get_parameter_source(name) is command_line

    _concurrencies(given["concurrency"])
    for needed, names in (("drive", _OF_DRIVE), ("ledger", ("target",))):
        for name in names:
            if given[needed] is None and is_told(name):
                option = "--" + name.removeprefix("n_").replace("_", "-")
                raise InputError(
                    option, "", f"means nothing without --{needed}", f"add --{needed}, or drop it"
                )


def _concurrencies(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(one) for one in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise InputError("--concurrency", text, "cannot be read", "write it as 1,8,32")
    return found


def _calibrated(prepared: Any, seed: int) -> EndpointProfile:
    from weighbridge.capacity.simulation.compiled import numba_is_here
    from weighbridge.study.calibrate import calibrate_prepared

    if not numba_is_here():
        click.echo(
            "numba is not installed: simulations run plain, so that the search spends a "
            "thirteenth of them and finds less (pip install 'weighbridge[fast]')",
            err=True,
        )
    with progress_bar() as tell:
        return calibrate_prepared(
            prepared,
            datetime.now(UTC).date(),
            seed,
            on_progress=lambda done, total: tell("simulating", done / total),
        )


def _show(profile: EndpointProfile) -> None:
    from weighbridge.cli.calibrate_screen import show

    show(profile)


def _told(given: dict[str, Any]) -> Any:
    from weighbridge.study.calibrate import Told

    return Told(_settings(given), given["precision"])


def _settings(given: dict[str, Any]) -> EngineSettings:
    from weighbridge.usage.observed import EngineSettings

    return EngineSettings(
        model=given["model"],
        gpu=given["gpu"],
        engine=given["engine"],
        n_tensor_parallel=given["tensor_parallel"],
        n_data_parallel=given["data_parallel"],
        expert_parallel=given["expert_parallel"],
        n_max_requests=given["max_requests"],
        n_max_batched_tokens=given["max_batched_tokens"],
        n_block_tokens=given["block_tokens"],
        kv_tokens=given["kv_tokens"],
        prefix_caching=given["prefix_caching"],
        async_scheduling=given["async_scheduling"],
    )


def _driven(given: dict[str, Any]) -> list[Path]:
    from weighbridge.usage.bench.drive import BenchmarkPlan, drive

    needed = {"--url": given["url"], "--model": given["model"], "--results": given["results"]}
    for option, value in needed.items():
        if value is None:
            raise InputError(option, "", "is missing with --drive", f"give {option}")
    plan = BenchmarkPlan(
        tool=given["drive"],
        url=given["url"],
        model=given["model"],
        tokenizer=given["tokenizer"] or given["model"],
        concurrencies=_concurrencies(given["concurrency"]),
        input_tokens=given["input_tokens"],
        output_tokens=given["output_tokens"],
        n_requests=given["n_requests"],
        out_folder=given["results"],
        api_key_variable=given["api_key_variable"],
    )
    return drive(plan, show=click.echo)
