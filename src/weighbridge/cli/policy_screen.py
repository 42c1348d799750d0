"""Policies on a terminal of 100 columns: targets, rules, and why a request goes where it goes."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weighbridge.policy.explaining import Explanation
from weighbridge.policy.hours import DAYS
from weighbridge.policy.types import UNRESTRICTED, Match, NoRoute, Policy, Rule, Target, Window

WIDTH = 100
_TARGET_HEADS = ("name", "address", "API", "model", "credential", "cost")
_OUTCOMES = {
    "decides": "decides",
    "no_match": "no match",
    "other_dialect": "other API",
    "forbidden": "forbidden",
    "not_reached": "not reached",
}


def console() -> Console:
    """A console as wide as the terminal, 100 columns at most and where there is none."""
    made = Console(highlight=False)
    made.width = min(WIDTH, made.width) if made.is_terminal else WIDTH
    return made


def show_policy(policy: Policy, notes: Iterable[str]) -> None:
    """Targets, rules in order, data classes, and what is probably not meant."""
    screen = console()
    _show_targets(screen, [_target_cells(target) for target in policy.targets.values()])
    rules = _table("Rules, the first that matches decides", "", "name", "when", "to", "then")
    for number, rule in enumerate(policy.rules, start=1):
        rules.add_row(*(escape(cell) for cell in _rule_cells(number, rule)))
    if policy.rules:
        screen.print(rules)
    if policy.data_classes:
        classes = _table("Data classes", "class", "may reach")
        for name, allowed in policy.data_classes.items():
            reach = "every target" if allowed == UNRESTRICTED else ", ".join(allowed)
            classes.add_row(escape(name), escape(reach))
        screen.print(classes)
    for note in notes:
        screen.print(f"note: {note}", markup=False)


def _show_targets(screen: Console, rows: list[tuple[str, ...]]) -> None:
    """A table where all of it fits, else a block for each: no address is broken to be copied."""
    widths = [max(map(cell_len, column)) for column in zip(_TARGET_HEADS, *rows, strict=True)]
    if sum(widths) + 2 * len(widths) <= screen.width:
        table = _table("Targets", *_TARGET_HEADS)
        for cells in rows:
            table.add_row(*(escape(cell) for cell in cells))
        screen.print(table)
        return
    screen.print("Targets", style="italic")
    for cells in rows:
        screen.print(f"\n  {cells[0]}", style="bold", markup=False, soft_wrap=True)
        for head, cell in zip(_TARGET_HEADS[1:], cells[1:], strict=True):
            screen.print(f"    {head:<11} {cell}", markup=False, soft_wrap=True)
    screen.print()


def show_explanation(explanation: Explanation) -> None:
    """Each rule with what became of it, then the targets in the order in which they are tried."""
    screen = console()
    screen.print(f"Request: {_facts(explanation)}", markup=False)
    rules = _table("Rules", "", "rule", "outcome", "why")
    for number, step in enumerate(explanation.rules, start=1):
        rules.add_row(str(number), escape(step.rule), _OUTCOMES[step.outcome], escape(step.why))
    screen.print(rules)
    if explanation.targets:
        targets = _table("Targets of the rule that decides", "tried", "target", "weight", "why")
        for target in explanation.targets:
            order = "-" if target.order is None else str(target.order)
            weight = "fallback" if target.weight is None else f"{target.weight:g}"
            targets.add_row(order, escape(target.name), weight, escape(target.why))
        screen.print(targets)
    screen.print(_answer(explanation), markup=False)


def _answer(explanation: Explanation) -> str:
    answer = explanation.answer
    if isinstance(answer, NoRoute):
        return f"Refused ({answer.reason}): {answer.message}"
    names = ", then ".join(target.name for target in answer.targets)
    return f"Goes to {names} by rule {answer.rule}"


def _facts(explanation: Explanation) -> str:
    facts = explanation.facts
    said = [
        f"model {facts.model}",
        f"{facts.dialect} API",
        f"about {facts.input_tokens} input tokens",
        *(
            f"{what} {value}"
            for what, value in (
                ("tenant", facts.tenant),
                ("feature", facts.feature),
                ("template", facts.template),
                ("data class", facts.data_class),
            )
            if value is not None
        ),
        *(["tools"] if facts.has_tools else []),
        *(["JSON schema"] if facts.has_json_schema else []),
    ]
    return ", ".join(said)


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _target_cells(target: Target) -> tuple[str, ...]:
    ref, own = target.credential.secret, target.self_hosted
    secret: str = target.credential.kind
    if ref is not None:
        secret = f"env:{ref.env}" if ref.env else f"file:{ref.file}"
    cost = f"{target.provider or 'listed'} prices"
    if own is not None:
        cost = f"{own.n_gpus} x {own.gpu}, ${own.usd_per_gpu_hour}/h each"
    model = target.model or "as asked"
    return target.name, target.url, target.dialect, model, secret, cost


def _rule_cells(number: int, rule: Rule) -> tuple[str, ...]:
    to = ", ".join(
        weighted.target if weighted.weight == 1 else f"{weighted.target} ({weighted.weight:g})"
        for weighted in rule.targets
    )
    sticky = f"; sticky by {rule.sticky}" if rule.sticky else ""
    return str(number), rule.name, when(rule.match), to + sticky, ", ".join(rule.fallback)


def when(match: Match) -> str:
    """Conditions in words.

    >>> when(Match(models=("gpt-*",), tools=False, min_input_tokens=1000))
    'model gpt-*; without tools; from 1000 input tokens'
    """
    names = (
        ("model", match.models),
        ("tenant", match.tenants),
        ("feature", match.features),
        ("template", match.templates),
        ("class", match.data_classes),
    )
    said = [f"{what} {' or '.join(patterns)}" for what, patterns in names if patterns]
    for what, flag in (("tools", match.tools), ("JSON schema", match.json_schema)):
        if flag is not None:
            said.append(f"{'with' if flag else 'without'} {what}")
    low, high = match.min_input_tokens, match.max_input_tokens
    bounds = [f"from {low}"] if low is not None else []
    bounds += [f"up to {high}"] if high is not None else []
    if bounds:
        said.append(f"{' '.join(bounds)} input tokens")
    said += [_hours(window) for window in match.windows]
    return "; ".join(said) or "always"


def _hours(window: Window) -> str:
    days = "" if len(window.days) == 7 else " ".join(DAYS[day] for day in window.days) + " "
    return f"{days}{_clock(window.from_minute)}-{_clock(window.to_minute)} {window.zone}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
