"""Results of the loop as `docs/real-engine.md`.

python -m benchmarks.engine_loop.page > docs/real-engine.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from textwrap import wrap
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results" / "engine_loop.json"
METRICS = {"ttft": "TTFT", "tpot": "time per token", "e2e": "end to end"}
QUIET_FRAC = 0.1  # of the engine's core that others may take before errors say more of them
Figures = Mapping[str, Any]


def main() -> None:
    """Print the page of the recorded results."""
    print("\n".join(page(json.loads(RESULTS.read_text()))))


def page(results: Figures) -> Iterator[str]:
    """Lines of the page."""
    yield "# A real engine in the loop"
    yield ""
    yield "Made by `python -m benchmarks.engine_loop --write`; not edited by hand."
    yield ""
    yield from what_was_done(results)
    yield from unseen(results["loads"])
    yield from noise(results)
    yield from seen(results["loads"])
    yield from held_out(results["profile"]["held_out"])
    yield from parameters(results["profile"]["parameters"])
    yield from falls_short()
    yield from other_engines()


def paragraph(*sentences: str) -> Iterator[str]:
    """Sentences as wrapped lines."""
    yield from wrap(" ".join(sentences), 100, break_on_hyphens=False)
    yield ""


def row(*cells: object) -> str:
    """A row of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def error_frac(ours_s: float, theirs_s: float) -> float:
    """Ours over theirs, less one."""
    return ours_s / theirs_s - 1.0


def what_was_done(results: Figures) -> Iterator[str]:
    """The question, the steps, the command."""
    told = results["settings"]
    yield from paragraph(
        "A model that really runs is measured with aiperf under some loads, calibrated from those "
        "as `weighbridge calibrate` does, and its latencies under other loads are predicted, then "
        "measured."
    )
    yield from (
        "```",
        results["command"],
        "```",
        "",
        f"1. The engine starts on one core: {results['versions']['engine']}, "
        f"{results['versions']['weights']},",
        f"   one thread, {told['max_requests']} slots of {told['context_tokens']:,} tokens, at "
        f"most {told['max_batched_tokens']} tokens an iteration, no reuse of prompts.",
        "2. A tokenizer's folder is made from the vocabulary inside the weights' file.",
        f"3. aiperf runs on another core: {len(results['loads'])} loads of {told['seconds']:g} s "
        "each, training, unseen and repeated",
        "   ones in turn, lengths drawn anew each time, Poisson rates as shares of what "
        "concurrency 4 reached.",
        f"4. The training loads are calibrated: {results['profile']['n_evaluations']:,} "
        f"simulations, {results['calibration_s']:g} s of CPU.",
        "5. Every load is simulated with the profile. What goes in is the lengths in their order "
        "and the",
        "   concurrency of a closed loop, or the arrivals of an open one; no latency.",
        "",
    )
    yield from paragraph(
        f"{results['made_on']}, {results['machine']}, Python {results['versions']['python']}, "
        f"Weighbridge {results['versions']['weighbridge']}."
    )


def unseen(loads: Sequence[Figures]) -> Iterator[str]:
    """Predictions of loads that the calibration did not see."""
    chosen = [load for load in loads if load["role"] == "unseen"]
    yield "## Loads that the calibration had not seen"
    yield ""
    yield row("load", "requests", "", "predicted mean [interval]", "measured", "error", "p90 error")
    yield row("---", "--:", "---", "--:", "--:", "--:", "--:")
    for load in chosen:
        for i, (metric, title) in enumerate(METRICS.items()):
            ours, theirs = load["predicted"][metric], load["measured"][metric]
            interval = f"[{_s(ours['low_s'])}, {_s(ours['high_s'])}]"
            yield row(
                described(load) if i == 0 else "",
                load["n_requests"] if i == 0 else "",
                title,
                f"{_s(ours['mean_s'])} {interval}",
                _s(theirs["mean_s"]),
                f"{error_frac(ours['mean_s'], theirs['mean_s']):+.1%}",
                f"{error_frac(ours['p90_s'], theirs['p90_s']):+.1%}",
            )
    yield ""
    yield from paragraph(
        "Times in seconds.",
        "Median of the errors without their sign:",
        "; ".join(
            f"{title} {_median(chosen, metric, 'mean_s'):.1%} (mean) and "
            f"{_median(chosen, metric, 'p90_s'):.1%} (p90)"
            for metric, title in METRICS.items()
        )
        + ".",
        f"{sum(_inside(load) for load in chosen)} of {len(chosen) * len(METRICS)} measured means "
        "lie inside their interval, which is that of single requests and so a wide one for means.",
    )


