"""Carries leases between a process and its bank, one exchange at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from weighbridge.gateway.budgets import THRESHOLD_FRACS, Events, threshold_words
from weighbridge.gateway.shared.bank import Answer, Bank, Draw
from weighbridge.gateway.shared.lease import Lease, MoneyLease

# So many leases are told to the bank in one tick; more take their turns.
_MAX_DRAWS = 100
Arrived = Callable[[], None]


class Courier:
    """Knows which leases the bank must hear of, and whether it can be reached."""

    def __init__(self, bank: Bank, on_event: Events) -> None:
        self.bank = bank
        self.is_busy = False
        self.is_away = False
        self.n_outages = 0
        self.n_exchanges = 0
        self.n_failed = 0
        self.active: dict[Lease, None] = {}
        self._closing: dict[str, Draw] = {}  # last words on periods that are over
        self._on_event = on_event

    def fetch(self, leases: Iterable[Lease], now: float, at: float, arrived: Arrived) -> None:
        """Ask for what the leases want; `arrived` comes when they have it, or the bank is away."""
        self._send([(lease, lease.draw()) for lease in leases], now, at, arrived)

    def tick(self, now: float, at: float, arrived: Arrived, *, is_last: bool = False) -> None:
        """Give back what is not used, tell what is held and spent; look for a bank that is away."""
        if self.is_busy or not (self.active or self._closing or self.is_away):
            return
        most = len(self.active) if is_last else _MAX_DRAWS
        told = []
        for lease in list(islice(self.active, most)):
            del self.active[lease]  # and to the end of the line
            self.active[lease] = None
            surplus = lease.ebb()
            told.append((lease, lease.draw(max(lease.left, 0) if is_last else surplus)))
        self._send(told, now, at, arrived)

    def note(self, lease: Lease) -> None:
        """The bank must hear of this lease."""
        if not lease.is_active:
            lease.is_active = True
            self.active[lease] = None

    def close_period(self, draw: Draw) -> None:
        """Keep the last word on a period until the bank has it."""
        self._closing[draw.cell] = draw

    def _send(
        self, sent: list[tuple[Lease, Draw]], now: float, at: float, arrived: Arrived
    ) -> None:
        self.is_busy = True
        self.n_exchanges += 1
        closing = dict(self._closing)
        for lease, _ in sent:
            self.note(lease)

        def done(answers: list[Answer] | None) -> None:
            self.is_busy = False
            if answers is None:
                self._fail(sent)
            else:
                self._receive(sent, answers, now)
                self._forget_closed(closing)
            arrived()

        self.bank.exchange([*(draw for _, draw in sent), *closing.values()], now, at, done)

    def _fail(self, sent: list[tuple[Lease, Draw]]) -> None:
        self.n_failed += 1
        for lease, draw in sent:
            lease.undo(draw)
        if not self.is_away:
            self.is_away = True
            self.n_outages += 1
            self._on_event("state_away", "shared limits and budgets: the local share holds")

    def _receive(self, sent: list[tuple[Lease, Draw]], answers: list[Answer], now: float) -> None:
        if self.is_away:
            self.is_away = False
            for lease in self.active:
                lease.come_back()
            self._on_event("state_back", "shared limits and budgets: the bank answers again")
        for (lease, draw), answer in zip(sent, answers, strict=False):
            if lease.cell != draw.cell:
                continue  # its period ended meanwhile; the last word takes back what was granted
            lease.receive(draw, answer, now)
            if lease.is_done():
                lease.is_active = False
                self.active.pop(lease, None)
            if isinstance(lease, MoneyLease):
                self._tell(lease, answer)

    def _forget_closed(self, closing: dict[str, Draw]) -> None:
        for cell, draw in closing.items():
            if self._closing.get(cell) is draw:
                del self._closing[cell]

    def _tell(self, lease: MoneyLease, answer: Answer) -> None:
        for frac in THRESHOLD_FRACS[answer.told_from : answer.told_to]:
            words = threshold_words(lease.budget, frac, answer.total)
            self._on_event("budget_threshold", words)
