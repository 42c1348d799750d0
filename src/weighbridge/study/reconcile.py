"""A provider's bill against the ledger: what is explained, and where the difference sits."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from weighbridge.catalog.prices import PriceBook, compile_prices
from weighbridge.study.bill_findings import explained_factor, findings_of
from weighbridge.study.bill_gaps import FEWEST_DAYS_OF_FACTOR as FEW
from weighbridge.study.bill_gaps import Daily, Scale, scales
from weighbridge.study.bill_lines import kind_of, token_type_of
from weighbridge.study.bill_matching import Key, Names, canonical
from weighbridge.study.reconciliation import (
    BillCell,
    CellState,
    DifferencePart,
    ModelFactor,
    OtherLines,
    PartKind,
    Reconciliation,
    TokenTypeRow,
)
from weighbridge.units import InputError
from weighbridge.usage.bills import BillLine, read_bill
from weighbridge.usage.price_classes import PriceClass, TokenCost, daily_token_costs, price_classes

if TYPE_CHECKING:
    from weighbridge.usage.store import Ledger

ZERO, ONE = Decimal(0), Decimal(1)
DIGITS = 60  # enough that no sum of a bill is rounded
EDGE_HOURS = 1  # a ledger that begins so much later in its first day has only part of it
SETTLING_DAYS = 2  # bills trail usage by a day or so; our judgement

Place = tuple[dt.date, Key]


@dataclass
class Ours:
    """What the ledger holds of one day and model."""

    list_usd: Decimal = ZERO
    n_requests: int = 0
    n_unpriced: int = 0
    sum_squared_usd: float = 0.0
    by_type: dict[str, Decimal] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


@dataclass
class Theirs:
    """What the bill holds of one day and model."""

    usd: Decimal = ZERO
    n_lines: int = 0
    by_type: dict[str | None, Decimal] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Sides:
    """Both sides by day and model, and what frames them."""

    ours: Mapping[Place, Ours]
    theirs: Mapping[Place, Theirs]
    span: tuple[dt.date, dt.date]  # first and last day of the ledger
    billed: tuple[dt.date, dt.date]
    partial: frozenset[dt.date]
    last_digit_usd: Decimal

    def rounding_usd(self, place: Place) -> Decimal:
        """Half a last digit for every line that the bill rounded."""
        lines = self.theirs[place].n_lines if place in self.theirs else 0
        return self.last_digit_usd * lines / 2


def reconcile(
    bill: Path | str,
    usage: Ledger | Path | str,
    told: Mapping[str, str] | None = None,
    discount_frac: Decimal = ZERO,
    prices: Path | None = None,
) -> Reconciliation:
    """Lay a bill against a ledger.

    Parameters
    ----------
    bill : path
        Any bill that `usage.bills.read_bill` reads.
    usage : Ledger or path of one
        The measured traffic.
    told : mapping of str to str, optional
        The bill's name of a model to the ledger's, where they differ.
    discount_frac : Decimal
        A negotiated discount that is known, taken off list before anything is compared [1].
    prices : path, optional
        Price rows of one's own, if the ledger was imported with them.

    Raises
    ------
    InputError
        Where bill or ledger cannot be read, share no day, or a name leads nowhere.
    """
    from weighbridge.study.measured import opened  # noqa: PLC0415  # DuckDB, Ibis

    if not ZERO <= discount_frac < ONE:
        problem = f"is {discount_frac}"
        raise InputError("--discount", "", problem, "give a fraction from 0 to below 1, as 0.1")
    path = Path(bill)
    lines = read_bill(path)
    _check_models(str(bill), lines)
    ledger = opened(usage)
    with localcontext() as context:
        context.prec = DIGITS
        book = compile_prices(prices)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        paper = _Paper(str(bill), digest, lines)
        return _reconciled(paper, ledger, book, dict(told or {}), discount_frac)


def _check_models(name: str, lines: Sequence[BillLine]) -> None:
    if any(line.model or line.line_item for line in lines):
        return
    mends = {
        "openai-costs": "fetch with group_by=line_item",
        "anthropic-costs": "fetch with group_by[]=description",
    }
    mend = mends.get(lines[0].source, "export the bill by day and model")
    raise InputError(name, "", "no line names a model", mend)


@dataclass(frozen=True)
class _Paper:
    name: str
    sha256: str
    lines: tuple[BillLine, ...]


@dataclass(frozen=True)
class _Beside:
    discount_frac: Decimal
    left_out: Mapping[str, Decimal]


def _reconciled(
    paper: _Paper, ledger: Ledger, book: PriceBook, told: dict[str, str], discount: Decimal
) -> Reconciliation:
    every_class = price_classes(ledger, book)
    classes = [c for c in every_class if c.price_state != "self_hosted"]
    if not classes:
        problem = "holds no request that a provider would bill"
        raise InputError(str(ledger.path), "", problem, "name the ledger of the API's traffic")
    names = Names({(c.provider, c.model) for c in classes if c.model}, told)
    theirs, others = _their_side(paper.lines, names)
    span = (every_class[0].at.date(), every_class[-1].at.date())
    days = sorted({line.day for line in paper.lines})
    billed = (days[0], days[-1])
    if days[-1] < span[0] or days[0] > span[1]:
        problem = f"covers {days[0]} to {days[-1]}, and the ledger {span[0]} to {span[1]}"
        raise InputError(paper.name, "", problem, "give the bill of the ledger's days")
    every = _our_side(list(daily_token_costs(classes, book)), discount)
    _weigh(every, classes, discount)
    providers = _providers(paper.lines, theirs, names)
    inside = {
        place: ours
        for place, ours in every.items()
        if billed[0] <= place[0] <= billed[1] and place[1][0] in providers
    }
    partial = _partial_days(every_class)
    sides = Sides(inside, theirs, span, billed, partial, _last_digit(paper.lines))
    beside = _Beside(discount, _left_out(every, providers))
    return _told(paper, ledger, sides, others, beside)


def _partial_days(classes: Sequence[PriceClass]) -> frozenset[dt.date]:
    """First and last day of a ledger that begins, or ends, later in the day than days usually do.

    The hours of other days are the measure: where nobody works at night, no day begins at midnight.
    """
    hours: dict[dt.date, list[int]] = {}
    for one in classes:
        hours.setdefault(one.at.date(), []).append(one.at.hour)
    days = sorted(hours)
    first, last, rest = days[0], days[-1], days[1:-1]
    usual_first = median(min(hours[day]) for day in rest) if rest else 0
    usual_last = median(max(hours[day]) for day in rest) if rest else 23
    found = {first} if min(hours[first]) - usual_first > EDGE_HOURS else set()
    return frozenset(found | ({last} if usual_last - max(hours[last]) > EDGE_HOURS else set()))


def _last_digit(lines: Sequence[BillLine]) -> Decimal:
    """The finest digit that the bill writes: trailing zeros are often dropped, so of all lines."""
    finest = min(int(line.usd.as_tuple().exponent) for line in lines)
    return ONE.scaleb(min(finest, 0))


def _their_side(
    lines: Sequence[BillLine], names: Names
) -> tuple[dict[Place, Theirs], tuple[OtherLines, ...]]:
    theirs: dict[Place, Theirs] = {}
    others: dict[tuple[str, dt.date, str | None, str], Decimal] = {}
    for line in lines:
        kind = kind_of(line)
        if kind != "tokens" or line.model is None:
            said = line.line_item or line.model or "(not named)"
            key = (kind, line.day, line.provider, said)
            others[key] = others.get(key, ZERO) + line.usd
            continue
        cell = theirs.setdefault((line.day, names.key_of(line.provider, line.model)), Theirs())
        cell.usd += line.usd
        cell.n_lines += 1
        cell.names.add(line.model)
        token_type = token_type_of(line)
        cell.by_type[token_type] = cell.by_type.get(token_type, ZERO) + line.usd
    summed = (OtherLines(*key, usd=usd) for key, usd in others.items())
    return theirs, tuple(sorted(summed, key=lambda o: (o.on, o.kind, o.line_item)))


def _our_side(rows: Sequence[TokenCost], discount: Decimal) -> dict[Place, Ours]:
    ours: dict[Place, Ours] = {}
    for row in rows:
        place = (row.on, canonical(row.provider, row.model or "(no model named)"))
        cell = ours.setdefault(place, Ours())
        usd = row.list_cost_usd * (1 - discount)
        cell.list_usd += usd
        cell.by_type[row.token_type] = cell.by_type.get(row.token_type, ZERO) + usd
        cell.names.add(row.model or "(no model named)")
        cell.n_requests += row.n_requests
        cell.n_unpriced += row.n_requests if row.price_state == "unpriced" else 0
    return ours


def _weigh(ours: Mapping[Place, Ours], classes: Sequence[PriceClass], discount: Decimal) -> None:
    for one in classes:
        place = (one.at.date(), canonical(one.provider, one.model or "(no model named)"))
        ours[place].sum_squared_usd += one.sum_squared_usd * float(1 - discount) ** 2


def _providers(
    lines: Sequence[BillLine], theirs: Mapping[Place, Theirs], names: Names
) -> set[str | None]:
    """Whose bill it is: the providers that its lines name or its models lead to."""
    named = {canonical(line.provider, "x")[0] for line in lines if line.provider}
    led_to = {key[0] for _, key in theirs if key in names.keys}
    return named | led_to


def _left_out(ours: Mapping[Place, Ours], providers: set[str | None]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for (_, (provider, _)), cell in ours.items():
        if provider not in providers and cell.list_usd:
            name = provider or "(no provider named)"
            found[name] = found.get(name, ZERO) + cell.list_usd
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _judged(sides: Sides) -> tuple[tuple[BillCell, ...], Mapping[Key, Scale]]:
    """Every cell with its state, and each model's factor."""
    both = [place for place in sides.theirs if _comparable(sides, place)]
    keys = sorted({key for _, key in both}, key=lambda key: (key[0] or "", key[1]))
    whole = [
        [
            _daily(sides, place)
            for place in sorted(both)
            if place[1] == key and place[0] not in sides.partial
        ]
        for key in keys
    ]
    found = dict(zip(keys, scales(whole), strict=True))
    places = sorted({*sides.ours, *sides.theirs}, key=lambda p: (p[0], p[1][0] or "", p[1][1]))
    billed = {key for _, key in sides.theirs}
    held = {key for _, key in sides.ours}
    return tuple(_cell(sides, place, found, billed, held) for place in places), found


