"""Which model of the ledger a line of a bill means, by the names of the price book."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from weighbridge.catalog.price_names import provider_id_of, resolve
from weighbridge.units import InputError

Key = tuple[str | None, str]  # provider and model, as the price book spells them


def canonical(provider: str | None, model: str) -> Key:
    """Provider and model in the price book's spelling; what it does not list keeps its name."""
    found = resolve(provider, model)
    if found.listing is not None:
        return found.provider_id, found.listing.model.id
    own = found.provider_id or (provider_id_of(provider) if provider else None)
    return own, " ".join(model.lower().split())


@dataclass
class Names:
    """The ledger's models, and how a bill's names lead to them."""

    pairs: Iterable[tuple[str | None, str]]
    told: Mapping[str, str] = field(default_factory=dict)  # bill's name -> ledger's name
    keys: frozenset[Key] = field(init=False)
    _by_name: dict[str, set[Key]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_name = {}
        for provider, model in self.pairs:
            key = canonical(provider, model)
            for name in (model.lower(), key[1]):
                self._by_name.setdefault(name, set()).add(key)
        self.keys = frozenset(key for keys in self._by_name.values() for key in keys)
        self.told = {bill.lower(): self._named(bill, ours) for bill, ours in self.told.items()}

    def _named(self, bill: str, ours: str) -> str:
        if ours.lower() not in self._by_name:
            near = get_close_matches(ours.lower(), self._by_name, n=3) or sorted(self._by_name)[:3]
            raise InputError(
                "--map",
                f"{bill}={ours}",
                f"the ledger holds no model {ours!r}",
                f"name one that it holds, such as {' or '.join(near) or 'none: it names none'}",
            )
        return ours.lower()

    def key_of(self, provider: str | None, model: str) -> Key:
        """The ledger's key where the name leads to one, else the bill's own name."""
        name = self.told.get(model.lower(), model)
        key = canonical(provider, name)
        if key in self.keys:
            return key
        found = self._by_name.get(name.lower(), set()) | self._by_name.get(key[1], set())
        # A ledger or a bill that names no provider is met by name, where only one fits.
        fitting = {k for k in found if k[0] is None or key[0] is None or k[0] == key[0]}
        return fitting.pop() if len(fitting) == 1 else key
