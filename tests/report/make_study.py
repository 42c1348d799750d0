"""A hand-made study that fills every field with plausible numbers, and its edge variants."""

# ruff: noqa: E501  (tables of numbers read best with one row on one line)

import dataclasses
import datetime as dt
from decimal import Decimal

import numpy as np

from weighbridge.study.result import (
    AssumptionUsed,
    Band,
    BandSeries,
    BreakEven,
    Capacity,
    ControlPrice,
    CostLine,
    DeploymentTried,
    Fleet,
    InformationValue,
    LatencyReached,
    NaiveComparison,
    NaiveStep,
    OptionResult,
    Payback,
    Reason,
    Reproducibility,
    Rerun,
    ShowBack,
    Study,
    Surface,
    TornadoBar,
    TypeVerdict,
    Verdict,
)
from weighbridge.usage.results import (
    CapUse,
    Concentration,
    GroupRow,
    LogSpan,
    Peak,
    Profile,
    Quantiles,
    QueryTypeProfile,
    Tokens,
    Withheld,
)

HORIZON = 36
MONTHS = np.arange(HORIZON)
SEEN_AT = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)


def lines_of(parts):
    """Cost lines from (name, category, one-off by month, monthly, growth a month)."""
    made = []
    for name, category, once, monthly, growth in parts:
        usd = monthly * (1 + growth) ** MONTHS
        for month, amount in once.items():
            usd[month] += amount
        made.append(CostLine(name, category, usd))
    return tuple(made)


def band(middle, spread):
    return Band(middle * (1 - spread), middle, middle * (1 + 1.25 * spread), middle * 1.02)


def series(middle, spread):
    width = spread * np.linspace(0.4, 1.0, len(middle))
    return BandSeries(middle * (1 - width), middle.copy(), middle * (1 + 1.25 * width))


