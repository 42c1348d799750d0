"""Print `docs/accuracy.md` from the errors in `benchmarks/results/`.

python benchmarks/accuracy_page.py > docs/accuracy.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
Figures = Mapping[str, Any]

# What the rows themselves show to be behind the worst groups.
REASONS = {
    "qwen3-32b on gb200": "its times per token jump between 8 and 130 ms from one concurrency to "
    "the next without order: settings that no column tells changed between runs",
    "deepseek-v3 on b300-sxm": "one SGLang version (0.5.10) whose long prompts take three times as "
    "long as 0.5.9 on the slower B200",
    "deepseek-r1 on b200-sxm": "runs with and without speculative decoding stand under one "
    "configuration (6.7 and 8.8 ms a token at one load), some SGLang rows wait 5 to 9 s for "
    "prompts of 1,024 tokens, and ranks of data-parallel attention wait for each other",
    "llama-2-70b on h100-sxm": "vLLM of 2023 without captured graphs: 30 ms of launches a token, "
    "of which only BLOOM's rows tell anything when this group is held out",
    "glm-5 on b300-sxm": "SGLang nightly: the B200 rows that predict it are of two builds under "
    "this one name, twice as slow to the first token one as the other",
    "qwen3.5-397b-a17b on b200-sxm": "SGLang's prompts start slower here than on H200; no column "
    "tells why",
    "llama-3.1-8b on h100-sxm": "the time to first token is longer by the life of a request over "
    "their number, as if one place less ran than was asked for, and of 128 requests about 100 run: "
    "a cap that no column tells",
    "gpt-oss-120b on b200-sxm": "engine versions: TensorRT-LLM's H200 rows, which predict it, are "
    "of a development build",
    "gpt-oss-120b on h200-sxm": "engine versions: a development build of TensorRT-LLM",
    "kimi-k2.5 on b200-sxm": "vLLM 0.15 and 0.17, while the B300 rows that predict it are of 0.19",
    "llama-3.1-70b on h200-sxm": "B200 rows predict it, whose 8-bit kernels reach less of the "
    "data sheet",
    "llama-3.1-70b on b200-sxm": "TensorRT-LLM's prompts of 1,024 tokens take four times as long "
    "before answers of 1,024 tokens as before answers of 8,192",
}
MISSES = {
    "mi300x": "no measurement of an AMD GPU at a stated concurrency is in the fit, only one ratio "
    "from offline runs",
    "b60": "an Intel GPU; four cards with two GPUs each stand as 4 GPUs",
    "llama-3.1-8b": "small models at large batches are bound by scheduling, which the fit learned "
    "from an older TensorRT-LLM",
    "qwen3-235b": "an architecture that is not in the fit",
    "llama-4-scout": "an architecture that is not in the fit",
}


def main() -> None:
    """Print the page."""
    errors = json.loads((RESULTS / "serving_errors.json").read_text())
    aggregates = json.loads((RESULTS / "serving_aggregates.json").read_text())
    priors = json.loads((RESULTS / "serving_priors.json").read_text())
    runs = json.loads((RESULTS / "serving_runs.json").read_text())
    print("\n".join(page(errors, aggregates, priors, runs)))


def page(errors: Figures, aggregates: Figures, priors: Figures, runs: Figures) -> Iterator[str]:
    """Lines of the page."""
    yield "# How wrong the predicted speeds are"
    yield ""
    yield "Made by `make docs` from `benchmarks/results/`; renew those with"
    yield ""
    yield "```"
    yield "python benchmarks/fit_serving.py --points measured_points.csv --write"
    yield "python benchmarks/serving_aggregates.py --points measured_points.csv --write"
    yield "python benchmarks/serving_priors.py --points measured_points.csv --write"
    yield "python benchmarks/serving_runs.py --runs vllm_runs --write"
    yield "```"
    yield ""
    yield from how(errors)
    yield from overall(errors)
    yield from choices(errors, priors)
    yield from by_group(errors["by"]["group"])
    for name, title in SPLITS.items():
        yield from table(f"By {title}", title, errors["by"][name])
    yield from worst(errors["by"]["group"])
    yield from aggregate_tables(aggregates)
    yield from recorded_runs(runs)
    yield from left_out(errors)


SPLITS = {
    "family": "model family",
    "kind": "kind of model",
    "gpu": "GPU",
    "engine": "engine",
    "precision": "number format of the weights",
    "n_gpus": "GPUs of a replica",
}


def paragraph(*sentences: str) -> Iterator[str]:
    """Wrapped lines and an empty one."""
    yield from wrap(" ".join(sentences), 100, break_long_words=False, break_on_hyphens=False)
    yield ""


def how(errors: Figures) -> Iterator[str]:
    """What was done."""
    both = errors["overall"]["tpot"]
    yield from paragraph(
        f"Data: {errors['n_rows']:,} published measurements (SHA-256",
        f"{errors['data_digest'][:16]}…), of which {both['n']:,} have a configuration, a load and",
        f"a latency and are no repeats, in {both['n_groups']} groups of one model on one GPU",
        "under their canonical names. For each group the whole fit is repeated",
        "without it; its interval",
        "comes from errors of further fits that saw neither it nor the group",
        "whose errors they are.",
        "Groups weigh the same, whatever their size. *Median* is of |predicted/measured - 1|;",
        "*ratio* is the median of predicted over measured; *inside* is the share within the 90 %",
        "interval; *width* is the median of its upper over its lower bound.",
    )
    yield from paragraph(
        "Each fit takes six steps from the one on everything; with twenty, medians move by less",
        "than 0.2 points. What an unseen generation, engine or number format adds to an",
        "interval is learned by leaving out all groups that have it.",
    )


def choices(errors: Figures, priors: Figures) -> Iterator[str]:
    """What was chosen with all groups in view, and what it does to the figures."""
    yield "## What was chosen with all groups in view"
    yield ""
    untold, wide = errors["otherwise"]["untold_experts"], errors["otherwise"]["untold_formats_wide"]
    shipped, nested = priors["shipped"], priors["chosen_on_other_families"]
    flat = priors["untuned"]
    drawn = {m: [one[m] for one in priors["drawn"]] for m in ("tpot", "ttft")}
    yield from paragraph(
        "No coefficient was fitted with the group that it is judged on, but people chose,",
        "with these errors before them: the loss, the strengths of the priors, which conditions",
        "widen an interval, the distances over which errors go together, and how to read rows",
        "that do not tell everything. The aggregates below had no part, but for the ratio of",
        "AMD's GPUs. What the choices are worth, as medians for times per output token and to",
        "first token:",
    )
    yield "| instead | TPOT | TTFT |"
    yield "|---|--:|--:|"
    rows = (
        ("as shipped", shipped["tpot"], shipped["ttft"]),
        (
            "strengths chosen on other model families than those judged, among "
            f"{priors['n_draws']} draws about the shipped ones, the shipped and one for all",
            nested["tpot"],
            nested["ttft"],
        ),
        (
            "strengths at random about the shipped ones, worst draw",
            max(drawn["tpot"]),
            max(drawn["ttft"]),
        ),
        ("one strength for all effects, one for all coefficients", flat["tpot"], flat["ttft"]),
        (
            f"with {untold['n'] - errors['overall']['tpot']['n']} rows of mixtures whose spread of "
            "experts is not told, taken as not spread",
            untold["tpot"],
            untold["ttft"],
        ),
        (
            "TensorRT-LLM's rows without a number format read as 16-bit, not 8-bit",
            wide["tpot"],
            wide["ttft"],
        ),
    )
    for name, tpot, ttft in rows:
        yield f"| {name} | {tpot:.1%} | {ttft:.1%} |"
    yield ""
    yield "Left out whole, instead of one pair of model and GPU at a time:"
    yield ""
    yield "| left out together | times | TPOT median | 90th % | TTFT median | 90th % |"
    yield "|---|--:|--:|--:|--:|--:|"
    for name, title in WHOLES.items():
        one = errors["whole"][name]
        yield (
            f"| {title} | {one['n_left_out']} | {one['tpot']['median_error']:.1%} | "
            f"{one['tpot']['p90_error']:.0%} | {one['ttft']['median_error']:.1%} | "
            f"{one['ttft']['p90_error']:.0%} |"
        )
    yield ""


WHOLES = {
    "gpu": "all groups of a GPU",
    "family": "all groups of a model family",
    "generation": "all groups of a generation of GPUs",
    "engine": "all rows of an engine",
}


def overall(errors: Figures) -> Iterator[str]:
    """Errors by source of the prediction."""
    given = errors["calibrated"]
    yield "## By source"
    yield ""
    yield "| source | metric | rows | median | 90th % | inside | width | width, rows alike |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for metric, name in (("tpot", "time per output token"), ("ttft", "time to first token")):
        s = errors["overall"][metric]
        yield (
            f"| data sheets and fit | {name} | {s['n']:,} | {s['median_error']:.1%} | "
            f"{s['p90_error']:.0%} | {s['covered']:.0%} | {s['interval_width']:.2f} | "
            f"{s['interval_width_rows_alike']:.2f} |"
        )
    for metric, name in (("tpot", "time per output token"), ("ttft", "time to first token")):
        s = given[metric]
        yield (
            f"| four or more other concurrencies given | {name} | {s['n']:,} | "
            f"{s['median_error']:.1%} | {s['p90_error']:.1%} | | | |"
        )
    yield ""
    tpot, ttft, both = given["tpot"], given["ttft"], given["tpot_with_contradictory"]
    yield from paragraph(
        "The last two rows leave out one concurrency at a time of",
        f"{given['n_series']} series of five or more, the fit itself being without the series'",
        "group; rows weigh the same. With groups weighing the same they are",
        f"{tpot['median_error_groups_alike']:.1%} and {tpot['p90_error_groups_alike']:.1%} for the",
        f"time per output token, {ttft['median_error_groups_alike']:.1%} and",
        f"{ttft['p90_error_groups_alike']:.1%} for the time to first token.",
        f"{given['n_contradictory']} series are not in these figures, whose repeats at one",
        "concurrency differ by more than a tenth; with them the time per output token comes to",
        f"{both['median_error']:.1%} and {both['p90_error']:.1%}.",
    )
    engines = errors["by"]["engine"]
    widths = {name: engines[name]["ttft"]["interval_width"] for name in engines}
    tpot_width = errors["overall"]["tpot"]["interval_width"]
    yield from paragraph(
        "Targets: median at most 15 % and 25 %, 85 to 95 % inside, widths at most 2.0 and 3.5;",
        "with four concurrencies at most 4 % median and 10 % at the 90th percentile.",
        f"The median width of a time per output token, {tpot_width:.2f}, misses its target",
        "narrowly since efficiencies stay below the data sheet and formats of a GPU in order. That",
        "of a time to first token stands on an edge: it is",
        f"{widths['vllm']:.1f} for vLLM and {widths['vllm-2023']:.1f} for vLLM of 2023, which",
        f"have a little more than half of the weight, {widths['sglang']:.1f} for SGLang and",
        f"{widths['tensorrt-llm']:.1f} for TensorRT-LLM, whose rows hold cold starts, caps of the",
        "batch and versions that no column tells.",
    )


def by_group(groups: Figures) -> Iterator[str]:
    """The leave-one-group-out table."""
    yield from table("By group", "model and GPU", groups)


def table(title: str, first: str, rows: Figures) -> Iterator[str]:
    """One table of errors."""
    yield f"## {title}"
    yield ""
    columns = "median | ratio | inside | width"
    yield f"| {first} | rows | TPOT {columns} | TTFT {columns} |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for name, one in rows.items():
        cells = " | ".join(
            f"{s['median_error']:.1%} | {s['predicted_over_measured']:.2f} | {s['covered']:.0%} | "
            f"{s['interval_width']:.2f}"
            for s in (one["tpot"], one["ttft"])
        )
        yield f"| {name} | {one['tpot']['n']:,} | {cells} |"
    yield ""


def worst(groups: Figures) -> Iterator[str]:
    """Groups above the targets, with the reason where the rows show one."""
    yield "## Worst cases"
    yield ""
    bars = (("tpot", "time per output token", 0.15), ("ttft", "time to first token", 0.25))
    for metric, name, most in bars:
        ranked = sorted(groups.items(), key=lambda item: -item[1][metric]["median_error"])
        for group, one in ranked:
            if one[metric]["median_error"] > most:
                reason = REASONS.get(group, "no reason shows in the rows")
                yield f"- {group}, {name}: {one[metric]['median_error']:.0%}; {reason}."
    yield ""


def aggregate_tables(aggregates: Figures) -> Iterator[str]:
    """Predictions of published aggregate throughputs."""
    groups = aggregates["groups"]
    n, inside = (sum(one[key] for one in groups.values()) for key in ("n", "inside"))
    yield "## Published aggregate throughputs"
    yield ""
    yield from paragraph(
        f"{aggregates['n_rows']} rows, of which {n} can be predicted; {inside} lie inside their",
        "interval. In the fit are none but the MI300X rows of AMD's and Oracle's pages, which give",
        "one ratio for AMD's GPUs, shrunk by hand with MLPerf's rows in view.",
        "Offline rows: the best batch that memory",
        "holds, at the best split of the GPUs where the row tells none. MLPerf Server and",
        "Interactive: the best",
        "whose means stay below 80 % of the scenario's bounds on the 99th percentile",
        "(`loadgen/mlperf.conf` of [MLPerf inference](https://github.com/mlcommons/inference) at",
        "001712e9; the 80 % are an assumption of ours).",
    )
    yield "| rows | number | inside | ratio | width |"
    yield "|---|--:|--:|--:|--:|"
    for name, one in groups.items():
        yield (
            f"| {name} | {one['n']} | {one['inside']} | {one['predicted_over_measured']:.2f} | "
            f"{one['interval_width']:.2f} |"
        )
    yield ""
    yield "Misses, and why:"
    yield ""
    for name, one in groups.items():
        if one["inside"] < one["n"]:
            reasons = [reason for part, reason in MISSES.items() if part in name]
            reason = reasons[0] if reasons else "no reason shows"
            yield f"- {name}: {one['n'] - one['inside']} of {one['n']}; {reason}."
    yield ""
    yield (
        "Not predicted: "
        + "; ".join(f"{count} rows, {reason}" for reason, count in aggregates["left_out"].items())
        + "."
    )
    yield ""


def recorded_runs(runs: Figures) -> Iterator[str]:
    """Runs of engines on cards, of which the fit has no measurement."""
    yield "## Cards with graphics memory, of which the fit has no measurement"
    yield ""
    yield from paragraph(
        "Three recorded runs of vLLM 0.19, 300 requests each, simulated at the speeds that data",
        "sheets and fit predict for these GPUs; the fit saw none of them. The intervals of such",
        "cards are widened by hand until they hold these runs, so that this table is no test of",
        "them; it tells how far off the predictions are. Throughput is the reciprocal of the mean",
        "time of a request from end to end.",
    )
    yield "| run | metric | measured / predicted | interval | inside |"
    yield "|---|---|--:|--:|---|"
    for run, one in runs.items():
        for metric, s in one["metrics"].items():
            yield (
                f"| {run} | {metric} | {s['measured_over_predicted']:.2f} | "
                f"{s['low_ratio']:.2f} to {s['high_ratio']:.2f} | "
                f"{'yes' if s['inside'] else '**no**'} |"
            )
    yield ""
    told = {k: one["kv_tokens"] for k, one in runs.items() if one["kv_tokens"]["told"]}
    for run, tokens in told.items():
        yield from paragraph(
            f"{run} told a cache of {tokens['told']:,} tokens; {tokens['predicted']:,} are",
            "predicted at its token budget.",
        )
    yield from paragraph(
        "Both dense runs are faster than predicted: the engine's log on the RTX 4090 shows prompts",
        "computed at about the dense rate of its sheet, twice what is predicted.",
    )


def left_out(errors: Figures) -> Iterator[str]:
    """Rows that are not judged."""
    yield "## Rows that are not judged"
    yield ""
    yield "| rows | reason |"
    yield "|--:|---|"
    for reason, count in sorted(errors["left_out"].items(), key=lambda item: -item[1]):
        yield f"| {count} | {reason} |"
    yield f"| {errors['n_repeats']} | repeats of a measurement under another id |"
    yield ""
    yield from paragraph(
        "Rows of TensorRT-LLM without a number format are taken as 8-bit: nothing tells it but",
        "that a fit without them is nearer to them so. Ids of the silicon",
        "samples tell tensor and expert parallelism where their columns hold the product of both:",
        "equal latencies stand under 4 GPUs in one file and under 16 in another.",
    )


if __name__ == "__main__":
    main()
