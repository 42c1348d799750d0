"""How few query types burn how much."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from weighbridge.usage.analyses.spend import share
from weighbridge.usage.results import Concentration


def concentration(
    measure: str,
    named: Sequence[int | Decimal],
    unassigned: int | Decimal,
    whole: int | Decimal,
    recognised: int | Decimal = 0,
) -> Concentration | None:
    """Curve over the query types that somebody named, with the unassigned share beside it.

    Shares of the curve are of what named types used; `whole` is everything, so that the unassigned
    share says how much the curve does not speak of; `recognised` is what those types used that no
    client named: split too finely, they flatten the curve. None where nothing was used at all.
    """
    if not whole:
        return None
    ordered = sorted(named, reverse=True)
    total = sum(ordered)
    running = np.cumsum(np.array([float(value) for value in ordered]))
    shares = running / float(total) if total else np.zeros(0)
    return Concentration(
        measure=measure,
        cumulative_share_frac=shares,
        n_types=len(ordered),
        n_types_for_80_frac=_fewest(ordered, total),
        unassigned_share_frac=share(unassigned, whole),
        recognised_share_frac=share(recognised, whole),
    )


def _fewest(ordered: Sequence[int | Decimal], total: int | Decimal) -> int:
    reached: int | Decimal = 0
    for count, value in enumerate(ordered, start=1):
        reached += value
        if 5 * reached >= 4 * total:
            return count if total else 0
    return 0