OPTION_PARTS = {
    "api": (
        "Hosted API",
        [
            ("API tokens", "tokens", {}, 47_000, 0.02),
            ("Request wrapper", "request wrapper", {0: 14_400, 1: 9_600}, 600, 0.0),
        ],
        (0.22, 0.31, 64_000.0),
    ),
    "committed": (
        "Committed throughput",
        [
            ("Committed units", "tokens", {}, 41_500, 0.018),
            ("API overflow", "tokens", {}, 4_300, 0.03),
            ("Request wrapper", "request wrapper", {0: 14_400}, 600, 0.0),
        ],
        (0.18, 0.10, 141_000.0),
    ),
    "managed": (
        "Managed platform",
        [
            ("Platform GPUs", "gpus", {}, 17_200, 0.012),
            ("Platform fee", "platform fee", {}, 4_000, 0.0),
            ("API until go-live and for what stays", "tokens", {0: 33_000}, 9_900, 0.02),
            ("Integration", "deployment labour", {0: 8_000}, 0, 0.0),
            ("Upkeep", "on-call and upkeep", {}, 3_400, 0.0),
            ("Quality verification", "quality verification", {0: 6_500}, 250, 0.0),
        ],
        (0.26, 0.11, 160_000.0),
    ),
    "rented": (
        "Rented GPUs",
        [
            ("GPU rental", "gpus", {}, 14_600, 0.01),
            ("API until go-live", "tokens", {m: 47_000 - 8_000 * m for m in range(5)}, 0, 0.0),
            ("Supporting infrastructure", "supporting infrastructure", {}, 4_400, 0.01),
            ("Storage", "storage", {}, 60, 0.0),
            ("Egress", "network", {}, 210, 0.02),
            ("Planning and first model", "deployment labour", {0: 38_500, 1: 38_500}, 0, 0.0),
            ("Hardening", "deployment labour", {2: 30_000, 3: 30_000}, 0, 0.0),
            ("Optimisation", "deployment labour", {4: 21_000}, 0, 0.0),
            ("On-call", "on-call and upkeep", {}, 9_800, 0.0),
            ("Model upgrades", "upgrades and migration", {12: 9_000, 24: 9_000}, 400, 0.0),
            ("Specialist premium", "hiring and ramp", {0: 12_000, 1: 12_000}, 1_500, 0.0),
            ("Audit", "security and compliance", {6: 20_000, 18: 20_000, 30: 20_000}, 0, 0.0),
            ("Quality verification", "quality verification", {1: 9_000}, 300, 0.0),
            ("Exit", "exit and switching", {35: 15_000}, 0, 0.0),
        ],
        (0.34, 0.06, 211_000.0),
    ),
    "owned": (
        "Owned GPUs",
        [
            ("GPU purchase", "gpus", {1: 412_000}, 0, 0.0),
            ("Residual value", "gpus", {35: -74_000}, 0, 0.0),
            ("API until go-live", "tokens", {m: 47_000 - 6_000 * m for m in range(7)}, 0, 0.0),
            ("Colocation and power", "power and hosting", {}, 4_900, 0.004),
            ("Supporting infrastructure", "supporting infrastructure", {}, 3_900, 0.0),
            ("Planning and first model", "deployment labour", {0: 42_000, 1: 42_000}, 0, 0.0),
            ("Hardening", "deployment labour", {2: 30_000, 3: 30_000}, 0, 0.0),
            ("On-call", "on-call and upkeep", {}, 12_300, 0.0),
            ("Audit", "security and compliance", {6: 20_000, 18: 20_000, 30: 20_000}, 0, 0.0),
        ],
        (0.38, 0.04, 302_000.0),
    ),
    "hybrid": (
        "Split by query type",
        [
            (
                "API tokens that stay",
                "tokens",
                {m: 26_000 - 6_000 * m for m in range(4)},
                13_900,
                0.02,
            ),
            ("GPU rental", "gpus", {}, 8_700, 0.01),
            ("Supporting infrastructure", "supporting infrastructure", {}, 2_600, 0.01),
            ("Planning and first model", "deployment labour", {0: 33_000, 1: 33_000}, 0, 0.0),
            ("Hardening", "deployment labour", {2: 22_000}, 0, 0.0),
            ("On-call", "on-call and upkeep", {}, 6_900, 0.0),
            ("Model upgrades", "upgrades and migration", {12: 7_000, 24: 7_000}, 300, 0.0),
            ("Audit", "security and compliance", {6: 15_000, 18: 15_000, 30: 15_000}, 0, 0.0),
            ("Request wrapper", "request wrapper", {0: 9_600}, 400, 0.0),
            ("Quality verification", "quality verification", {1: 11_000}, 350, 0.0),
        ],
        (0.27, 0.38, 38_000.0),
    ),
}
GPUS = {"managed": 7, "rented": 8, "owned": 8, "hybrid": 4}
PAYBACK = {
    "committed": Payback(1.0, 1.0, None, "no money is put down first, so there is no rate"),
    "managed": Payback(3.4, 3.6, 4.1, ""),
    "rented": Payback(14.2, 15.1, 0.62, ""),
    "owned": Payback(29.7, 33.8, 0.11, ""),
    "hybrid": Payback(9.3, 9.8, 1.37, ""),
}
MOVED = ("search / rank / rerank_v3", "support / triage / classify", "crm / notes / summarise")


def fleet_of(option_id):
    if option_id not in GPUS:
        return None
    n_gpus = np.ceil(GPUS[option_id] * 1.012**MONTHS)
    load = np.where(MONTHS < 4, 0.08 * (MONTHS + 1), 0.31 * 1.02**MONTHS * GPUS[option_id] / n_gpus)
    return Fleet("H100 SXM 80 GB", n_gpus, n_gpus / 2, load, "measured: 2,150 tokens/s a replica")


