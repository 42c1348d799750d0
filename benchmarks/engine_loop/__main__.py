"""A real engine in the loop: measured with aiperf, calibrated, its unseen loads predicted.

python -m benchmarks.engine_loop --aiperf PATH [--seconds S] [--write]
python -m benchmarks.engine_loop --url http://127.0.0.1:8000 --model NAME --tokenizer FOLDER

Without --url it starts the local model (llama.cpp, 135M weights; extra `local-model`) on one core
and aiperf on another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.engine_loop.gguf_tokenizer import write_tokenizer
from benchmarks.engine_loop.loads import (
    GRACE_S,
    RATE_OF,
    SITTINGS,
    Endpoint,
    Load,
    Sitting,
    aiperf_config,
)
from benchmarks.engine_loop.page import page
from benchmarks.engine_loop.predicting import calibrated, measured, predicted, profile_figures
from benchmarks.engine_loop.running import (
    OVERHEAD_S,
    Cores,
    Disturbance,
    local_model,
    pin,
    program,
    run_aiperf,
)

from weighbridge.rehearsal.local_model import ModelSettings, available, weights
from weighbridge.units import InputError
from weighbridge.usage.bench.detect import read_runs
from weighbridge.usage.observed import EngineSettings, ObservedRun

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "benchmarks" / "results" / "engine_loop.json"
PAGE = CHECKOUT / "docs" / "real-engine.md"
UNCACHED = {"cache_prompt": False}  # llama.cpp's: a slot forgets its last prompt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine_loop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--aiperf", default="aiperf", help="program, default: on PATH")
    add("--seconds", type=float, default=14.0, help="of each load (default 14; 14 loads)")
    add("--max-requests", type=int, default=4, help="slots, or max_num_seqs (default 4)")
    add("--max-batched-tokens", type=int, default=256, help="of one iteration (default 256)")
    add("--context-tokens", type=int, default=1024, help="of a slot (default 1024)")
    add("--engine-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--seed", type=int, default=1, help="of prompts and of the fit (default 1)")
    add("--machine", default="", help="words for the page (default: cores and architecture)")
    add("--out", type=Path, help="new folder for aiperf's files (default: a temporary one)")
    add("--write", action="store_true", help="renew benchmarks/results and docs/real-engine.md")
    other = parser.add_argument_group("an endpoint that runs already, instead of the local model")
    other.add_argument("--url", help="base address, without a path")
    other.add_argument("--model", help="name that it serves")
    other.add_argument("--tokenizer", help="folder or name that aiperf can load")
    other.add_argument("--engine", default="", help="name and version, such as 'vllm 0.19.0'")
    other.add_argument("--kv-tokens", type=int, help="tokens that its cache holds")
    given = parser.parse_args()
    if given.url is not None and (given.model is None or given.tokenizer is None):
        parser.error("--url needs --model and --tokenizer")
    return given


def main() -> None:
    """Measure, calibrate, predict, compare."""
    given = _arguments()
    given.aiperf = program(given.aiperf)
    if given.url is None and (reason := available()) is not None:
        sys.exit(reason)
    all_cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary) / "runs"
        folder.mkdir(parents=True)
        runs, sittings = _measured(given, folder)
        pin(all_cores)
        results = _compared(given, runs) | {"sittings": sittings}
        (folder / "results.json").write_text(json.dumps(results, indent=1))
    text = "\n".join(page(results)) + "\n"
    print(text)
    if given.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(text, encoding="utf-8")


def _measured(
    given: argparse.Namespace, folder: Path
) -> tuple[dict[str, ObservedRun], list[dict[str, Any]]]:
    """All runs by the name of their load, and how quiet the machine was."""
    cores = Cores(given.engine_core, given.load_core)
    runs: dict[str, ObservedRun] = {}
    sittings = []
    with ExitStack() as stack:
        endpoint, pid = _endpoint(given, stack, cores, folder)
        for number, sitting in enumerate(SITTINGS):
            watch = Disturbance(cores.engine, pid)
            runs |= _sat(given, number, sitting, endpoint, folder, runs)
            told = watch.told()
            sittings.append({"loads": [load.name for load in sitting.loads], **told})
            _tell(f"{sitting.mix.name}: {told}")
    return runs, sittings


def _endpoint(
    given: argparse.Namespace, stack: ExitStack, cores: Cores, folder: Path
) -> tuple[Endpoint, int | None]:
    if given.url is not None:
        pin({cores.load})
        return Endpoint(given.url, given.model, given.tokenizer, {}), None
    file = weights()
    assert file is not None
    tokenizer = given.tokenizer or str(write_tokenizer(file, folder / "tokenizer"))
    settings = ModelSettings(
        n_slots=given.max_requests,
        n_threads=1,
        context_tokens=given.context_tokens,
        batch_tokens=given.max_batched_tokens,
        prompt_cache_mib=0,
    )
    model = stack.enter_context(local_model(settings, cores))
    return Endpoint(model.url, model.name, tokenizer, UNCACHED), model.pid


def _sat(  # noqa: PLR0913, PLR0917
    given: argparse.Namespace,
    number: int,
    sitting: Sitting,
    endpoint: Endpoint,
    folder: Path,
    before: dict[str, ObservedRun],
) -> dict[str, ObservedRun]:
    at = folder / f"{number}_{sitting.mix.name.replace(' ', '_')}"
    rate = _reached_requests_per_s(before[RATE_OF]) if RATE_OF in before else None
    config = aiperf_config(sitting, endpoint, given.seconds, rate, str(at), given.seed + number)
    limit_s = OVERHEAD_S + len(sitting.loads) * given.seconds + GRACE_S
    result = run_aiperf(given.aiperf, config, at, limit_s)
    try:
        found = read_runs(result)
    except InputError as error:
        sys.exit(f"{error}\nOn a slow or busy machine give more --seconds.")
    by_phase = {run.name.rpartition("#")[2]: run for run in found}
    if len(sitting.loads) == 1:
        by_phase = {sitting.loads[0].name: found[0]}
    missing = [load.name for load in sitting.loads if load.name not in by_phase]
    if missing:
        sys.exit(f"{at}: no requests of {', '.join(missing)}; give more --seconds")
    return by_phase


def _reached_requests_per_s(run: ObservedRun) -> float:
    """Of a closed loop, from the first arrival to the last end."""
    return float(run.requests.n_requests / (run.requests.arrival_s + run.e2e_s).max())


def _compared(given: argparse.Namespace, runs: dict[str, ObservedRun]) -> dict[str, Any]:
    loads = [(sitting.mix, load) for sitting in SITTINGS for load in sitting.loads]
    training = [runs[load.name] for _, load in loads if load.role == "training"]
    now = datetime.now(UTC)
    began_s = time.process_time()
    profile = calibrated(training, _settings(given), given.seed, now.date())
    took_s = time.process_time() - began_s
    return {
        "made_on": now.date().isoformat(),
        "command": _command(),
        "machine": given.machine or f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": _versions(given),
        "settings": {
            "max_requests": given.max_requests,
            "max_batched_tokens": given.max_batched_tokens,
            "context_tokens": given.context_tokens,
            "seconds": given.seconds,
        },
        "calibration_s": round(took_s, 1),
        "profile": profile_figures(profile),
        "loads": [
            {
                **_described(load, runs[load.name]),
                "mix": mix.name,
                "measured": measured(runs[load.name]),
                "predicted": predicted(profile, runs[load.name]),
            }
            for mix, load in loads
        ],
    }


def _described(load: Load, run: ObservedRun) -> dict[str, Any]:
    requests = run.requests
    return {
        "name": load.name,
        "role": load.role,
        "repeats": load.repeats,
        "n_concurrent": load.n_concurrent,
        "rate_frac": load.rate_frac,
        "n_requests": requests.n_requests,
        "n_failed": run.n_failed,
        "input_tokens": round(float(requests.input_tokens.mean()), 1),
        "output_tokens": round(float(requests.output_tokens.mean()), 1),
        "requests_per_s": round(_reached_requests_per_s(run), 3),
    }


def _settings(given: argparse.Namespace) -> EngineSettings:
    """llama.cpp: a cache of its own for each slot, so that it is never what is short."""
    local_kv = given.max_requests * given.context_tokens
    return EngineSettings(
        engine=given.engine or _versions(given)["engine"],
        n_max_requests=given.max_requests,
        n_max_batched_tokens=given.max_batched_tokens,
        n_block_tokens=16,
        kv_tokens=local_kv if given.url is None else given.kv_tokens,
        prefix_caching=False,
        async_scheduling=False if given.url is None else None,
    )


def _versions(given: argparse.Namespace) -> dict[str, str]:
    engine = given.engine
    if given.url is None:
        engine = f"llama.cpp of xllamacpp {metadata.version('xllamacpp')}"
    file = weights()
    return {
        "engine": engine,
        "weights": given.model or (file.name if file is not None else ""),
        "python": platform.python_version(),
        "weighbridge": metadata.version("weighbridge"),
    }


def _command() -> str:
    """As it was given, without the folders of a machine."""
    words = [word if "://" in word else Path(word).name for word in sys.argv[1:]]
    return shlex.join(["python", "-m", "benchmarks.engine_loop", *words])


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
