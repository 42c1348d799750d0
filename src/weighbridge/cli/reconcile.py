"""`weighbridge reconcile`: a provider's bill against the ledger."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.decide import check_folder, replace_file, screen
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.study.reconciliation import Reconciliation


@click.command()
@click.option(
    "--bill", required=True, type=click.Path(path_type=Path), help="Bill: openai-costs, …"
)
@click.option(
    "--usage", required=True, type=click.Path(path_type=Path), help="Ledger directory of `import`."
)
@click.option(
    "--map",
    "told",
    multiple=True,
    metavar="BILL=LEDGER",
    help="A model's name on the bill and in the ledger; several allowed.",
)
@click.option(
    "--discount", default="0", metavar="FRAC", help="Negotiated discount that is known, as 0.1."
)
@click.option(
    "--prices", type=click.Path(path_type=Path), help="Price rows that the ledger was priced with."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write reconcile.html, reconcile.json and tables (CSV) into this folder.",
)
@click.option(
    "--accept",
    "accepted",
    is_flag=True,
    help="Keep it in the ledger: `decide --focus` then fills BilledCost for these days.",
)
def reconcile(
    bill: Path,
    usage: Path,
    told: tuple[str, ...],
    discount: str,
    prices: Path | None,
    out: Path | None,
    accepted: bool,
) -> None:
    """Say which share of a bill the ledger explains, and where the difference sits.

    \b
    weighbridge reconcile --bill costs.json --usage usage --out reconciled
    weighbridge reconcile --bill bill.csv --usage usage --map gpt4o-eu=gpt-4o --discount 0.1

    Bills: OpenAI organization costs, Anthropic's cost report, FOCUS (CSV or Parquet), or any CSV
    with the columns date, model, usd. Days are UTC.
    """
    from weighbridge.report.reconcile_terminal import render_reconciliation
    from weighbridge.study.reconcile import reconcile as compare

    check_folder(out)
    found = compare(bill, usage, _names(told), _fraction(discount), prices)
    files = {}
    if out is not None:
        from weighbridge.report.reconcile_files import reconciliation_files

        files = {out / name: content for name, content in reconciliation_files(found).items()}
    kept = _accept(found, usage) if accepted else None
    for path, content in files.items():
        replace_file(path, content)
    console = screen()
    render_reconciliation(found, console)
    if kept is not None:
        console.print(f"accepted: {kept}", highlight=False, soft_wrap=True)
    if files:
        console.print(f"written: {out}", highlight=False, soft_wrap=True)


def _names(told: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in told:
        bill, equals, ledger = (part.strip() for part in pair.partition("="))
        if not (bill and equals and ledger):
            raise InputError("--map", pair, "is no pair of names", "write BILL_MODEL=LEDGER_MODEL")
        if found.get(bill, ledger) != ledger:
            raise InputError("--map", bill, "is given two names", "give one")
        found[bill] = ledger
    return found


def _fraction(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        mend = "give a fraction from 0 to below 1, as 0.1"
        raise InputError("--discount", "", f"is {text!r}", mend)
    return value


def _accept(found: Reconciliation, usage: Path) -> Path:
    """Keep the bill's figures beside the ledger; nothing is kept that no request explains."""
    from weighbridge.usage.reconciled import Acceptance, BilledDay, OtherCharge, accept

    if not found.explained_usd:
        raise InputError(
            found.bill_name,
            "--accept",
            "has nothing that the ledger explains",
            "check that it is this ledger's bill, and --map names that differ",
        )
    standing = [finding.headline for finding in found.findings if finding.severity == "gap"]
    if standing:
        more = f" (and {len(standing) - 1} more)" if len(standing) > 1 else ""
        raise InputError(
            found.bill_name,
            "--accept",
            f"does not agree with the ledger: {standing[0]}{more}",
            "run without --accept to see every finding, mend them, and accept then",
        )
    with localcontext() as context:
        context.prec = 60
        step, kept = Decimal("1e-12"), 1 - found.discount_frac
        days = tuple(
            BilledDay(
                cell.on,
                cell.provider,
                cell.model,
                cell.bill_usd,
                (cell.list_usd / kept).quantize(step),
                cell.n_requests,
            )
            for cell in found.cells
            if cell.bill_usd
        )
    others = tuple(
        OtherCharge(line.on, line.provider, line.kind, line.line_item, line.usd)
        for line in found.others
    )
    acceptance = Acceptance(
        bill_name=Path(found.bill_name).name,
        bill_kind=found.bill_kind,
        bill_sha256=found.bill_sha256,
        ledger_digest=found.ledger_digest,
        accepted_at=dt.datetime.now(dt.UTC),
        first_on=found.first_on,
        last_on=found.last_on,
        billed_usd=found.bill_usd,
        explained_frac=found.explained_frac,
        days=days,
        others=others,
    )
    return accept(usage, acceptance)