def make_option(option_id):
    label, parts, (spread, probability, regret) = OPTION_PARTS[option_id]
    lines = lines_of(parts)
    cash = sum(line.usd_by_month for line in lines)
    total = float(cash.sum())
    capital = sum(line.usd_by_month for line in lines if "purchase" in line.name.lower())
    depreciation = np.full(HORIZON, float(np.sum(capital)) * 0.82 / HORIZON)
    owed = np.maximum(0, 12 - MONTHS % 12) * 41_500.0 if option_id == "committed" else 0 * cash
    memo = (CostLine("Opportunity cost of the same engineers", "memo", 0.25 * cash),)
    return OptionResult(
        id=option_id,
        label=label,
        feasible=True,
        infeasible_because=(),
        lines=lines,
        memo_lines=memo if option_id in {"rented", "owned", "hybrid"} else (),
        cash_usd_by_month=series(cash, spread),
        cumulative_usd_by_month=series(np.cumsum(cash), spread),
        pnl_usd_by_month=cash - capital + depreciation,
        commitment_liability_usd_by_month=owed,
        cancellation_exposure_usd_by_month=0.5 * owed,
        total_usd=band(total, spread),
        npv_usd=band(total * 0.88, spread),
        usd_per_month=band(total / HORIZON, spread),
        steady_usd_per_month=float(cash[-12:].mean()),
        usd_per_mtok=band(total / HORIZON / 9_400, spread),
        usd_per_request=band(total / HORIZON / 3_100_000, spread),
        usd_per_accepted_answer=band(total / HORIZON / 2_900_000, spread),
        cheapest_probability=probability,
        expected_regret_usd=regret,
        payback=PAYBACK.get(option_id),
        fleet=fleet_of(option_id),
        moved_types=MOVED if option_id == "hybrid" else (),
    )


def make_surface():
    x = np.geomspace(1e9, 1e11, 50)
    y = np.linspace(0.3, 2.0, 50)
    volume, price = np.meshgrid(x / 9.4e9, y)
    saving = 1.05e6 * volume * price - 0.42e6 * volume**0.85 - 0.55e6
    best = np.where(saving < 0, "api", np.where(volume > 3.2, "rented", "hybrid"))
    return Surface(
        x_name="volume_tokens_per_month",
        x_label="Tokens per month",
        x=x,
        y_name="api_price_ratio",
        y_label="API price against today's",
        y=y,
        saving_usd=saving,
        win_probability=1 / (1 + np.exp(-saving / 2.6e5)),
        best_option=tuple(tuple(row) for row in best.tolist()),
        here_x=9.4e9,
        here_y=1.0,
        n_draws=256,
    )


def make_capacity():
    demand = np.linspace(0.1, 5.0, 50)
    chosen = "Llama 3.3 70B in fp8 on 2 x H100 SXM, vLLM"
    return Capacity(
        option_id="hybrid",
        deployment=chosen,
        basis="roofline",
        why=(
            "step times from data sheets; 90 % of held-out times per token lie within a factor of 1.4",
            "the busiest 20 minutes of the log (Tuesday 14:05), 1,840 requests",
        ),
        slo="ttft_p95=2s,tpot_p95=100ms",
        slo_origin="our default: none is stated",
        latencies=(LatencyReached("ttft_p95", 2.0, 1.31), LatencyReached("tpot_p95", 0.1, 0.062)),
        unmet="",
        n_gpus_per_replica=2.0,
        n_replicas=Band(3.0, 4.0, 6.0, 4.3),
        utilization_frac=Band(0.17, 0.24, 0.33, 0.25),
        reserved_usd_per_mtok=Band(0.61, 0.88, 1.32, 0.93),
        full_load_usd_per_mtok=Band(0.16, 0.21, 0.29, 0.22),
        demand_ratio=demand,
        n_replicas_by_demand=BandSeries(
            np.ceil(2.1 * demand) + 1, np.ceil(2.9 * demand) + 1, np.ceil(4.2 * demand) + 1
        ),
        tried=(
            DeploymentTried(chosen, 2, 2.9, 14.5, "roofline", ""),
            DeploymentTried("Llama 3.3 70B in fp8 on 4 x L40S, vLLM", 4, float("nan"), float("nan"), "roofline", "no size meets ttft_p95=2s: 3.4 s at best"),
        ),
    )  # fmt: skip


