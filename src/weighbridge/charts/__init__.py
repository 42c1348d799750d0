"""Pure functions from results to Vega-Lite specifications, in one look for report and page."""

from weighbridge.charts.capacity import replicas_by_demand
from weighbridge.charts.composition import cost_stack, naive_steps, naive_waterfall
from weighbridge.charts.over_time import (
    compared,
    cumulative_cost,
    money_of,
    monthly_cost,
    rival_of,
    utilization,
)
from weighbridge.charts.sensitivity import (
    flips,
    information_value,
    input_text,
    tornado,
    worth_knowing,
)
from weighbridge.charts.surface import break_even_surface, is_on
from weighbridge.charts.theme import Chart, kind_of, stroke_of, titled
from weighbridge.charts.traffic import concentration, week_rhythm
from weighbridge.units.money import Money, month_words, percent, short_number

__all__ = [
    "Chart",
    "Money",
    "break_even_surface",
    "compared",
    "concentration",
    "cost_stack",
    "cumulative_cost",
    "flips",
    "information_value",
    "input_text",
    "is_on",
    "kind_of",
    "money_of",
    "month_words",
    "monthly_cost",
    "naive_steps",
    "naive_waterfall",
    "percent",
    "replicas_by_demand",
    "rival_of",
    "short_number",
    "stroke_of",
    "titled",
    "tornado",
    "utilization",
    "week_rhythm",
    "worth_knowing",
]
