"""Show-back: what each cost centre pays on the API, and if the verdict is followed."""

from __future__ import annotations

from collections.abc import Sequence

from weighbridge.economics.options import Option
from weighbridge.economics.risk import Problem
from weighbridge.planning.answers import Verdict
from weighbridge.planning.assignment import work_shares_frac
from weighbridge.study.options import OptionStudy, fleet_running_usd
from weighbridge.study.result import ShowBack
from weighbridge.usage.analyses.spend import NOT_SAID
from weighbridge.usage.results import GroupRow, Profile

MOVES = {"split", "self-host", "managed"}


def show_back(
    profile: Profile | None,
    query_type_by: Sequence[str],
    problem: Problem,
    options: Sequence[OptionStudy],
    verdict: Verdict,
) -> tuple[ShowBack, ...]:
    """Steady cost by tenant [USD/month]: staying types at their API cost, moved at their share.

    A moved type's share of the fleet, by work, is divided among tenants by their tokens of it.
    Where the advice is to stay, both columns are the API's.
    """
    if profile is None or "tenant" not in profile.by:
        return ()
    api_usd = options[0].result.steady_usd_per_month
    named = next(o.option for o in options if o.option.id == verdict.option_id)
    moved_usd = _moved_usd(problem, named) if verdict.decision in MOVES else {}
    uses = _uses(profile, query_type_by)
    tokens: dict[str, int] = {}
    for _, label, row in uses:
        tokens[label] = tokens.get(label, 0) + row.tokens.total_tokens
    rows = []
    for tenant in profile.by["tenant"]:
        chosen = 0.0
        for name, label, row in uses:
            if name == (tenant.key or NOT_SAID):
                share = row.tokens.total_tokens / tokens[label] if tokens[label] else 0.0
                stays = label not in moved_usd
                chosen += api_usd * row.cost_share_frac if stays else moved_usd[label] * share
        rows.append(
            ShowBack(
                cost_centre=tenant.key or NOT_SAID,
                api_usd_per_month=api_usd * tenant.cost_share_frac,
                chosen_usd_per_month=chosen,
                tokens_share_frac=tenant.tokens_share_frac,
            )
        )
    return tuple(rows)


def _moved_usd(problem: Problem, named: Option) -> dict[str, float]:
    """Each moved type's share, by work, of what the fleet costs while running [USD/month]."""
    fleet_usd = fleet_running_usd(problem, named)
    shares = work_shares_frac(problem, named.moved)
    return {problem.workload.types[i].label: fleet_usd * share for i, share in shares.items()}


def _uses(profile: Profile, query_type_by: Sequence[str]) -> list[tuple[str, str, GroupRow]]:
    """(tenant, label of the query type, its use) of every combination in the log."""
    names = ("tenant", *(name for name in query_type_by if name != "tenant"))
    found = []
    for row in profile.by[",".join(names)]:
        parts = (row.key or " / ".join([NOT_SAID] * len(names))).split(" / ")
        of_type = parts if "tenant" in query_type_by else parts[1:]
        label = " / ".join(p for p in of_type if p != NOT_SAID) or "(unassigned)"
        found.append((parts[0], label, row))
    return found