TYPES = (
    ("search / rank / rerank_v3", "yes", "move", 14_300.0, 8_950.0, 0.34),
    ("support / triage / classify", "yes", "move", 9_100.0, 5_420.0, 0.21),
    ("crm / notes / summarise", "yes", "move", 6_250.0, 3_310.0, 0.13),
    ("support / answer / draft_reply", "unknown", "test-first", 7_800.0, 4_120.0, 0.12),
    ("legal / contracts / review", "no", "stay", 4_900.0, 0.0, 0.08),
    ("hr / screening / rank_cv", "unknown", "must-move", 2_100.0, -640.0, 0.05),
    ("bi / sql / generate", "no", "stay", 1_650.0, 0.0, 0.04),
    ("(unassigned)", "unknown", "stay", 900.0, 0.0, 0.03),
)


def make_type_verdicts():
    reasons = {
        "move": Reason(
            "cheaper-with-confidence",
            "Moving saves money in 91 % of draws at the measured length and rhythm.",
            "the API price falls by 47 %, or its volume by 58 %",
        ),
        "test-first": Reason(
            "quality-unknown",
            "Nobody has shown that a smaller model's answers are accepted.",
            "200 graded pairs show at least 97 % acceptance",
        ),
        "stay": Reason(
            "quality-known-worse",
            "The candidate failed 11 of 60 graded pairs.",
            "a new candidate is graded",
        ),
        "must-move": Reason(
            "residency",
            "Personal data of applicants must stay in the EU.",
            "the provider offers an EU endpoint",
        ),
    }
    return tuple(
        TypeVerdict(
            label=label,
            replaceable=replaceable,
            evidence={
                "yes": "420 graded pairs, 98.3 % accepted",
                "no": "team's judgement",
                "unknown": "",
            }[replaceable],
            verdict=verdict,
            api_usd_per_month=cost,
            saving_usd_per_month=saving,
            tokens_share_frac=share,
            reasons=(reasons[verdict],),
        )
        for label, replaceable, verdict, cost, saving, share in TYPES
    )


def make_verdict():
    return Verdict(
        headline="Split the traffic: move three query types to four rented H100s, leave the rest on the API.",
        decision="split",
        option_id="hybrid",
        confidence_probability=0.38,
        reasons=(
            Reason(
                "cheapest-in-expectation",
                "Over 36 months the split costs $1.34M at the median against $2.46M for the API; it is cheapest in 38 % of draws and has the lowest expected regret ($38k).",
                "traffic falls below 3.9 billion tokens a month, or API prices fall by 46 %",
            ),
            Reason(
                "concentration",
                "Three of eight query types make 68 % of tokens, all three shown replaceable.",
                "acceptance of rerank_v3 falls under 97 %",
            ),
            Reason(
                "people",
                "The split needs 0.5 FTE of MLOps and you have 1.0.",
                "fewer than 0.5 FTE are available",
            ),
            Reason(
                "peak",
                "Load peaks at 4.1 times its mean, so full self-hosting would stand idle 69 % of the time.",
                "peak-to-mean falls under 2.2",
            ),
        ),
        by_type=make_type_verdicts(),
        measure_next=(
            "Replay a day of your own traffic against one rented H100: throughput decides more than any price ($64k).",
            "Grade 200 answers of support / answer / draft_reply: $4.1k a month if they hold.",
            "Ask two providers for a 12-month H100 quote ($17k).",
        ),
        rerun=Rerun(
            dt.date(2027, 2, 1),
            (
                "API list price of the main model falls by 20 % or more",
                "monthly tokens leave 5.2 to 16 billion",
                "the H100 rate rises above $3.90 an hour",
            ),
        ),
        engines=(
            "vLLM: continuous batching, prefix cache, wide model support",
            "SGLang: strong on shared prefixes and structured output",
        ),
        engine_warnings=(
            "Ollama and llama.cpp server: made for one user, throughput collapses under concurrent load",
            "TGI: in maintenance mode",
        ),
        left_out=(
            "Taxes, and the tax effect of depreciation",
            "Discounts that depend on your total cloud spend",
            "Carbon",
        ),
    )


