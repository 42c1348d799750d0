"""What a reconciliation says: a bill against the ledger by day and model, exact to the last digit.

Every dollar of the difference stands in exactly one part, so that parts add up to it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

CellState = Literal[
    "explained",  # within rounding and noise, after the model's constant factor
    "ledger short",  # billed, and not in the ledger: requests are missing
    "bill short",  # in the ledger, and not billed
    "partial day",  # the ledger begins or ends inside the day
    "not settled",  # the bill's last days hold less than the ledger: bills trail usage
    "model not in ledger",
    "model not in bill",
    "no price",  # the ledger has the requests and knows no price for some
    "outside ledger",  # the ledger holds nothing of that day, before or after its span
]

PartKind = Literal[
    "constant factor",
    "ledger short",
    "bill short",
    "partial day",
    "not settled",
    "model not in ledger",
    "model not in bill",
    "no price",
    "outside ledger",
    "noise and rounding",
]


@dataclass(frozen=True, slots=True)
class BillCell:
    """One day of one model: what was billed for its tokens, and what the ledger says."""

    on: dt.date
    provider: str | None
    model: str
    bill_usd: Decimal
    list_usd: Decimal  # of the ledger, at list prices
    expected_usd: Decimal  # list times the model's constant factor
    n_requests: int
    n_unpriced: int
    rounding_usd: Decimal  # half a last digit of every line of the bill
    state: CellState
    n_sigmas: float | None  # of the difference left, in the model's own daily noise; None: no noise

    @property
    def difference_usd(self) -> Decimal:
        """Bill minus ledger at list prices [USD]."""
        return self.bill_usd - self.list_usd

    @property
    def left_usd(self) -> Decimal:
        """Bill minus what was expected of it [USD]."""
        return self.bill_usd - self.expected_usd

    @property
    def explained_usd(self) -> Decimal:
        """Dollars of the bill that requests of the ledger explain [USD].

        A factor above 1 explains nothing: requests that are missing everywhere look the same.
        """
        return max(Decimal(0), min(self.bill_usd, self.list_usd, self.expected_usd))


@dataclass(frozen=True, slots=True)
class ModelFactor:
    """Bill over list of one model, constant over days, and how daily figures scatter around it."""

    provider: str | None
    model: str
    factor_ratio: Decimal
    n_days: int
    noise_frac: float  # typical daily scatter, one standard deviation; 0 where days are alike
    smallest_gap_frac: float  # what share of a typical day must be missing to be told from noise
    bill_names: tuple[str, ...]
    ledger_names: tuple[str, ...]
    explanation: str  # empty where the factor is 1


@dataclass(frozen=True, slots=True)
class TokenTypeRow:
    """One model's tokens of one type, over all days that both sides hold."""

    provider: str | None
    model: str
    token_type: str
    bill_usd: Decimal
    list_usd: Decimal
    expected_usd: Decimal

    @property
    def left_usd(self) -> Decimal:
        """Bill minus what was expected of it [USD]."""
        return self.bill_usd - self.expected_usd


@dataclass(frozen=True, slots=True)
class OtherLines:
    """Lines of the bill that no tokens stand behind, summed by what they are for."""

    kind: str
    on: dt.date
    provider: str | None
    line_item: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class DifferencePart:
    """A share of bill minus ledger, and what it is put down to."""

    kind: PartKind
    usd: Decimal
    n_cells: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing, largest money first: what, where, how much, what to do."""

    headline: str
    detail: str
    usd: Decimal
    severity: Literal["gap", "explained", "note"]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A bill laid against a ledger."""

    bill_name: str
    bill_kind: str
    bill_sha256: str
    ledger_path: str
    ledger_digest: str
    discount_frac: Decimal  # known beforehand; the rest of any factor was found
    first_on: dt.date
    last_on: dt.date
    ledger_first_on: dt.date
    ledger_last_on: dt.date
    bill_usd: Decimal  # every line
    token_usd: Decimal  # lines of tokens
    list_usd: Decimal  # of the ledger: the bill's providers on the bill's days
    explained_usd: Decimal
    cells: tuple[BillCell, ...]
    factors: tuple[ModelFactor, ...]
    token_types: tuple[TokenTypeRow, ...]
    others: tuple[OtherLines, ...]
    parts: tuple[DifferencePart, ...]
    findings: tuple[Finding, ...]
    left_out: Mapping[str, Decimal]  # providers of the ledger that the bill is not of -> list cost
    notes: tuple[str, ...]

    @property
    def explained_frac(self) -> float:
        """Share of the billed tokens' cost that the ledger explains; NaN where none is billed."""
        return float(self.explained_usd / self.token_usd) if self.token_usd > 0 else float("nan")

    @property
    def n_gap_findings(self) -> int:
        """Findings that say that bill and ledger do not agree."""
        return sum(finding.severity == "gap" for finding in self.findings)

    @property
    def difference_usd(self) -> Decimal:
        """Billed tokens minus the ledger at list prices [USD]: the sum of all parts."""
        return self.token_usd - self.list_usd