def _comparable(sides: Sides, place: Place) -> bool:
    ours = sides.ours.get(place)
    return (
        ours is not None
        and ours.list_usd > 0
        and ours.n_unpriced == 0
        and sides.theirs[place].usd > 0
    )


def _daily(sides: Sides, place: Place) -> Daily:
    ours = sides.ours[place]
    usd, rounding = sides.theirs[place].usd, sides.rounding_usd(place)
    return Daily(place[0], usd, ours.list_usd, rounding, ours.sum_squared_usd)


def _cell(
    sides: Sides, place: Place, found: Mapping[Key, Scale], billed: set[Key], held: set[Key]
) -> BillCell:
    on, key = place
    ours, theirs = sides.ours.get(place, Ours()), sides.theirs.get(place, Theirs())
    scale = found.get(key)
    factor = scale.factor if scale is not None else ONE
    sigmas = None
    if scale is not None and place in sides.theirs and _comparable(sides, place):
        sigmas = scale.n_sigmas(_daily(sides, place))
    cell = BillCell(
        on=on,
        provider=key[0],
        model=key[1],
        bill_usd=theirs.usd,
        list_usd=ours.list_usd,
        expected_usd=ours.list_usd * factor,
        n_requests=ours.n_requests,
        n_unpriced=ours.n_unpriced,
        rounding_usd=sides.rounding_usd(place),
        state="explained",
        n_sigmas=sigmas,
    )
    return replace(cell, state=_state(sides, place, cell, scale, (key in billed, key in held)))