TORNADO = (
    ("replica_output_tokens_per_s", "Output tokens per second of one replica", "tokens per second", 900, 3000, -210e3, 1.55e6, 0.41),
    ("demand_multiplier_ratio", "True volume against the figure given", "ratio, 1 = equal", 0.8, 1.25, 0.31e6, 1.92e6, 0.19),
    ("api_price_change_frac_per_year", "API price drift", "fraction a year, 1 = 100 %", -0.3, 0.1, -95e3, 1.61e6, 0.17),
    ("gpu_usd_per_gpu_hour", "GPU rental price (specialist)", "US dollars per GPU and hour", 1.9, 3.9, 1.31e6, 0.52e6, 0.08),
    ("peak_to_mean_ratio", "Peak against mean load", "ratio, 1 = equal", 2.5, 5.0, 1.29e6, 0.61e6, 0.06),
    ("upkeep_fte", "On-call and upkeep", "full-time equivalents", 0.25, 1.0, 1.22e6, 0.68e6, 0.05),
    ("throughput_shortfall_frac", "Benchmark throughput not reached on live traffic", "fraction, 1 = 100 %", 0.1, 0.5, 1.18e6, 0.71e6, 0.03),
    ("tokens_per_answer_ratio", "Tokens per answer of the candidate against today's model", "ratio, 1 = equal", 0.85, 1.3, 1.12e6, 0.80e6, 0.02),
    ("storage_gb", "Model and data storage", "gigabytes (10^9 bytes)", 200, 3000, 1.0e6, 0.98e6, 0.0),
)  # fmt: skip

ASSUMPTIONS = (
    ("volume_tokens_per_month", "Tokens per month", "tokens per month", 8.1e9, 9.4e9, 10.8e9, "log", "usage ledger, 7.0 days", "sampling error of one week is in the band"),
    ("replica_output_tokens_per_s", "Output tokens per second of one replica", "tokens per second", 900, 2150, 3000, "catalog", "MLPerf Inference v5.1, checked 2026-10-30", ""),
    ("gpu_usd_per_gpu_hour", "GPU rental price (specialist)", "US dollars per GPU and hour", 1.9, 2.5, 3.9, "scenario", "scenario.yaml", "quote of 2026-10-12"),
    ("mlops_fte", "MLOps people available", "full-time equivalents", 1, 1, 1, "command line", "--mlops-fte 1", ""),
    ("supporting_infrastructure_frac", "Supporting infrastructure on top of GPUs", "fraction, 1 = 100 %", 0.2, 0.3, 0.4, "default", "Azumo", "Load balancers, observability, networking, secrets."),
    ("demand_growth_frac_per_month", "Traffic growth", "fraction a month, 1 = 100 %", -0.01, 0.02, 0.06, "default", "our judgement", ""),
    ("deployment_engineer_weeks", "Deployment effort", "weeks of one engineer", 26, 40, 78, "default", "BVB", "two engineers for four to six months"),
    ("loaded_usd_per_year", "Loaded cost of one engineer", "US dollars per year", 200e3, 250e3, 320e3, "default", "BVB", ""),
)  # fmt: skip


