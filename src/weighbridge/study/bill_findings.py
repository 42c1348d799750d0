"""What a reconciliation found, in sentences: where the difference sits, why, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

from weighbridge.study.bill_gaps import Scale
from weighbridge.study.reconciliation import (
    BillCell,
    Finding,
    ModelFactor,
    Reconciliation,
    TokenTypeRow,
)

LIKE_A_PRICE = 0.2  # of the scatter that lost requests would make; our judgement
TYPE_SHARE = 0.8  # of a model's difference, for one token type to be named as where it sits
MOST_NAMED = 8
NOISE_FRAC = Decimal("0.005")  # of the bill, above which noise is told; our judgement
MOST_SINGLE_DAYS = 3  # so many short days of a model are told together; our judgement
WORTH_NAMING_FRAC = Decimal("0.005")  # of a token type's cost; our judgement


def explained_factor(scale: Scale) -> str:
    """What a constant factor looks like: a price, or requests that are missing everywhere.

    Where a share p of requests is lost at random, a day's ratio scatters by sqrt(p (1 - p)) of what
    one request weighs on that day; a price scatters by nothing.
    """
    factor = float(scale.factor)
    if factor == 1:
        return ""
    if scale.n_days < 3:
        return "seen on fewer than three days, so that it may be a gap as well"
    lost = 1 - 1 / factor if factor > 1 else 1 - factor
    expected = math.sqrt(lost * (1 - lost))
    steady = scale.sigma < LIKE_A_PRICE * expected
    if factor < 1:
        if steady:
            return "the same on every day: a negotiated discount, or list prices that are too high"
        return "scatters from day to day: requests in the ledger that were not billed, or repeated"
    if steady:
        return "the same on every day: a surcharge, or list prices that are too low"
    return "scatters from day to day as requests missing at random everywhere would"


def findings_of(told: Reconciliation) -> tuple[Finding, ...]:
    """Every finding: gaps first, then what is explained, by money."""
    found = [
        *_gaps(told),
        *_whole_models(told),
        *_noise(told),
        *_factors(told),
        *_types(told),
        *_edges(told),
        *_others(told),
    ]
    order = {"gap": 0, "explained": 1, "note": 2}
    return tuple(sorted(found, key=lambda f: (order[f.severity], -abs(f.usd))))


def name_of(provider: str | None, model: str) -> str:
    """Provider and model as people write them."""
    return f"{provider}/{model}" if provider else model


def share(part: Decimal, whole: Decimal) -> str:
    """A share in percent, fine enough to tell 3.0 from 3.1."""
    return percent(float(part / whole)) if whole else "all"


def percent(frac: float) -> str:
    """Percent with two digits, or all digits before the point; never in powers of ten."""
    value = 100 * frac
    return f"{value:.0f} %" if abs(value) >= 10 else f"{value:.2g} %"


def dollars(usd: Decimal | float) -> str:
    """An amount in dollars with cents, more digits where it is below one."""
    value = float(usd)
    sign = "-" if value < 0 else ""
    size = abs(value)
    return f"{sign}${size:,.2f}" if size >= 1 or size == 0 else f"{sign}${size:.3g}"


def _other_days(told: Reconciliation, cell: BillCell) -> str:
    """How many other days of the model agree, and how well."""
    same = (cell.provider, cell.model)
    others = [c for c in told.cells if (c.provider, c.model) == same and c.on != cell.on]
    agreeing = [c for c in others if c.state == "explained"]
    well = "to the digit" if all(c.left_usd == 0 for c in agreeing) else "within rounding"
    short = [c.on for c in (*others, cell) if c.state == "ledger short"]
    since = ""
    if len(short) >= MOST_SINGLE_DAYS:
        since = f"; {len(short)} days are short, the first {min(short)}: did log or price change?"
    return f"{len(agreeing)} of its {len(others)} other days agree {well}{since}"


def _noise(told: Reconciliation) -> Iterable[Finding]:
    """What is called noise is told where it is large: days that differ by it hide a small loss."""
    cells = [c for c in told.cells if c.state == "explained" and c.n_sigmas]
    net = sum((c.left_usd for c in cells), Decimal(0))
    size = sum((max(Decimal(0), abs(c.left_usd) - c.rounding_usd) for c in cells), Decimal(0))
    if size > told.token_usd * NOISE_FRAC:
        yield Finding(
            f"days differ by {share(size, told.token_usd)} of what was billed, either way",
            "called noise, since the days of these models usually do; a loss of that size, or one "
            "that begins on a day, would not be seen. Compare with days whose log is whole",
            net,
            "gap" if abs(net) > told.token_usd * NOISE_FRAC else "note",
        )


def _gaps(told: Reconciliation) -> Iterable[Finding]:
    for cell in told.cells:
        model = name_of(cell.provider, cell.model)
        if cell.state == "ledger short":
            lost = share(cell.left_usd, cell.bill_usd)
            noise = _other_days(told, cell)
            if cell.n_sigmas:
                noise = f"{cell.n_sigmas:.0f} times the usual scatter of its days"
            yield Finding(
                f"{cell.on}, {model}: the ledger lacks {lost} of what was billed",
                f"billed {dollars(cell.bill_usd)}, expected {dollars(cell.expected_usd)} from "
                f"{cell.n_requests:,} requests; {noise}. Look for a log that was not imported, "
                "rejected rows, or calls that went past the log",
                cell.left_usd,
                "gap",
            )
        if cell.state == "bill short":
            yield Finding(
                f"{cell.on}, {model}: the ledger holds more than was billed",
                f"billed {dollars(cell.bill_usd)}, expected {dollars(cell.expected_usd)}: failed "
                "requests counted, a log imported under two names, or free use",
                cell.left_usd,
                "gap",
            )
        if cell.state == "no price":
            yield Finding(
                f"{cell.on}, {model}: {cell.n_unpriced:,} of {cell.n_requests:,} requests have no "
                "known price",
                "add prices with `import --prices FILE`, into a new ledger",
                cell.left_usd,
                "gap",
            )


def _whole_models(told: Reconciliation) -> Iterable[Finding]:
    texts = {
        "model not in ledger": (
            "{model}: billed on {n} day(s), and the ledger holds no request of it",
            "a log that was not imported, or another name: --map {name}=LEDGER_MODEL",
        ),
        "model not in bill": (
            "{model}: in the ledger on {n} day(s), and not on the bill",
            "another account's bill, or another name: --map BILL_MODEL={name}",
        ),
    }
    for state, (headline, detail) in texts.items():
        models = sorted({(c.provider or "", c.model) for c in told.cells if c.state == state})
        for provider, model in models:
            cells = [
                c
                for c in told.cells
                if c.state == state and (c.provider or "", c.model) == (provider, model)
            ]
            words = {"model": name_of(provider or None, model), "n": len(cells), "name": model}
            usd = sum((c.left_usd for c in cells), Decimal(0))
            yield Finding(headline.format(**words), detail.format(**words), usd, "gap")


def _factors(told: Reconciliation) -> Iterable[Finding]:
    others = [f for f in told.factors if f.factor_ratio != 1]
    if len(others) > 1 and _are_alike(told.factors):
        listed = sum((c.list_usd for c in told.cells if c.expected_usd != c.list_usd), Decimal(0))
        usd = sum((c.expected_usd - c.list_usd for c in told.cells), Decimal(0))
        largest = max(others, key=lambda f: f.n_days)
        yield _factor_finding("every model", 1 + usd / listed, largest.explanation, usd)
        return
    for one in others:
        usd = sum(
            (
                c.expected_usd - c.list_usd
                for c in told.cells
                if (c.provider, c.model) == (one.provider, one.model)
            ),
            Decimal(0),
        )
        model = name_of(one.provider, one.model)
        yield _factor_finding(model, one.factor_ratio, one.explanation, usd)


def _are_alike(factors: Sequence[ModelFactor]) -> bool:
    """Whether all models have a factor, and none differs by more than could be told."""
    values = [f.factor_ratio for f in factors]
    slack = max(*(f.smallest_gap_frac for f in factors), 1e-6)
    return 1 not in values and float(max(values) - min(values)) <= slack


def _factor_finding(model: str, factor: Decimal, why: str, usd: Decimal) -> Finding:
    value = float(factor)
    if value < 1:
        discount = 1 - value
        mend = (
            f"; if it is your contract, state `api_discount_frac: {discount:.4g}` under "
            f"`assumptions` in the scenario, and give --discount {discount:.4g} here"
            if "discount" in why
            else ""
        )
        headline = f"{model}: billed at {value:.4g} times list ({discount:.3g} below 1) throughout"
        return Finding(headline, f"{why}{mend}", usd, "explained" if mend else "gap")
    lost = 1 - 1 / value
    headline = f"{model}: billed at {value:.4g} times list throughout"
    if "missing" in why:
        headline = f"{model}: the ledger lacks about {lost:.2%} of what was billed, on all days"
    return Finding(headline, why, usd, "gap")


def _types(told: Reconciliation) -> Iterable[Finding]:
    models = sorted({(r.provider or "", r.model) for r in told.token_types})
    for provider, model in models:
        rows = [r for r in told.token_types if (r.provider or "", r.model) == (provider, model)]
        worst = _where_it_sits(rows)
        if worst is not None:
            ratio = "nothing listed" if not worst.list_usd else f"{_ratio(worst):.4g} times list"
            cache = worst.token_type.startswith("cache")
            why = "prices of cached tokens, or how the log counts them" if cache else "its price"
            yield Finding(
                f"{name_of(provider or None, model)}: the difference sits in {worst.token_type} "
                f"tokens, billed at {ratio}",
                f"{dollars(worst.left_usd)} of its difference; check {why}",
                worst.left_usd,
                "note",
            )


def _ratio(row: TokenTypeRow) -> float:
    return float(row.bill_usd / row.list_usd)


def _where_it_sits(rows: Sequence[TokenTypeRow]) -> TokenTypeRow | None:
    """The one type that most of a model's difference at list prices is in; None: no one type."""
    gaps = [abs(row.bill_usd - row.list_usd) for row in rows]
    whole = sum(gaps, Decimal(0))
    if len(rows) < 2 or not whole:
        return None
    worst = max(range(len(rows)), key=gaps.__getitem__)
    row, size = rows[worst], max(abs(rows[worst].bill_usd), rows[worst].list_usd)
    if float(gaps[worst] / whole) < TYPE_SHARE or gaps[worst] <= size * WORTH_NAMING_FRAC:
        return None
    return row


