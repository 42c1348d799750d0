"""The page of published rules of thumb, in Markdown, and its one plot."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from weighbridge.charts.rules_of_thumb import rules_spread
from weighbridge.report.rules_words import (
    NEVER,
    computed_words,
    in_print,
    plain,
    value_words,
    volume,
)
from weighbridge.report.svg import render_svg
from weighbridge.study.rule_spread import Moved, PaysFrom, Spread
from weighbridge.study.rule_world import described
from weighbridge.study.rules_of_thumb import (
    HOLDS_WITHIN_FRAC,
    ROUGHLY_WITHIN_FRAC,
    VERDICTS,
    ArticleResult,
    Recomputed,
    RuleResult,
    recompute,
)

PAGE = "rules-of-thumb.md"
PLOT = "images/rules-of-thumb.svg"
OWN_NUMBERS = "weighbridge decide --spend 30000 --model gpt-4o --mlops-fte 0"


def write_rules_page(rules: Path | str, docs: Path | str) -> None:
    """Run every rule and write the page and the plot beside it."""
    done = recompute(Path(rules))
    (Path(docs) / PAGE).write_text(rules_markdown(done), "utf-8")
    (Path(docs) / PLOT).write_text(rules_svg(done), "utf-8")


def rules_svg(done: Recomputed) -> str:
    """The plot, drawn, with the digest of what it was drawn from."""
    return f"{render_svg(rules_spread(done.spread), 'rules')}\n<!-- {drawn_from(done)} -->\n"


def drawn_from(done: Recomputed) -> str:
    """SHA-256 of the plot's specification: drawings differ by the fonts of a machine, this not."""
    specification = json.dumps(rules_spread(done.spread), sort_keys=True)
    return sha256(specification.encode()).hexdigest()


def rules_markdown(done: Recomputed) -> str:
    """The whole page."""
    parts = [
        _head(done),
        _short_answer(done.spread),
        _plot(done.spread),
        _readers(done),
        _telling(done.results),
        *(_article(article) for article in done.articles),
        _not_derivable(done.articles),
        _how(done),
        _glossary(done.results),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    text = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in text)


def _head(done: Recomputed) -> str:
    counts = Counter(result.verdict for result in done.results)
    computed = len(done.results) - counts["not derivable"]
    told = ", ".join(f"{verdict}: **{counts[verdict]}**" for verdict in VERDICTS)
    titles = "\n".join(f"- *{article.file.title}*" for article in done.articles)
    return f"""# When does self-hosting an LLM pay? Published rules of thumb, recomputed

Every figure that three articles print, held against what Weighbridge's cost engine makes
of the article's own inputs: {len(done.results)} claims, {computed} of them computed.
{told}

{titles}

For your own numbers, with all costs and their risk:

```sh
{OWN_NUMBERS}
```"""


def _short_answer(spread: Spread) -> str:
    lines = [
        (m.label, *(f"{t}: {_from(p)}" for t, p in zip(m.told, m.pays_from, strict=True)))
        for m in sorted(spread.moved, key=_reach, reverse=True)
    ]
    table = _table(("What differs", "renting pays from", "or from"), lines)
    at = spread.base_inputs
    return f"""## The short answer

There is no single threshold. With every cost counted and nobody on staff, against
{value_words(at["model"])} and on {value_words(at["gpu"])} GPUs that write \
{value_words(at["replica_output_tokens_per_s"])} tokens a second each, renting
pays from **{volume(spread.base.tokens_per_month)} tokens a month**, a bill of
${plain(spread.base.bill_usd_per_month)}. One input at a time, all else as it is, in tokens a month
and the API bill that they make:

{table}

People who are free cost the sum nothing: they are paid already and nothing else needs them. Where
their hours have to be paid for, the bill that pays lies higher, up to that of nobody on staff.

So ask in this order: what do a million tokens cost me now, who would run it, how much does one GPU
really serve, how high is my peak. Only then ask how many tokens."""


def _from(pays: PaysFrom) -> str:
    """A volume with the bill that it makes."""
    if math.isinf(pays.tokens_per_month):
        return NEVER
    return f"{volume(pays.tokens_per_month)} tokens (${plain(pays.bill_usd_per_month)})"


def _reach(moved: Moved) -> float:
    """How many times apart the two volumes lie."""
    tokens = [pays.tokens_per_month for pays in moved.pays_from]
    return max(tokens) / min(tokens)


def _plot(spread: Spread) -> str:
    volumes = [v for claim in spread.claimed for v in claim.tokens_per_month]
    low, high = volume(min(volumes)), volume(max(volumes))
    return f"""## Why the articles contradict each other

![Break-even volume by API price under each article's assumptions]({PLOT})

Each line is one set of assumptions on the same break-even surface; to its right self-hosting is
cheaper. The thresholds in print, the boxes, reach from {low} to {high} tokens a month. Most of that
is not disagreement: the lines slope, because it is the bill that has to cover people and GPUs, and
the same bill buys more tokens of a cheaper model. Where a line turns flat, a token costs as much on
one's own GPUs as on the API, and no volume helps. A box to the left of every line of its colour is
a threshold that its article's own costs do not carry; of the boxes there, one speaks of a platform
and one of moving a part only, and both have their rows below."""


def _by_id(results: Sequence[RuleResult]) -> dict[str, RuleResult]:
    return {result.rule.id: result for result in results}


def _outcome(result: RuleResult) -> str:
    assert result.rule.published is not None
    return computed_words(result.computed, result.rule.published.unit)