def _state(
    sides: Sides, place: Place, cell: BillCell, scale: Scale | None, known: tuple[bool, bool]
) -> CellState:
    is_billed, is_held = known
    if not sides.span[0] <= place[0] <= sides.span[1]:
        return "outside ledger"
    if not is_held:
        return "model not in ledger"
    if cell.n_unpriced:
        return "no price"
    if not is_billed:
        return "model not in bill" if cell.list_usd else "explained"
    if place in sides.theirs and place in sides.ours and cell.list_usd > 0 and cell.bill_usd > 0:
        gap = scale is not None and scale.is_gap(_daily(sides, place))
    else:
        gap = abs(cell.left_usd) > cell.rounding_usd
    if not gap:
        return "explained"
    return _gap_state(sides, place, cell)


def _gap_state(sides: Sides, place: Place, cell: BillCell) -> CellState:
    if cell.left_usd > 0:
        return "partial day" if place[0] in sides.partial else "ledger short"
    last_billed = min(sides.billed[1], sides.span[1])
    if (last_billed - place[0]).days < SETTLING_DAYS and sides.billed[1] <= sides.span[1]:
        return "not settled"
    return "bill short"


def _parts(cells: Sequence[BillCell]) -> tuple[DifferencePart, ...]:
    """Every dollar of bill minus ledger in one part."""
    found: dict[PartKind, tuple[Decimal, int]] = {}

    def add(kind: PartKind, usd: Decimal) -> None:
        if usd:
            had, n = found.get(kind, (ZERO, 0))
            found[kind] = (had + usd, n + 1)

    for cell in cells:
        add("constant factor", cell.expected_usd - cell.list_usd)
        kind: PartKind = "noise and rounding" if cell.state == "explained" else cell.state
        add(kind, cell.left_usd)
    ordered = sorted(found.items(), key=lambda item: -abs(item[1][0]))
    return tuple(DifferencePart(kind, usd, n) for kind, (usd, n) in ordered)


