"""The utilisation table of AI/TLDR, "Self-Hosting vs API: When Does Running Your Own LLM Pay Off?"

One GPU at 2.00 USD/h for 720 h serves up to 2 requests/s of 1,000 input and 500 output tokens; the
API asks 0.50 and 1.50 USD per million. The article's figures come out of this engine once all that
it leaves out is set to zero.
"""

import pytest

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.breakeven import along_utilization
from weighbridge.economics.distributions import Fixed
from weighbridge.economics.fleet import Sizing
from weighbridge.economics.inputs import Beliefs
from weighbridge.economics.lines import cash_by_month
from weighbridge.economics.options import Option, Settings, option_lines, utilization_by_month
from weighbridge.economics.risk import Problem
from weighbridge.economics.workload import QueryType, Workload

INPUT_TOKENS, OUTPUT_TOKENS = 1000, 500
API_USD_PER_REQUEST = 1000 * 0.50e-6 + 500 * 1.50e-6
SECONDS_PER_MONTH = 720 * 3600
MOST_REQUESTS_PER_MONTH = 2 * SECONDS_PER_MONTH
API, RENTED = Option("api", "api", ()), Option("rented", "rented", (0,))

PRINTED = [  # utilisation, requests a month, GPU USD per request, verdict
    (0.05, 260_000, 0.0055, "API"),
    (0.25, 1_300_000, 0.0011, "about even"),
    (0.60, 3_100_000, 0.00046, "self-host"),
    (0.90, 4_600_000, 0.00031, "self-host"),
]


def article(requests_per_month, utilization_frac):
    rows = load_assumptions()
    values = {n: 1.0 if n.endswith("_ratio") else 0.0 for n in rows}
    values |= {
        "gpu_usd_per_gpu_hour": 2.0,
        "hours_per_month": 720.0,
        "operating_hours_per_day": 24.0,
        "n_gpus_per_replica": 1.0,
        "replica_output_tokens_per_s": 2.0 * OUTPUT_TOKENS,
        "input_token_work_ratio": 0.0,
        "reserved_term_months": 12.0,
        "depreciation_years": 4.0,
    }
    beliefs = Beliefs({name: Fixed(value) for name, value in values.items()})
    served = QueryType(
        "requests",
        requests_per_month,
        requests_per_month * INPUT_TOKENS,
        0.0,
        requests_per_month * OUTPUT_TOKENS,
        requests_per_month * API_USD_PER_REQUEST,
    )
    settings = Settings(1, Sizing(whole_replicas=False, utilization_frac=utilization_frac))
    return Problem(Workload((served,)), beliefs, settings, (API, RENTED))


def monthly_usd(problem, option):
    case = problem.case(problem.beliefs.central())
    return float(cash_by_month(option_lines(case, option), (1,))[0])


def test_the_api_asks_what_the_article_says():
    assert pytest.approx(0.00125) == API_USD_PER_REQUEST
    problem = article(1e6, 0.5)
    assert monthly_usd(problem, API) == pytest.approx(1250)


def verdict(gpu_usd_per_request):
    ratio = gpu_usd_per_request / API_USD_PER_REQUEST
    return "about even" if 0.8 < ratio < 1.25 else "API" if ratio > 1 else "self-host"


@pytest.mark.parametrize(("utilization_frac", "requests", "usd_per_request", "says"), PRINTED)
def test_every_printed_figure_comes_out_within_two_percent(
    utilization_frac, requests, usd_per_request, says
):
    served = MOST_REQUESTS_PER_MONTH * utilization_frac
    assert served == pytest.approx(requests, rel=0.02)
    problem = article(served, utilization_frac)
    case = problem.case(problem.beliefs.central())
    assert case.fleet((0,)).n_replicas[0] == pytest.approx(1.0)
    assert utilization_by_month(case, RENTED)[0] == pytest.approx(utilization_frac)
    gpu_usd = monthly_usd(problem, RENTED)
    assert gpu_usd == pytest.approx(1440)
    assert gpu_usd / served == pytest.approx(usd_per_request, rel=0.02)
    assert verdict(gpu_usd / served) == says


def test_one_gpu_costs_the_same_at_every_row_of_the_table():
    bills = [monthly_usd(article(MOST_REQUESTS_PER_MONTH * u, u), RENTED) for u, *_ in PRINTED]
    assert bills == pytest.approx([1440] * 4)


def test_break_even_utilisation_lands_where_the_arithmetic_says():
    expected = 1440 / (SECONDS_PER_MONTH * 2 * API_USD_PER_REQUEST)
    assert expected == pytest.approx(0.222, abs=0.0005)
    found = along_utilization(article(1e6, 0.5), RENTED)
    assert found.values == pytest.approx((expected,), rel=1e-6)
    assert not found.cheaper_at_start
