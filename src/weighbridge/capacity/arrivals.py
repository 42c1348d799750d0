"""Traffic to size by: condensed to a profile, drawn from one, drawn from rates of clients."""

from weighbridge.capacity.arrivals_clients import synthesize_clients
from weighbridge.capacity.arrivals_gaps import GapLaw, fit_gaps, gap_law_of
from weighbridge.capacity.arrivals_modulation import RateModulation, dispersion
from weighbridge.capacity.arrivals_profile import ArrivalProfile, profile_of, spread_over_ticks
from weighbridge.capacity.arrivals_statistics import ArrivalStatistics, statistics_of
from weighbridge.capacity.arrivals_synthesis import (
    Bursts,
    Span,
    busiest_hours,
    expected_requests,
    synthesize,
)

__all__ = [
    "ArrivalProfile",
    "ArrivalStatistics",
    "Bursts",
    "GapLaw",
    "RateModulation",
    "Span",
    "busiest_hours",
    "dispersion",
    "expected_requests",
    "fit_gaps",
    "gap_law_of",
    "profile_of",
    "spread_over_ticks",
    "statistics_of",
    "synthesize",
    "synthesize_clients",
]