def make_naive():
    steps = (
        ("GPUs for the peak, not the mean", 4_350, 9_800),
        ("Spare replica (N+1)", 0, 2_450),
        ("Supporting infrastructure", 0, 3_100),
        ("On-call and upkeep", 0, 6_900),
        ("Deployment, spread", 0, 3_050),
        ("API traffic that stays", 0, 19_800),
        ("Compliance, upgrades, quality", 0, 2_280),
        ("Optimisation gained back", 0, -1_100),
    )
    return NaiveComparison(
        option_id="hybrid",
        naive_api_usd_per_month=52_000.0,
        naive_option_usd_per_month=4_350.0,
        full_api_usd_per_month=81_500.0,
        full_option_usd_per_month=float(sum(full for _, _, full in steps)),
        steps=tuple(NaiveStep(label, float(naive), float(full)) for label, naive, full in steps),
    )


def quantiles(scale):
    return Quantiles(
        120_000, 1.9 * scale, 0.2 * scale, scale, 4 * scale, 7 * scale, 19 * scale, 90 * scale
    )


def week(scale, *, missing=0):
    hours = np.arange(168)
    daily = 1 + 0.85 * np.sin((hours % 24 - 8) / 24 * 2 * np.pi)
    values = scale * daily * np.where(hours >= 120, 0.35, 1.0) * (1 + 0.1 * np.cos(hours * 1.7))
    values[168 - missing :] = np.nan
    return values


def group(key, share, unpriced=0):
    return GroupRow(
        key=key,
        n_requests=int(710_000 * share),
        n_failed=int(3_000 * share),
        tokens=Tokens(int(1.4e9 * share), int(0.4e9 * share), 0, int(0.37e9 * share), 0),
        list_cost_usd=Decimal("10846.153846153846") * Decimal(str(share)),
        n_unpriced=unpriced,
        unpriced_tokens=unpriced * 900,
        cost_share_frac=share,
        tokens_share_frac=share,
    )


def make_query_type(label, share):
    parts = [*label.split(" / "), None, None, None][:3] if "/" in label else [None] * 3
    return QueryTypeProfile(
        tenant=parts[0],
        feature=parts[1],
        template=parts[2],
        models=("gpt-4o", "gpt-4o-mini"),
        data_classes=(),
        n_requests=int(710_000 * share),
        n_failed=int(3_000 * share),
        tokens=group(label, share).tokens,
        list_cost_usd=group(label, share).list_cost_usd,
        n_unpriced=0,
        hourly_requests=week(4_200 * share),
        hourly_input_tokens=week(8.3e6 * share),
        hourly_output_tokens=week(2.2e6 * share),
        peaks=(Peak(3600, "tokens", 1.1e7 * share, 4.1e7 * share, SEEN_AT),),
        input_length=quantiles(1400.0),
        output_length=quantiles(260.0),
        ttft_s=None,
        latency_s=quantiles(2.1),
    )


def make_profile(*, missing_hours=0):
    shares = sorted((share for *_, share in TYPES), reverse=True)
    return Profile(
        span=LogSpan(SEEN_AT - dt.timedelta(days=7), SEEN_AT, 7.0, 710_000, 3_000, 7),
        tokens=Tokens(1_400_000_000, 400_000_000, 0, 370_000_000, 0),
        list_cost_usd=Decimal("10846.153846153846"),
        n_unpriced=8_400,
        unpriced_tokens_share_frac=0.012,
        unpriced_models=("acme-internal-7b",),
        cached_share_frac=0.222,
        by={
            "tenant": tuple(group(key, share) for key, share in (("search", 0.34), ("support", 0.33), ("crm", 0.13), ("legal", 0.08), ("hr", 0.05), ("bi", 0.04), (None, 0.03))),
            "model": (group("gpt-4o", 0.81), group("gpt-4o-mini", 0.18), group("acme-internal-7b", 0.01, 8_400)),
        },
        query_types=tuple(make_query_type(label, share) for label, *_, share in TYPES),
        concentration=(
            Concentration("tokens", np.cumsum(shares), 8, 4, 0.03),
            Concentration("cost", np.array([0.4, 0.66, 0.82, 0.9, 0.95, 0.98, 0.995, 1.0]), 8, 3, 0.019),
        ),
        hourly_requests=week(4_200, missing=missing_hours),
        hourly_tokens=week(1.29e7, missing=missing_hours),
        peaks=(
            Peak(60, "tokens", 2.15e5, 1.62e6, SEEN_AT - dt.timedelta(hours=31)),
            Peak(3600, "tokens", 1.29e7, 5.3e7, SEEN_AT - dt.timedelta(hours=31)),
            Peak(86_400, "tokens", 3.1e8, 4.0e8, SEEN_AT - dt.timedelta(hours=48)),
        ),
        input_length=quantiles(1400.0),
        output_length=quantiles(260.0),
        latency_s=quantiles(2.1),
        ttft_s=quantiles(0.4),
        trend_per_week_frac=None,
        volume_relative_sd_frac=0.09,
        caps=(CapUse("requests_per_min", 500.0, 611.0, SEEN_AT, 14, 0.0014, 8_310),),
        withheld=(Withheld("Growth trend", "the log covers 7.0 days", "14 days of log"),),
        cannot_tell=("litellm: no data class",),
    )  # fmt: skip


