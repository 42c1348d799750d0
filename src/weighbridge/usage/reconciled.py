"""What was accepted as reconciled with a bill, kept in the ledger's folder.

Only this lets a cost be called billed. Figures are the bill's own; of the ledger it keeps what the
requests came to, so that days that changed since are not called billed any more.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import msgspec

from weighbridge.units import InputError

FOLDER = "reconciled"


class BilledDay(msgspec.Struct, frozen=True):
    """One day of one model: dollars billed, and the ledger's requests and list cost then."""

    on: dt.date
    provider: str | None
    model: str  # as the price book spells it
    billed_usd: Decimal
    list_cost_usd: Decimal
    n_requests: int


class OtherCharge(msgspec.Struct, frozen=True):
    """A billed line that no tokens stand behind."""

    on: dt.date
    provider: str | None
    kind: str
    line_item: str
    billed_usd: Decimal


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """A reconciliation that somebody accepted."""

    bill_name: str
    bill_kind: str
    bill_sha256: str
    ledger_digest: str
    accepted_at: dt.datetime
    first_on: dt.date
    last_on: dt.date
    billed_usd: Decimal
    explained_frac: float | None
    days: tuple[BilledDay, ...]
    others: tuple[OtherCharge, ...]


def read_acceptances(ledger: Path) -> tuple[Acceptance, ...]:
    """Every acceptance of a ledger, oldest days first; none where nothing was accepted."""
    found = []
    for file in sorted((ledger / FOLDER).glob("*.json")):
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=Acceptance))
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            mend = "delete it and run `weighbridge reconcile … --accept` again"
            raise InputError(str(file), "", f"cannot be read ({fault})", mend) from fault
    return tuple(sorted(found, key=lambda a: (a.first_on, a.bill_sha256)))


def accept(ledger: Path, acceptance: Acceptance) -> Path:
    """Keep an acceptance; the same bill replaces itself, and no day is billed by two bills."""
    for other in read_acceptances(ledger):
        if other.bill_sha256 == acceptance.bill_sha256:
            continue
        both = _charged(other) & _charged(acceptance)
        if both:
            on, provider = min(both, key=str)
            file = ledger / FOLDER / f"{other.bill_sha256[:16]}.json"
            raise InputError(
                acceptance.bill_name,
                "--accept",
                f"bills {provider or 'days'} on {on}, which {other.bill_name} already bills",
                f"delete {file} if this bill takes its place, or leave out days that it has",
            )
    folder = ledger / FOLDER
    folder.mkdir(exist_ok=True)
    file = folder / f"{acceptance.bill_sha256[:16]}.json"
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(acceptance), indent=1) + b"\n")
    part.replace(file)
    return file


def _charged(one: Acceptance) -> set[tuple[dt.date, str | None]]:
    days = {(row.on, row.provider) for row in one.days}
    return days | {(row.on, row.provider) for row in one.others}
