"""Which target holds the state of a stored response, so that what follows it goes there.

Ids are hashed into a file that all workers of a machine share by appending; a worker that does not
know an id reads what the others added. Replicas on other machines do not see it: with several
machines, a client's later turns must reach the same one, or a rule must name one target.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

MOST_IDS = 200_000
DIGEST_BYTES = 12
OWED = "+"
PAID = "-"


class Home(NamedTuple):
    """Where state is, and whose: all tenants share an upstream's key, but not what it stores."""

    target: str
    owner: str  # a digest of the tenant's name

    def belongs_to(self, tenant: str | None) -> bool:
        """Whether a tenant made what is stored."""
        return self.owner == _digest(tenant or "")


class StateHomes:
    """Response id to target and tenant, newest kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._homes: OrderedDict[str, Home] = OrderedDict()
        self._unpaid: OrderedDict[str, None] = OrderedDict()
        self._read_bytes = 0
        self._refresh()

    def remember(self, response_id: str, target: str, tenant: str | None) -> None:
        """A target stored this response for a tenant; who made it first owns it."""
        digest = _digest(response_id)
        home = Home(target, _digest(tenant or ""))
        if self._homes.get(digest) == home:
            return
        self._put(digest, home)
        self._append(f"{digest} {home.owner} {target}")

    def owe(self, response_id: str) -> None:
        """A response was answered without its usage: whoever fetches it first brings that."""
        digest = _digest(response_id)
        self._mark(digest, is_owed=True)
        self._append(f"{OWED}{digest}")

    def owes(self, response_id: str) -> bool:
        """Whether the usage of a response was never seen."""
        self._refresh()
        return _digest(response_id) in self._unpaid

    def pay(self, response_id: str) -> None:
        """The usage of a response was seen: it counts once."""
        digest = _digest(response_id)
        self._mark(digest, is_owed=False)
        self._append(f"{PAID}{digest}")

    def _append(self, line: str) -> None:
        if self._path is None:
            return
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, f"{line}\n".encode())
            finally:
                os.close(file)
        except OSError:
            return  # known to this worker still; a full disk is told of by the spool

    def home_of(self, response_id: str) -> Home | None:
        """Where a response is; None where nobody remembers."""
        digest = _digest(response_id)
        if digest not in self._homes:
            self._refresh()
        return self._homes.get(digest)

    def _put(self, digest: str, home: Home) -> None:
        self._homes[digest] = home
        if len(self._homes) > MOST_IDS:
            self._homes.popitem(last=False)

    def _mark(self, digest: str, *, is_owed: bool) -> None:
        if is_owed:
            self._unpaid[digest] = None
            if len(self._unpaid) > MOST_IDS:
                self._unpaid.popitem(last=False)
        else:
            self._unpaid.pop(digest, None)

    def _refresh(self) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                added = file.read()
        except FileNotFoundError:
            return
        whole = added[: added.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            digest, _, rest = line.decode("utf-8", "replace").partition(" ")
            owner, _, target = rest.partition(" ")
            if digest[:1] in {OWED, PAID}:
                self._mark(digest[1:], is_owed=digest[0] == OWED)
            elif target:
                self._put(digest, Home(target, owner))


def _digest(response_id: str) -> str:
    return blake2b(response_id.encode(), digest_size=DIGEST_BYTES).hexdigest()