def make_study():
    """Everything filled in."""
    surface = make_surface()
    break_evens = (
        BreakEven("hybrid", "volume", 3.9e9, "tokens per month", 9.4e9, ""),
        BreakEven("hybrid", "utilization", 0.11, "fraction, 1 = 100 %", 0.31, ""),
        BreakEven("hybrid", "api_price", 0.54, "ratio, 1 = equal", 1.0, ""),
        BreakEven("hybrid", "gpu_price", 9.8, "US dollars per GPU and hour", 2.5, ""),
        BreakEven("hybrid", "month", 9.3, "month of the horizon, 1 = the first", None, ""),
        BreakEven("owned", "volume", 7.7e9, "tokens per month", 9.4e9, ""),
        BreakEven("owned", "gpu_price", None, "US dollars per GPU and hour", None, "this option rents no GPU by the hour"),
    )  # fmt: skip
    return Study(
        name="Acme: hosted or own?",
        currency="USD",
        usd_rate=1.0,
        horizon_months=HORIZON,
        monthly_tokens=9.4e9,
        monthly_requests=3.1e6,
        monthly_api_usd=47_000.0,
        verdict=make_verdict(),
        rival_id="hybrid",
        options=tuple(make_option(option_id) for option_id in OPTION_PARTS),
        break_evens=break_evens,
        surface=surface,
        capacity=make_capacity(),
        tornado=tuple(TornadoBar(*bar) for bar in TORNADO),
        information=(
            InformationValue("replica_output_tokens_per_s", "Output tokens per second of one replica", 64_000.0, "benchmark the candidate model on one rented GPU with your own prompt lengths"),
            InformationValue("api_price_change_frac_per_year", "API price drift", 31_000.0, "a price-lock clause in the API contract"),
            InformationValue("gpu_usd_per_gpu_hour", "GPU rental price (specialist)", 17_000.0, "ask two providers for a quote"),
            InformationValue("storage_gb", "Model and data storage", 0.0, "count the checkpoints that you keep"),
        ),
        naive=make_naive(),
        assumptions=tuple(AssumptionUsed(*row) for row in ASSUMPTIONS),
        show_back=(
            ShowBack("search", 27_700.0, 15_900.0, 0.34),
            ShowBack("support", 26_900.0, 17_100.0, 0.33),
            ShowBack("crm", 10_600.0, 6_900.0, 0.13),
        ),
        control_prices=(ControlPrice("HR data stays in the EU", "api", "hybrid", 21_400.0),),
        profile=make_profile(),
        withheld=("Growth trend: the log covers 7.0 days; 14 are needed.",),
        reproducibility=Reproducibility(
            version="0.1.0",
            seed=20261102,
            n_draws=100_000,
            catalog_digest="sha256:5d1c0e…",
            prices_digest="sha256:a77f21…",
            scenario_digest="sha256:0b19cc…",
            usage_digest="sha256:e10f58…",
            command="weighbridge decide scenario.yaml --usage usage --seed 20261102 --out report.html",
            as_of=dt.date(2026, 11, 2),
            timings_s={"draws": 0.41, "surface": 0.22, "tornado": 0.08, "profile": 1.9},
        ),
    )  # fmt: skip