def _factors(sides: Sides, found: Mapping[Key, Scale]) -> tuple[ModelFactor, ...]:
    made = []
    for key, scale in found.items():
        places = [p for p in sides.theirs if p[1] == key and _comparable(sides, p)]
        days = [_daily(sides, p) for p in places]
        typical = median(day.weight_frac for day in days)
        rounding = max(float(day.rounding_usd / day.list_usd) for day in days)
        noise = scale.sigma * typical
        made.append(
            ModelFactor(
                provider=key[0],
                model=key[1],
                factor_ratio=scale.factor,
                n_days=scale.n_days,
                noise_frac=noise,
                smallest_gap_frac=max(noise * scale.threshold_sigmas, rounding)
                + float((scale.high - scale.low) / scale.factor),
                bill_names=tuple(sorted({n for p in places for n in sides.theirs[p].names})),
                ledger_names=tuple(sorted({n for p in places for n in sides.ours[p].names})),
                explanation=explained_factor(scale),
            )
        )
    return tuple(made)


def _token_types(sides: Sides, found: Mapping[Key, Scale]) -> tuple[TokenTypeRow, ...]:
    """Both sides by token type, for models all of whose lines name one."""
    made = []
    for key, scale in found.items():
        places = [p for p in sides.theirs if p[1] == key and _comparable(sides, p)]
        if any(None in sides.theirs[p].by_type for p in places):
            continue
        theirs: dict[str, Decimal] = {}
        ours: dict[str, Decimal] = {}
        for place in places:
            for name, usd in sides.theirs[place].by_type.items():
                theirs[str(name)] = theirs.get(str(name), ZERO) + usd
            for name, usd in sides.ours[place].by_type.items():
                ours[name] = ours.get(name, ZERO) + usd
        made += [
            TokenTypeRow(*key, name, theirs.get(name, ZERO), listed, listed * scale.factor)
            for name in sorted({*theirs, *ours})
            if (listed := ours.get(name, ZERO)) or theirs.get(name)
        ]
    return tuple(made)


def _told(
    paper: _Paper, ledger: Ledger, sides: Sides, others: tuple[OtherLines, ...], beside: _Beside
) -> Reconciliation:
    cells, found = _judged(sides)
    told = Reconciliation(
        bill_name=paper.name,
        bill_kind=paper.lines[0].source,
        bill_sha256=paper.sha256,
        ledger_path=str(ledger.path),
        ledger_digest=ledger.digest,
        discount_frac=beside.discount_frac,
        first_on=sides.billed[0],
        last_on=sides.billed[1],
        ledger_first_on=sides.span[0],
        ledger_last_on=sides.span[1],
        bill_usd=sum((line.usd for line in paper.lines), ZERO),
        token_usd=sum((cell.usd for cell in sides.theirs.values()), ZERO),
        list_usd=sum((cell.list_usd for cell in sides.ours.values()), ZERO),
        explained_usd=sum((cell.explained_usd for cell in cells), ZERO),
        cells=cells,
        factors=_factors(sides, found),
        token_types=_token_types(sides, found),
        others=others,
        parts=_parts(cells),
        findings=(),
        left_out=beside.left_out,
        notes=_notes(found),
    )
    return replace(told, findings=findings_of(told))


def _notes(found: Mapping[Key, Scale]) -> tuple[str, ...]:
    days = (
        "days are UTC days on both sides; a bill whose days begin at another hour shows opposite "
        "differences on neighbouring days"
    )
    few = "fewer than three whole days are on both sides: a constant factor and a gap look alike"
    return (days, few) if max((s.n_days for s in found.values()), default=0) < FEW else (days,)
