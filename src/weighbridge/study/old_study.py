"""An earlier study's JSON, as far as a re-run compares itself with it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

from weighbridge.units import InputError

SCHEMA = "weighbridge.study"
SCHEMA_VERSION = 1
MEND = "give the JSON that `weighbridge decide … --json FILE` wrote"


@dataclass(frozen=True)
class OldStudy:
    """What an earlier study believed, and what it came to."""

    name: str
    as_of: dt.date
    version: str
    scenario_digest: str
    usage_digest: str | None
    prices_on: dt.date | None
    option_id: str
    decision: str
    headline: str
    monthly_usd: Mapping[str, Decimal]  # by option: mean over the horizon, central case
    labels: Mapping[str, str]
    inputs: Mapping[str, float]  # medians


def mean_monthly_usd(by_month: list[list[float]], horizon_months: int) -> Decimal:
    """Mean of lines over the horizon in steps of 10^-12 dollars, so that differences are exact."""
    mean_usd = sum(sum(line) for line in by_month) / horizon_months
    with localcontext() as context:
        context.prec = 60
        return Decimal(mean_usd).quantize(Decimal("1e-12"))


def read_old_study(path: Path | str) -> OldStudy:
    """Read a study's JSON; raises where it is none, or drew no verdict."""
    where = str(path)
    try:
        body = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError(where, "", "does not exist", MEND) from None
    except (OSError, ValueError) as fault:
        raise InputError(where, "", f"cannot be read as JSON ({fault})", MEND) from fault
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        raise InputError(where, "schema", "is no study of weighbridge", MEND)
    if body.get("schema_version") != SCHEMA_VERSION:
        problem = f"is {body.get('schema_version')!r}, not {SCHEMA_VERSION}"
        raise InputError(where, "schema_version", problem, "use the release that wrote it")
    if not body.get("options"):
        problem = "holds no option: the old study had not enough evidence"
        raise InputError(where, "options", problem, "decide anew, without --against")
    try:
        return _old_study(where, body)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InputError(where, "", f"is not whole ({fault!r})", MEND) from fault


def _old_study(where: str, body: dict[str, Any]) -> OldStudy:
    origin, horizon = body["reproducibility"], int(body["horizon_months"])
    prices_on = body.get("prices_on")
    return OldStudy(
        name=where,
        as_of=dt.date.fromisoformat(origin["as_of"]),
        version=str(origin["version"]),
        scenario_digest=origin["scenario_digest"],
        usage_digest=origin["usage_digest"],
        prices_on=dt.date.fromisoformat(prices_on) if prices_on else None,
        option_id=body["verdict"]["option_id"],
        decision=body["verdict"]["decision"],
        headline=body["verdict"]["headline"],
        monthly_usd={
            option["id"]: mean_monthly_usd(
                [line["usd_by_month"] for line in option["lines"]], horizon
            )
            for option in body["options"]
        },
        labels={option["id"]: option["label"] for option in body["options"]},
        inputs={row["name"]: float(row["p50"]) for row in body["assumptions"]},
    )
