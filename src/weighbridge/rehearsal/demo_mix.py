"""The company of the demo: six teams, fourteen query types, three hosted models and a fourth.

Lengths follow the public Azure 2023 traces in spirit. There, code requests read a median of 1,469
tokens (log sd 1.36) and write 13 (0.85, 1,899 at most); conversations read 1,020 (0.99) and write
129 (0.86), with a second hump about 400. Retrieval, documents and agents read longer than either.
A few bulk types carry most tokens, as in most logs: intake, catalogue enrichment and support.
"""

from __future__ import annotations

from weighbridge.rehearsal.mix import Incident, Lengths, Mix, Prefix, Service, Template

GPT_4O = Service("gpt-4o", "openai", 0.42, 9_000, 85)
GPT_4O_MINI = Service("gpt-4o-mini", "openai", 0.33, 14_000, 110)
SONNET = Service("claude-sonnet-4-5", "anthropic", 0.85, 7_000, 68, failure_probability=0.006)
O4_MINI = Service("o4-mini", "openai", 1.6, 10_000, 120)

_BULK = (
    Template(
        "document-intake",
        "extract-fields",
        {"claims": 0.55, "marketplace": 0.45},
        GPT_4O,
        86_000,
        Lengths(13_000, 0.60),
        Lengths(950, 0.55, 8_000),
        burst_shape=3.0,
        prefix=Prefix(1_664, 0.55),
    ),
    Template(
        "document-intake",
        "classify-page",
        {"claims": 0.7, "legal": 0.3},
        GPT_4O,
        58_000,
        Lengths(8_200, 0.65),
        Lengths(13, 0.85, 400),
        burst_shape=3.0,
        prefix=Prefix(1_152, 0.50),
    ),
    Template(
        "catalogue",
        "enrich-listing",
        {"marketplace": 1.0},
        GPT_4O,
        52_000,
        Lengths(7_000, 0.50),
        Lengths(800, 0.45, 4_000),
        rhythm="nightly",
        burst_shape=12.0,
        prefix=Prefix(2_048, 0.70),
    ),
)

_SUPPORT = (
    Template(
        "support-desk",
        "answer-with-sources",
        {"support": 0.8, "marketplace": 0.2},
        GPT_4O,
        50_000,
        Lengths(8_800, 0.55),
        Lengths(260, 0.86, 4_000),
        rhythm="evening",
        prefix=Prefix(1_408, 0.60),
        streamed=True,
    ),
    Template(
        "support-desk",
        "triage-ticket",
        {"support": 1.0},
        GPT_4O_MINI,
        26_000,
        Lengths(1_020, 0.99, 14_000),
        Lengths(24, 0.70, 300),
        rhythm="evening",
    ),
    Template(
        "support-desk",
        "summarise-thread",
        {"support": 0.9, "claims": 0.1},
        GPT_4O_MINI,
        13_000,
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
        8_000,
        Lengths(13_500, 0.80),
        Lengths(880, 0.60, 8_000),
        prefix=Prefix(3_072, 0.45, 0.20),
        streamed=True,
    ),
    Template(
        "contracts",
        "compare-versions",
        {"legal": 1.0},
        SONNET,
        1_000,
        Lengths(36_000, 0.65),
        Lengths(1_700, 0.55, 8_000),
        streamed=True,
    ),
    Template(
        "code-assist",
        "agent-step",
        {"engineering": 1.0},
        SONNET,
        19_000,
        Lengths(22_000, 0.85),
        Lengths(300, 1.0, 8_000),
        burst_shape=1.5,
        prefix=Prefix(16_384, 0.78, 0.12),
        streamed=True,
    ),
    Template(
        "code-assist",
        "complete-line",
        {"engineering": 1.0},
        GPT_4O_MINI,
        22_000,
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
        20_000,
        Lengths(360, 0.35, 4_000),
        Lengths(22, 0.50, 200),
        rhythm="steady",
    ),
    Template(
        "campaigns",
        "draft-copy",
        {"growth": 1.0},
        GPT_4O,
        4_400,
        Lengths(1_900, 0.60),
        Lengths(780, 0.60, 4_000),
        streamed=True,
    ),
    Template(
        "campaigns",
        "translate-copy",
        {"growth": 0.7, "marketplace": 0.3},
        GPT_4O_MINI,
        7_500,
        Lengths(900, 0.70),
        Lengths(640, 0.70, 4_000),
    ),
    Template(
        "analytics",
        "explain-dashboard",
        {"growth": 0.5, "claims": 0.5},
        O4_MINI,
        2_600,
        Lengths(3_800, 0.80),
        Lengths(1_500, 0.70, 16_000),
        reasoning_frac=0.7,
    ),
    Template(
        None,
        None,
        {"engineering": 0.6, "growth": 0.4},
        GPT_4O,
        3_800,
        Lengths(1_400, 1.20),
        Lengths(260, 1.0, 8_000),
        burst_shape=0.8,
        streamed=True,
    ),
)

DEMO_MIX = Mix(
    templates=(*_BULK, *_SUPPORT, *_EXPERTS, *_REST),
    incidents=(Incident("openai", first_hour=62.4, n_hours=0.7, failure_probability=0.3),),
)
