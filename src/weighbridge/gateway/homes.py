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

from weighbridge.policy.types import Target

MOST_IDS = 200_000
DIGEST_BYTES = 12


class StateHomes:
    """Response id to target name, newest kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._homes: OrderedDict[str, str] = OrderedDict()
        self._read_bytes = 0
        self._refresh()

    def remember(self, response_id: str, target: str) -> None:
        """A target stored this response."""
        digest = _digest(response_id)
        self._put(digest, target)
        if self._path is None:
            return
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, f"{digest} {target}\n".encode())
            finally:
                os.close(file)
        except OSError:
            return  # known to this worker still; a full disk is told of by the spool

    def only_home(self, response_id: str, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        """The allowed target that holds the state; the first one where nobody remembers."""
        digest = _digest(response_id)
        if digest not in self._homes:
            self._refresh()
        name = self._homes.get(digest)
        held = tuple(target for target in targets if target.name == name)
        return held or targets[:1]

    def home_of(self, response_id: str) -> str | None:
        """Name of the target that holds a response."""
        digest = _digest(response_id)
        if digest not in self._homes:
            self._refresh()
        return self._homes.get(digest)

    def _put(self, digest: str, target: str) -> None:
        self._homes[digest] = target
        if len(self._homes) > MOST_IDS:
            self._homes.popitem(last=False)

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
            digest, _, target = line.decode("ascii", "replace").partition(" ")
            if target:
                self._put(digest, target)


def _digest(response_id: str) -> str:
    return blake2b(response_id.encode(), digest_size=DIGEST_BYTES).hexdigest()