def _published(result: RuleResult) -> str:
    assert result.rule.published is not None
    return in_print(result.rule.published)


def _readers(done: Recomputed) -> str:
    by_id = _by_id(done.results)
    lines = []
    for reader in done.readers:
        result = by_id[reader.rule]
        rule = f"{result.rule.claim}. In print: {_published(result)}; computed: {_outcome(result)}"
        lines.append(
            (f"you {reader.you}", rule, result.verdict, reader.then, f"`{reader.command}`")
        )
    head = ("If you", "the rule", "verdict", "then", "your own numbers")
    return "## Which rule applies to you\n\n" + _table(head, lines)


def _telling(results: Sequence[RuleResult]) -> str:
    lines = [
        f"- {r.rule.claim}. In print: {_published(r)}. Computed: **{_outcome(r)}**. {r.rule.note}"
        for r in results
        if r.rule.telling
    ]
    return "## What does not survive the arithmetic\n\n" + "\n".join(lines)


def _common(results: Sequence[RuleResult]) -> dict[str, str]:
    """Inputs that more than half of an article's rules share, told once above its table."""
    counts = Counter(
        (name, value_words(value)) for r in results for name, value in r.rule.inputs.items()
    )
    return {name: value for (name, value), n in counts.items() if n > len(results) / 2}


def _inputs(result: RuleResult, common: Mapping[str, str]) -> str:
    """What a row states beyond the article's common inputs, what we assumed, what it is held to."""
    rule = result.rule
    stated = [
        f"`{name}` {value_words(value)}"
        for name, value in rule.inputs.items()
        if common.get(name) != value_words(value)
    ]
    assumed = [f"*`{name}` {value_words(row.value)}*" for name, row in rule.assumed.items()]
    against = rule.compute.against if rule.compute is not None else {}
    other = [f"`{name}` {value_words(value)}" for name, value in against.items()]
    text = "; ".join([*stated, *assumed])
    return f"{text} (against {'; '.join(other)})" if other else text


def _row(result: RuleResult, common: Mapping[str, str]) -> tuple[str, ...]:
    rule = result.rule
    assert rule.published is not None
    reading = rule.published.reading
    words = (f"{rule.claim}.", f"(Read as: {reading}.)" if reading else "", rule.note)
    claim = " ".join(word for word in words if word)
    verdict = f"**{result.verdict}**" if result.verdict == "fails" else result.verdict
    return claim, _inputs(result, common), _published(result), _outcome(result), verdict


def _article(article: ArticleResult) -> str:
    computed = [result for result in article.results if result.computed is not None]
    common = _common(computed)
    head = ("Claim", "Inputs, *assumed* by us", "In print", "Computed", "Verdict")
    parts = [f"## {article.file.short}", f"Source: *{article.file.title}*"]
    if common:
        told = "; ".join(f"`{name}` {value}" for name, value in common.items())
        parts.append(f"Where a row needs them and says nothing else: {told}.")
    parts.append(_table(head, (_row(result, common) for result in computed)))
    return "\n\n".join([*parts, *_assumed(computed)])


def _assumed(results: Sequence[RuleResult]) -> list[str]:
    """Each assumed value once, with its reason."""
    reasons = {
        (name, value_words(row.value), row.because): None
        for result in results
        for name, row in result.rule.assumed.items()
    }
    if not reasons:
        return []
    lines = [f"- `{name}` {value}: {because}" for name, value, because in reasons]
    return ["Assumed, since the article does not say:", "\n".join(lines)]


def _not_derivable(articles: Sequence[ArticleResult]) -> str:
    lines = [
        (article.file.short, f"{result.rule.claim}.", result.rule.missing)
        for article in articles
        for result in article.results
        if result.computed is None
    ]
    intro = (
        "No engine can check these: an input is missing that only a measurement or a quote gives."
    )
    return "## Not derivable\n\n" + intro + "\n\n" + _table(("Article", "Claim", "Missing"), lines)


def _how(done: Recomputed) -> str:
    return f"""## How it was computed

The rules stand as data in [rules_of_thumb](../rules_of_thumb); this page and the plot are made from
them by `make docs`, and a test keeps both fresh. The engine is the one behind `weighbridge decide`:
its cost lines, its fleets, its break-even search, its price list (prices of {done.as_of}). Nothing
is multiplied out by hand.

Unless a rule says otherwise, all that it leaves out is set to nothing, so that a figure is held
against its own inputs alone. The thresholds in dollars of a bill are computed in the full model
instead, at its [defaults](assumptions.md). Where an input is a range, every combination of the ends
is computed and the lowest and highest result stand here.

A claim *holds* where all that was computed lies within the figures in print, widened by
{HOLDS_WITHIN_FRAC:.0%} at each end; *roughly* within {ROUGHLY_WITHIN_FRAC:.0%}; otherwise it
*fails*. "Never" means that no volume, or no month of the horizon, gets there. That a claim fails
says that its figure does not follow from the inputs given beside it, not that nobody ever saw it.

To try a rule with other inputs, change its line in `rules_of_thumb/` and run `make docs`."""


def _glossary(results: Sequence[RuleResult]) -> str:
    names = {
        name
        for result in results
        for name in (*result.rule.values(), *result.rule.against())
        if result.computed is not None
    }
    lines = [(f"`{name}`", described(name)) for name in sorted(names)]
    return "## Inputs by name\n\n" + _table(("Name", "What it is"), lines)
