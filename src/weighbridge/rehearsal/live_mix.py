"""The company of the demo as its gateway sees it: a week that can be sent for real in a minute.

Teams and query types are those of `demo_mix`, with fewer and longer requests: intake reads whole
case files and pays for a dear model, so that some fourteen thousand requests make a bill worth
deciding on. What is sent is what is decided on; nothing is scaled up afterwards.
"""

from __future__ import annotations

from weighbridge.rehearsal.demo_mix import GPT_4O, GPT_4O_MINI, O4_MINI, SONNET
from weighbridge.rehearsal.mix import Lengths, Mix, Service, Template

OPUS = Service("claude-opus-4-1", "anthropic", 1.1, 6_000, 55)

_BULK = (
    Template(
        "document-intake",
        "extract-fields",
        {"claims": 0.55, "marketplace": 0.45},
        OPUS,
        3_500,
        Lengths(38_000, 0.45, 100_000),
        Lengths(1_400, 0.45, 8_000),
        rhythm="steady",
        burst_shape=12.0,
    ),
    Template(
        "document-intake",
        "classify-page",
        {"claims": 0.7, "legal": 0.3},
        OPUS,
        2_200,
        Lengths(21_000, 0.50, 100_000),
        Lengths(13, 0.85, 400),
    ),
    Template(
        "catalogue",
        "enrich-listing",
        {"marketplace": 1.0},
        OPUS,
        2_200,
        Lengths(19_000, 0.45, 100_000),
        Lengths(1_100, 0.45, 4_000),
        rhythm="nightly",
        burst_shape=12.0,
    ),
)

_SUPPORT = (
    Template(
        "support-desk",
        "answer-with-sources",
        {"support": 0.8, "marketplace": 0.2},
        GPT_4O,
        1_700,
        Lengths(12_000, 0.55),
        Lengths(260, 0.86, 4_000),
        rhythm="evening",
        streamed=True,
    ),
    Template(
        "support-desk",
        "triage-ticket",
        {"support": 1.0},
        GPT_4O_MINI,
        900,
        Lengths(1_020, 0.99, 14_000),
        Lengths(24, 0.70, 300),
        rhythm="evening",
    ),
    Template(
        "support-desk",
        "summarise-thread",
        {"support": 0.9, "claims": 0.1},
        GPT_4O_MINI,
        450,
        Lengths(3_100, 0.85),
        Lengths(170, 0.60, 2_000),
        rhythm="evening",
    ),
)

_EXPERTS = (
    Template(
        "contracts",
        "review-clauses",
        {"legal": 1.0},
        SONNET,
        280,
        Lengths(18_000, 0.70),
        Lengths(880, 0.60, 8_000),
        streamed=True,
    ),
    Template(
        "contracts",
        "compare-versions",
        {"legal": 1.0},
        SONNET,
        60,
        Lengths(36_000, 0.65),
        Lengths(1_700, 0.55, 8_000),
        streamed=True,
    ),
    Template(
        "code-assist",
        "agent-step",
        {"engineering": 1.0},
        SONNET,
        700,
        Lengths(26_000, 0.75),
        Lengths(300, 1.0, 8_000),
        burst_shape=1.5,
        streamed=True,
    ),
    Template(
        "code-assist",
        "complete-line",
        {"engineering": 1.0},
        GPT_4O_MINI,
        800,
        Lengths(1_469, 1.36, 7_437),
        Lengths(13, 0.85, 1_899),
        burst_shape=1.2,
        streamed=True,
    ),
)

_REST = (
    Template(
        "search",
        "rewrite-query",
        {"marketplace": 0.8, "growth": 0.2},
        GPT_4O_MINI,
        260,
        Lengths(360, 0.20, 460),  # what a small model on a CPU reads in a moment
        Lengths(14, 0.40, 40),
        rhythm="steady",
    ),
    Template(
        "campaigns",
        "draft-copy",
        {"growth": 1.0},
        GPT_4O,
        160,
        Lengths(1_900, 0.60),
        Lengths(780, 0.60, 4_000),
        streamed=True,
    ),
    Template(
        "campaigns",
        "translate-copy",
        {"growth": 0.7, "marketplace": 0.3},
        GPT_4O_MINI,
        260,
        Lengths(900, 0.70),
        Lengths(640, 0.70, 4_000),
    ),
    Template(
        "analytics",
        "explain-dashboard",
        {"growth": 0.5, "claims": 0.5},
        O4_MINI,
        90,
        Lengths(3_800, 0.80),
        Lengths(1_500, 0.70, 16_000),
        reasoning_frac=0.7,
    ),
    Template(
        None,
        None,
        {"engineering": 0.6, "growth": 0.4},
        GPT_4O,
        130,
        Lengths(1_400, 1.20),
        Lengths(260, 1.0, 8_000),
        burst_shape=0.8,
        streamed=True,
    ),
)

LIVE_MIX = Mix(templates=(*_BULK, *_SUPPORT, *_EXPERTS, *_REST))
