"""A size study as files: JSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import json
from collections.abc import Iterable

from weighbridge.report.files import Row, Table, csv_text, plain
from weighbridge.study.size_result import Answer, Detail, SizeStudy

SCHEMA = "weighbridge.size"
SCHEMA_VERSION = 1


def size_to_json(study: SizeStudy) -> bytes:
    """The study as JSON: keys carry units; a missing number is null; money is US dollars."""
    body = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **plain(study)}
    return (json.dumps(body, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def size_tables(study: SizeStudy) -> dict[str, str]:
    """CSV text by file name."""
    tables: dict[str, Table] = {
        "answers": _answers(study),
        "frontier": _frontier(study),
        "multiples": _multiples(study),
        "load": _load(study),
        "ways": _ways(study),
        "plans": _plans(study),
    }
    return {f"{name}.csv": csv_text(header, rows) for name, (header, rows) in tables.items()}


def _answers(study: SizeStudy) -> Table:
    header = ["deployment", "status", "why_not", "basis", "gpu", "n_gpus_per_replica"]
    header += ["n_tensor_parallel", "precision", "kv_precision", "engine", "kv_tokens"]
    header += ["n_needed_low", "n_needed", "n_needed_high", "n_headroom", "n_kept", "n_gpus_kept"]
    header += [f"{name}_s" for name in study.slo_names]
    header += ["load_frac", "busy_frac", "within_slo_frac", "goodput_requests_per_s"]
    header += ["goodput_tokens_per_s", "n_preemptions", "prefix_hit_frac", "usd_per_gpu_hour"]
    header += ["usd_per_hour", "usd_per_month", "reserved_usd_per_mtok"]
    header += ["reserved_usd_per_output_mtok", "full_load_usd_per_mtok_flattering", "binds"]
    header += ["n_kept_low", "n_kept_high", "low_usd_per_month", "high_usd_per_month"]
    header += ["low_reserved_usd_per_mtok", "high_reserved_usd_per_mtok"]
    header += [f"{name}_kept_at_slow_end_s" for name in study.slo_names]
    return header, (_answer_row(study, answer) for answer in study.answers)


def _answer_row(study: SizeStudy, answer: Answer) -> Row:
    setup, safe, week, cost = answer.setup, answer.safety, answer.week, answer.cost
    row: list[object] = [setup.label, answer.status, answer.why_not, answer.basis, setup.gpu]
    row += [setup.n_gpus, setup.n_tensor_parallel, setup.precision, setup.kv_precision]
    row += [setup.engine, answer.kv_tokens or None]
    if safe is not None:
        n_kept = safe.n_fleet_replicas
        row += [safe.needed.n_low, safe.needed.n_mid, safe.needed.n_high]
        row += [safe.n_headroom_replicas, n_kept, n_kept * setup.n_gpus]
    else:
        row += [None, answer.n_peak_replicas, None, None, None, None]
    row += answer.peak.reached_s if answer.peak else [None] * len(study.slo_names)
    row += [cost.tokens_of_full_load_frac if cost else None]
    if week is not None:
        row += [week.utilization_frac, week.within_slo_frac, week.goodput_requests_per_s]
        row += [week.goodput_tokens_per_s, week.n_preemptions, week.prefix_hit_frac]
    else:
        row += [None] * 6
    row += [answer.price.usd_per_gpu_hour if answer.price else None]
    row += [cost.usd_per_hour if cost else None, cost.usd_per_month if cost else None]
    row += [cost.reserved_usd_per_mtok if cost else None]
    row += [cost.reserved_usd_per_output_mtok if cost else None]
    row += [cost.full_load_usd_per_mtok if cost else None]
    row += [answer.binds.words if answer.binds else ""]
    return [*row, *_spread_cells(study, answer)]


def _spread_cells(study: SizeStudy, answer: Answer) -> Row:
    if answer.spread is None:
        return [None] * (6 + len(study.slo_names))
    s = answer.spread
    row: list[object] = [s.kept.n_low, s.kept.n_high, s.low_usd_per_month, s.high_usd_per_month]
    row += [s.low_usd_per_mtok, s.high_usd_per_mtok]
    return [*row, *s.slow_peak.reached_s]


def _by_detail(study: SizeStudy) -> Iterable[tuple[str, Detail]]:
    return ((detail.setup.label, detail) for detail in study.details)


def _frontier(study: SizeStudy) -> Table:
    header = ["deployment", "load_ratio", "n_replicas", "tokens_per_s", "output_tokens_per_s"]
    header += ["usd_per_mtok", "slo_met", "goodput_requests_per_s"]
    header += [f"{m}_{q}_s" for m in ("ttft", "tpot", "e2e") for q in ("p50", "p95", "p99")]
    rows = (
        [
            label,
            point.load_ratio,
            point.peak.n_replicas,
            point.tokens_per_s,
            point.output_tokens_per_s,
            usd,
            point.peak.slo_met,
            point.peak.goodput_requests_per_s,
            *(
                point.peak.latency_s[metric][name]
                for metric in ("ttft", "tpot", "e2e")
                for name in ("p50", "p95", "p99")
            ),
        ]
        for label, detail in _by_detail(study)
        for point, usd in zip(detail.frontier, detail.frontier_usd_per_mtok, strict=True)
    )
    return header, rows


def _multiples(study: SizeStudy) -> Table:
    header = ["deployment", "demand_ratio", "n_low", "n_mid", "n_high", "load_frac"]
    header += ["low_usd_per_month", "mid_usd_per_month", "high_usd_per_month"]
    rows = (
        [label, *(float(value) for value in values), *usd]
        for label, detail in _by_detail(study)
        for *values, usd in zip(
            detail.table.demand_ratio,
            detail.table.n_replicas_low,
            detail.table.n_replicas_mid,
            detail.table.n_replicas_high,
            detail.table.utilization_frac,
            detail.table_usd_per_month,
            strict=True,
        )
    )
    return header, rows


def _load(study: SizeStudy) -> Table:
    rows = (
        [label, step * detail.step_s, float(value)]
        for label, detail in _by_detail(study)
        for step, value in enumerate(detail.busy_by_step_frac)
    )
    return ["deployment", "from_s", "load_frac"], rows


def _ways(study: SizeStudy) -> Table:
    header = ["deployment", "kind", "n_least_replicas", "n_most_replicas", "hours_ratio"]
    header += ["overflow_frac", "usd_per_month", "api_usd_per_month", "saving_usd_per_month"]
    header += ["slo_met", *(f"{name}_s" for name in study.slo_names), "why"]
    rows = [
        [
            label,
            item.elastic.kind,
            item.elastic.n_least_replicas,
            item.elastic.n_most_replicas,
            item.elastic.mean_replicas_ratio,
            item.elastic.overflow_frac,
            item.usd_per_month,
            item.api_usd_per_month,
            item.saving_usd_per_month,
            item.slo_met,
            *item.elastic.week.reached_s,
            item.elastic.why,
        ]
        for label, detail in _by_detail(study)
        for item in detail.elastic
    ]
    return header, [*rows, *_api_rows(study)]


def _api_rows(study: SizeStudy) -> list[Row]:
    """Everything to the API: no replicas, and a latency that nobody here can tell."""
    unknown: list[object] = [None] * (1 + len(study.slo_names))
    return [
        [
            *(label, "all_to_api", 0, 0, 0.0, 1.0, api.usd_per_month, api.usd_per_month),
            *(api.saving_usd_per_month, *unknown, api.note),
        ]
        for label, detail in _by_detail(study)
        if (api := detail.api) is not None
    ]


def _plans(study: SizeStudy) -> Table:
    header = ["deployment", "plan", "provider", "usd_per_gpu_hour", "n_gpus", "n_replicas"]
    header += ["usd_per_month", "usd_per_mtok", "note"]
    rows = (
        [label, *(getattr(plan, name) for name in header[1:])]
        for label, detail in _by_detail(study)
        for plan in detail.plans
    )
    return header, rows