def without_log():
    """No ledger: no profile, no show-back, no usage digest."""
    study = make_study()
    by_type = study.verdict.by_type[3:4]
    return dataclasses.replace(
        study,
        profile=None,
        show_back=(),
        control_prices=(),
        verdict=dataclasses.replace(study.verdict, by_type=by_type),
        reproducibility=dataclasses.replace(study.reproducibility, usage_digest=None),
    )


def without_surface():
    """Nothing to draw of sensitivities: no surface, tornado, information or naive comparison."""
    return dataclasses.replace(
        make_study(), surface=None, tornado=(), information=(), naive=None, break_evens=()
    )


def not_enough_evidence():
    """The log is too short to say anything of months."""
    study = make_study()
    verdict = dataclasses.replace(
        study.verdict,
        headline="Not enough evidence: 58 minutes of log cannot say what a month costs.",
        decision="not-enough-evidence",
        option_id="api",
        confidence_probability=float("nan"),
        by_type=(),
    )
    return dataclasses.replace(
        study,
        verdict=verdict,
        profile=make_profile(missing_hours=167),
        withheld=(
            "Monthly volume: the log covers 0.04 days; 7 are needed.",
            "Rhythm of the week: 1 of 168 hours has data.",
            "Growth trend: the log covers 0.04 days; 14 are needed.",
        ),
    )


def without_forecast():
    """Under seven days of log: no month is foretold, so no option has a price."""
    study = not_enough_evidence()
    return dataclasses.replace(
        study,
        options=(),
        monthly_api_usd=float("nan"),
        break_evens=(),
        surface=None,
        capacity=None,
        tornado=(),
        information=(),
        naive=None,
        show_back=(),
        control_prices=(),
    )


def with_infeasible_options():
    """Staying, because nothing else is allowed."""
    study = make_study()
    closed = tuple(
        option
        if option.id == "api"
        else dataclasses.replace(
            option,
            feasible=False,
            infeasible_because=("needs 0.5 FTE of MLOps; 0 are available",),
            cheapest_probability=0.0,
        )
        for option in study.options
    )
    verdict = dataclasses.replace(
        study.verdict,
        headline="Stay on the API: nobody is there to run anything else.",
        decision="stay",
        option_id="api",
        confidence_probability=1.0,
    )
    return dataclasses.replace(study, options=closed, verdict=verdict, naive=None)


def in_euro():
    """Reported in euro at a dated rate."""
    return dataclasses.replace(make_study(), currency="EUR", usd_rate=0.92)


def hostile():
    """Names taken from a log that try to be markup, formulas and styles."""
    study = in_euro()
    nasty = "=cmd()|'<script>alert(1)</script> [bold red]x[/] & <img src=https://evil.example/x>"
    worst = dataclasses.replace(study.verdict.by_type[0], label=nasty)
    verdict = dataclasses.replace(
        study.verdict, by_type=(worst, *study.verdict.by_type[1:]), headline=nasty
    )
    options = (*study.options[:-1], dataclasses.replace(study.options[-1], label=nasty))
    return dataclasses.replace(study, name=nasty, verdict=verdict, options=options)


def bare():
    """Three inputs and a verdict: neither log nor anything drawn of sensitivities."""
    study = without_log()
    return dataclasses.replace(
        study, surface=None, tornado=(), information=(), naive=None, break_evens=()
    )


VARIANTS = {
    "full": make_study,
    "without_log": without_log,
    "bare": bare,
    "without_surface": without_surface,
    "not_enough_evidence": not_enough_evidence,
    "without_forecast": without_forecast,
    "with_infeasible_options": with_infeasible_options,
    "in_euro": in_euro,
    "hostile": hostile,
}