def _edges(told: Reconciliation) -> Iterable[Finding]:
    texts = {
        "partial day": "the ledger begins or ends inside the day: requests outside it are billed",
        "not settled": "the bill's last days hold less than the ledger: bills trail usage; fetch "
        "the bill again when it has settled",
        "outside ledger": "billed on days of which the ledger holds nothing: import their log, "
        "or give the bill of the ledger's days",
    }
    for state, text in texts.items():
        cells = [c for c in told.cells if c.state == state]
        if cells:
            days = sorted({c.on for c in cells})
            when = str(days[0]) if len(days) == 1 else f"{len(days)} days from {days[0]}"
            usd = sum((c.left_usd for c in cells), Decimal(0))
            lacking = state == "outside ledger"
            yield Finding(f"{when}: {state}", text, usd, "gap" if lacking else "explained")


def _others(told: Reconciliation) -> Iterable[Finding]:
    kinds = sorted({line.kind for line in told.others})
    for kind in kinds:
        usd = sum((line.usd for line in told.others if line.kind == kind), Decimal(0))
        items = sorted({line.line_item for line in told.others if line.kind == kind})
        more = f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else ""
        headline = f"{kind}: no tokens, and so beside the comparison"
        yield Finding(headline, f"{', '.join(items[:MOST_NAMED])}{more}", usd, "note")
    for provider, usd in told.left_out.items():
        headline = f"{provider}: in the ledger, and this is not its bill"
        yield Finding(headline, "left out; reconcile its own bill", -usd, "note")
