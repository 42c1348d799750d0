"""A reconciliation on a screen of a hundred columns: the share explained, then what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.report.screen_lines import plain, wrapped
from weighbridge.report.terminal import WIDTH
from weighbridge.study.bill_findings import dollars, name_of, percent
from weighbridge.study.reconciliation import Finding, ModelFactor, Reconciliation

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

N_FINDINGS = 10
N_MODELS = 10
MOST_NAME = 40
STYLES = {"gap": "bold red", "explained": "", "note": "dim"}


def headline(told: Reconciliation) -> str:
    """The answer in one sentence."""
    if not told.token_usd:
        return "The bill holds no line of tokens that a ledger could explain"
    explained = told.explained_frac
    # 0.99999 is not all of it: rounding up here would hide the very thing that is looked for.
    shown = "100 %" if told.explained_usd == told.token_usd else f"{int(explained * 10000) / 100} %"
    n_gaps = sum(cell.state in {"ledger short", "bill short"} for cell in told.cells)
    gaps = "no day and model is out of line"
    if told.n_gap_findings:
        gaps = "the two do not agree: see the findings"
    if n_gaps:
        gaps = (
            f"{n_gaps} {'day and model is' if n_gaps == 1 else 'days and models are'} out of line"
        )
    return f"The ledger explains {shown} of {dollars(told.token_usd)} billed for tokens; {gaps}"


def render_reconciliation(told: Reconciliation, console: Console) -> None:
    """Print the answer; every day and model is in the files."""
    width = min(WIDTH, console.width)
    for part in _parts(told, width):
        console.print(part, width=width, highlight=False)


def _parts(told: Reconciliation, width: int) -> list[RenderableType]:
    from rich.text import Text  # noqa: PLC0415

    gaps = told.n_gap_findings
    lines: list[RenderableType] = [
        *wrapped("", headline(told), width, 3, "bold red" if gaps else "bold green"),
        *wrapped("Bill: ", _bill(told), width, 3),
        *wrapped("Ledger: ", _ledger(told), width, 3),
        Text(""),
    ]
    if told.factors:
        lines += [_models(told), Text("")]
    if told.parts:
        lines += [_causes(told), Text("")]
    shown = told.findings[:N_FINDINGS]
    for finding in shown:
        lines += _finding(finding, width)
    if len(told.findings) > len(shown):
        lines += wrapped("", f"and {len(told.findings) - len(shown)} more in the files", width, 1)
    return [*lines, *(x for note in told.notes for x in wrapped("Note: ", note, width, 3, "dim"))]


def _bill(told: Reconciliation) -> str:
    other = told.bill_usd - told.token_usd
    beside = f", {dollars(other)} of it for other things" if told.others else ""
    period = f"{told.first_on} to {told.last_on}"
    return f"{told.bill_name} ({told.bill_kind}), {period}, {dollars(told.bill_usd)}{beside}"


def _ledger(told: Reconciliation) -> str:
    known = f" after a discount of {told.discount_frac:f}" if told.discount_frac else ""
    period = f"{told.ledger_first_on} to {told.ledger_last_on}"
    return f"{told.ledger_path}, {period}, {dollars(told.list_usd)} at list prices{known}"


def _finding(finding: Finding, width: int) -> list[Text]:
    lead = "! " if finding.severity == "gap" else "· "
    money = f" ({dollars(finding.usd)})"
    style = STYLES[finding.severity]
    return [
        *wrapped("", f"{lead}{finding.headline}{money}", width, 2, style),
        *wrapped("", f"    {finding.detail}", width, 3, "dim"),
    ]


def _models(told: Reconciliation) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Model", no_wrap=True, max_width=MOST_NAME)
    for name in ("billed", "ledger, list", "factor", "days", "scatter a day", "smallest gap seen"):
        table.add_column(name, justify="right")
    sums = {
        (f.provider, f.model): (
            sum(c.bill_usd for c in told.cells if (c.provider, c.model) == (f.provider, f.model)),
            sum(c.list_usd for c in told.cells if (c.provider, c.model) == (f.provider, f.model)),
        )
        for f in told.factors
    }
    ordered = sorted(told.factors, key=lambda f: -sums[f.provider, f.model][0])
    for one in ordered[:N_MODELS]:
        billed, listed = sums[one.provider, one.model]
        name = plain(name_of(one.provider, one.model))
        table.add_row(name, dollars(billed), dollars(listed), *figures(one))
    return table


def figures(one: ModelFactor) -> tuple[str, str, str, str]:
    """Factor, days, scatter and what could be told, as text."""
    factor = f"{float(one.factor_ratio):.4g}"
    return factor, str(one.n_days), _frac(one.noise_frac), _frac(one.smallest_gap_frac)


def _frac(frac: float) -> str:
    if frac < 5e-7:
        return "none" if frac == 0 else "<0.0001 %"
    return percent(frac)


def _causes(told: Reconciliation) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Bill minus ledger")
    table.add_column("", justify="right")
    table.add_column("days and models", justify="right")
    for part in told.parts:
        table.add_row(part.kind, dollars(part.usd), str(part.n_cells))
    table.add_row("in all", dollars(told.difference_usd), "", style="bold")
    return table