def _s(time_s: float) -> str:
    return f"{time_s:.4f}" if time_s < 0.1 else f"{time_s:.2f}"


def _inside(load: Figures) -> int:
    return sum(
        load["predicted"][metric]["low_s"]
        <= load["measured"][metric]["mean_s"]
        <= load["predicted"][metric]["high_s"]
        for metric in METRICS
    )


def _median(loads: Sequence[Figures], metric: str, figure: str) -> float:
    return median(
        abs(error_frac(load["predicted"][metric][figure], load["measured"][metric][figure]))
        for load in loads
    )


def described(load: Figures) -> str:
    """A load in words."""
    lengths = f"{load['mix']}, {load['input_tokens']:.0f} + {load['output_tokens']:.0f} tokens"
    if load["n_concurrent"] is not None:
        return f"{lengths}, {load['n_concurrent']} at once"
    return f"{lengths}, Poisson at {load['rate_frac']:.0%}, {load['requests_per_s']:.2g} requests/s"


def drift(loads: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Of loads measured twice, by name and metric: the second mean over the first, less one."""
    first = {load["name"]: load for load in loads}
    return {
        again["repeats"]: {
            metric: error_frac(
                again["measured"][metric]["mean_s"],
                first[again["repeats"]]["measured"][metric]["mean_s"],
            )
            for metric in METRICS
        }
        for again in loads
        if again["repeats"] is not None
    }


def noise(results: Figures) -> Iterator[str]:
    """What repeating a load tells, and how much of the core others took."""
    loads = results["loads"]
    by_name = {load["name"]: load for load in loads}
    yield "## How much the machine itself moves"
    yield ""
    yield "Training loads measured again at the end, against their first measurement:"
    yield ""
    yield row("load", *(f"{title}, mean" for title in METRICS.values()))
    yield row("---", *("--:" for _ in METRICS))
    for name, moved in drift(loads).items():
        yield row(described(by_name[name]), *(f"{one:+.1%}" for one in moved.values()))
    yield ""
    yield row("loads, in the order they ran", "wall s", "load average", "engine's core to others")
    yield row("---", "--:", "--:", "--:")
    for one in results["sittings"]:
        others = "not known" if one["others_frac"] is None else f"{one['others_frac']:.0%}"
        yield row(", ".join(one["loads"]), one["wall_s"], one["load_average"], others)
    yield ""
    yield from paragraph(verdict(results))


def verdict(results: Figures) -> str:
    """Whether the errors above can be told from the machine's own movement."""
    moved = max(abs(one) for each in drift(results["loads"]).values() for one in each.values())
    known = [one["others_frac"] for one in results["sittings"]]
    if None in known:
        return (
            "What others took of the engine's core is not known; a load measured twice moved by "
            f"up to {moved:.0%}."
        )
    busy = max(known)
    if busy > QUIET_FRAC:
        return (
            f"**The machine was not quiet: others took up to {busy:.0%} of the engine's core, and "
            f"a load measured twice moved by up to {moved:.0%}. The errors above hold that "
            "movement; they are no measure of the model alone.**"
        )
    return (
        f"Others took at most {busy:.0%} of the engine's core; a load measured twice moved by up "
        f"to {moved:.0%}. An error smaller than that may be the machine's."
    )


def seen(loads: Sequence[Figures]) -> Iterator[str]:
    """The training loads, predicted in the same way."""
    yield "## Loads that it was calibrated on"
    yield ""
    yield "Errors of the mean when they are predicted as the others are:"
    yield ""
    yield row("load", "requests", *METRICS.values())
    yield row("---", "--:", *("--:" for _ in METRICS))
    for load in loads:
        if load["role"] != "training":
            continue
        errors = (
            error_frac(load["predicted"][metric]["mean_s"], load["measured"][metric]["mean_s"])
            for metric in METRICS
        )
        yield row(described(load), load["n_requests"], *(f"{one:+.1%}" for one in errors))
    yield ""


def held_out(errors: Sequence[Figures]) -> Iterator[str]:
    """What the profile itself knows of its errors."""
    if not errors:
        return
    off = {
        title: median(abs(one["mean_error_frac"]) for one in errors if one["metric"] == metric)
        for metric, title in METRICS.items()
    }
    yield from paragraph(
        "On the second half of each of these loads, after a fit to the first halves alone, the "
        "mean was off by a median of",
        ", ".join(f"{one:.1%} ({title})" for title, one in off.items())
        + ": the errors that the intervals above come from.",
    )


def parameters(fitted: Sequence[Figures]) -> Iterator[str]:
    """What was found for the step time."""
    yield "## The step time that was found"
    yield ""
    yield row("parameter", "value", "90 % interval")
    yield row("---", "--:", "---")
    for one in fitted:
        yield row(
            f"`{one['name']}`", f"{one['value']:.3g}", f"{one['low']:.2g} to {one['high']:.2g}"
        )
    yield ""
    yield from paragraph(
        "Some of them trade against each other (a request's share of a step against a cached "
        "token's, what prompts add to a step against what each token adds), which the width of "
        "their intervals tells; predictions rest on their sum."
    )


def falls_short() -> Iterator[str]:
    """What this does not show."""
    yield "## What falls short"
    yield ""
    yield from (
        "- One small model on one CPU core. It shows that measuring, calibrating and predicting "
        "fit together",
        "  and that the scheduler's rules hold; it says nothing of GPUs.",
        "- llama.cpp schedules as the simulation does: answers first, then prompts until the "
        "iteration is full",
        "  (`n_batch`), first come first served beyond the slots (its `server-context.cpp`). Three "
        "things differ.",
        "  It fills iterations in the order of slots, not of arrival. Where each slot has its own "
        "cache, it",
        "  computes the answers and the prompts of one iteration one after the other, which the "
        "form of the step",
        "  time holds only on average. And it would reuse what a slot has of its last prompt, the "
        "chat template at",
        "  least; that is switched off here (`cache_prompt: false`, no prompt cache in memory), "
        "since no benchmark",
        "  file tells of it.",
        "- Lengths and, in open loops, arrivals are those of the measured run. A prediction from a "
        "rate alone",
        "  has the chance of arrivals on top.",
        "",
    )


def other_engines() -> Iterator[str]:
    """How to do the same with an endpoint that runs, vLLM on a CPU say."""
    yield "## The same with vLLM on a CPU: not run"
    yield ""
    yield from paragraph(
        "**Nothing in this section was run**: neither a CPU build of vLLM nor weights in its "
        "format were at hand. Any endpoint that speaks OpenAI's chat protocol is measured with "
        "`--url`; the engine is to be pinned, and its limits told, by whoever starts it."
    )
    yield from VLLM


VLLM = (
    "1. Build, as vLLM's page on installing for CPUs says (GCC 12 or later, libnuma; PyTorch's CPU",
    "   wheels from the index that it names; newer versions keep these files elsewhere):",
    "",
    "   ```",
    "   git clone --branch v0.10.2 https://github.com/vllm-project/vllm.git && cd vllm",
    "   python3 -m venv .venv && . .venv/bin/activate",
    "   pip install -r requirements/cpu-build.txt -r requirements/cpu.txt",
    "   VLLM_TARGET_DEVICE=cpu pip install --no-build-isolation .",
    "   ```",
    "",
    "2. Start it on one core with the limits of this page:",
    "",
    "   ```",
    "   VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=0 taskset -c 0 \\",
    "     vllm serve HuggingFaceTB/SmolLM2-135M-Instruct --dtype bfloat16 --max-model-len 1024 \\",
    "     --max-num-seqs 4 --max-num-batched-tokens 256 --no-enable-prefix-caching --port 8000",
    "   ```",
    "",
    "3. Measure, calibrate, predict; `--kv-tokens` from the line *GPU KV cache size* of its log:",
    "",
    "   ```",
    "   python -m benchmarks.engine_loop --url http://127.0.0.1:8000 \\",
    "     --model HuggingFaceTB/SmolLM2-135M-Instruct \\",
    "     --tokenizer HuggingFaceTB/SmolLM2-135M-Instruct \\",
    "     --engine 'vllm 0.10.2' --kv-tokens N --load-core 1",
    "   ```",
)

if __name__ == "__main__":
    main()
