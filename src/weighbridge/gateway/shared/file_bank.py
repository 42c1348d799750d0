"""A bank for the workers of one machine: a file mapped into each of them, and a lock on it.

The kernel frees the lock of a worker that is killed, and the file keeps what it had spent. What it
held is freed by `forget`, by the worker that takes its place, or by the first that finds the count
short and the process gone. Every word that tells of one worker is written by that worker alone or
under the lock, and each by a single store, so that no kill leaves half a count. All workers must
see each other's process ids: containers do not share a file.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from hashlib import blake2b
from pathlib import Path

from weighbridge.gateway.budgets import THRESHOLD_FRACS
from weighbridge.gateway.shared.bank import MONEY, RATE, Answer, Done, Draw, Purse
from weighbridge.units import InputError

MAX_WORKERS = 32
N_CELLS = 8192
_MAGIC = 0x31_6B_6E_61_62_42_57  # "WBbank1"
_WORD = 8  # bytes
_MOST = 2**63 - 1  # that a word holds: spend stays there, and a budget past it refuses anyhow
_HEAD = 64  # words: magic, cells, workers, then the process id of each worker
_PIDS = 8
# Words of a cell before those of its workers.
_NAME, _KIND, _LEVEL, _STAMP, _CAP, _RATE, _TOLD = 0, 2, 3, 4, 5, 6, 7
_OWN = 8  # held by each worker, then spent by each
_STRIDE = _OWN + 2 * MAX_WORKERS
_BASE = _LEVEL  # of money: spent by workers that are gone
_ENDS = _STAMP  # of money: when its period ends
_N_PROBES = 32
# A stamp so far in the future was made before the machine started anew.
_SKEW_S = 5.0
_FORGET_AFTER_S = 2 * 86_400


class FileBank:
    """Counts in a mapped file. `worker` is this process's place, or None to look on."""

    is_immediate = True
    offset_s = 0.0

    def __init__(self, path: Path, worker: int | None = None) -> None:
        if worker is not None and not 0 <= worker < MAX_WORKERS:
            mend = f"use at most {MAX_WORKERS} workers with a file, or state: redis://..."
            raise InputError(str(path), "worker", f"is {worker}", mend)
        self._path = path
        self._worker = worker
        self.n_without_room = 0
        self._places: dict[str, int] = {}
        self._names: dict[str, tuple[int, int]] = {}
        self._file = _open(path)
        n_bytes = (_HEAD + N_CELLS * _STRIDE) * _WORD
        self._lock()
        try:
            self._check_size(n_bytes)
            self._map = mmap.mmap(self._file, n_bytes)
            view = memoryview(self._map)
            self._words, self._floats = view.cast("q"), view.cast("d")
            self._check_head()
            if worker is not None:
                self._forget(worker)
                self._words[_PIDS + worker] = os.getpid()
        except InputError:
            os.close(self._file)  # which frees the lock too
            raise
        self._unlock()

    def _check_size(self, n_bytes: int) -> None:
        size_bytes = os.fstat(self._file).st_size
        if size_bytes == 0:
            try:  # all of it now: a hole that finds the disk full later would kill the process
                os.posix_fallocate(self._file, 0, n_bytes)
            except OSError as error:
                os.ftruncate(self._file, 0)
                problem = f"cannot be made: {error.strerror}"
                mend = f"choose a folder with {n_bytes:,} bytes to spare"
                raise InputError(str(self._path), "", problem, mend) from error
        elif size_bytes != n_bytes:
            problem = f"has {size_bytes:,} bytes, not {n_bytes:,}: it is no bank of this version"
            raise InputError(str(self._path), "", problem, "remove it, or name another file")

    def _check_head(self) -> None:
        if self._words[0] == 0:
            self._words[0] = _MAGIC
        elif self._words[0] != _MAGIC:
            mend = "remove it, or name another file"
            raise InputError(str(self._path), "", "is no bank of this version", mend)

    def exchange(self, draws: list[Draw], now: float, at: float, done: Done) -> None:
        """Serve draws under the lock, at once."""
        try:
            self._lock()
        except OSError:  # no locks left, or a file system that went away
            done(None)
            return
        try:
            answers = [self._serve(draw, now, at) for draw in draws]
        finally:
            self._unlock()
        done(answers)

    def spend(self, purse: Purse, amount: int) -> None:
        """Spend from what this worker holds: its own words, so no lock is needed."""
        place = self._places.get(purse.cell)
        if place is None or not self._is_at(place, purse.cell):
            place = self._found(purse)
            if place is None:
                self.n_without_room += 1
                return
        words, held = self._words, place + _OWN + (self._worker or 0)
        words[held + MAX_WORKERS] = min(words[held + MAX_WORKERS] + amount, _MOST)
        rest = words[held] - amount
        words[held] = rest if rest > 0 else 0

    def release(self, cell: str, n_slots: int) -> None:
        """Free slots that this worker held: its own word, so no lock is needed."""
        place = self._places.get(cell)
        if place is not None and self._is_at(place, cell):
            held = place + _OWN + (self._worker or 0)
            self._words[held] = max(self._words[held] - n_slots, 0)

    def _found(self, purse: Purse) -> int | None:
        draw = Draw(purse.cell, MONEY, purse.capacity, 0.0, 0, ends_at=purse.ends_at)
        self._lock()
        try:
            return self._find(draw, 0.0, 0.0)
        finally:
            self._unlock()

    def forget(self, worker: int) -> None:
        """Free what a worker held that is gone; what it spent stays spent."""
        self._lock()
        try:
            self._forget(worker)
        finally:
            self._unlock()

    def close(self) -> None:
        """Unmap the file. What this worker holds should have been given back."""
        self._words.release()
        self._floats.release()
        self._map.close()
        os.close(self._file)

    def _lock(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def _unlock(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _serve(self, draw: Draw, now: float, at: float) -> Answer:
        place = self._find(draw, now, at)
        if place is None:
            self.n_without_room += 1
            return Answer(0, 0.0)
        if draw.kind == RATE:
            return self._serve_rate(place, draw, now)
        return self._serve_pool(place, draw)

    def _serve_rate(self, place: int, draw: Draw, now: float) -> Answer:
        level = self._refilled(place, draw, now) + draw.give
        level = min(level, float(draw.capacity))
        granted = _grant(draw, int(level))
        self._floats[place + _LEVEL] = level - granted
        return Answer(granted, level - granted)

    def _refilled(self, place: int, draw: Draw, now: float) -> float:
        floats = self._floats
        elapsed_s = now - floats[place + _STAMP]
        if elapsed_s > 0.0 or elapsed_s < -_SKEW_S:
            floats[place + _STAMP] = now
        floats[place + _CAP], floats[place + _RATE] = draw.capacity, draw.rate_per_s
        return floats[place + _LEVEL] + max(elapsed_s, 0.0) * draw.rate_per_s

    def _serve_pool(self, place: int, draw: Draw) -> Answer:
        words, own = self._words, place + _OWN
        mine = own + (self._worker or 0)
        words[mine] = min(draw.keep, _MOST)
        held = sum(words[own : own + MAX_WORKERS])
        total = self._total(place)
        if total < draw.floor:
            words[place + _BASE] = min(words[place + _BASE] + draw.floor - total, _MOST)
            total = draw.floor
        free = draw.capacity - total - held
        if free < draw.want and self._forget_dead():
            held = sum(words[own : own + MAX_WORKERS])
            free = draw.capacity - total - held
        granted = _grant(draw, free)
        words[mine] = min(draw.keep + granted, _MOST)
        told_from = words[place + _TOLD]
        told_to = told_from
        if draw.kind == MONEY:
            told_to = sum(total >= max(frac * draw.capacity, 1) for frac in THRESHOLD_FRACS)
            words[place + _TOLD] = max(told_from, told_to)
        return Answer(granted, float(free - granted), total, held + granted, told_from, told_to)

    def _total(self, place: int) -> int:
        """Spent by all, in the cell at `place`; 0 for slots, which spend nothing."""
        spent = place + _OWN + MAX_WORKERS
        return self._words[place + _BASE] + sum(self._words[spent : spent + MAX_WORKERS])

    def _find(self, draw: Draw, now: float, at: float) -> int | None:
        """Place of a count, made where there is none; None where there is no room."""
        place = self._places.get(draw.cell)
        if place is not None and self._is_at(place, draw.cell):
            return place
        name = self._name(draw.cell)
        free = None
        for step in range(_N_PROBES):
            place = _HEAD + ((name[0] + step) % N_CELLS) * _STRIDE
            if self._is_at(place, draw.cell):
                break
            is_empty = self._words[place] == 0 and self._words[place + 1] == 0
            if free is None and (is_empty or self._is_idle(place, now, at)):
                free = place
        else:
            if free is None:
                return None
            place = free
            self._make(place, name, draw, now)
        self._places[draw.cell] = place
        return place

    def _make(self, place: int, name: tuple[int, int], draw: Draw, now: float) -> None:
        words, floats = self._words, self._floats
        words[place + _KIND] = draw.kind
        for word in range(place + _LEVEL, place + _STRIDE):
            words[word] = 0
        if draw.kind == RATE:
            floats[place + _LEVEL], floats[place + _STAMP] = draw.capacity, now
            floats[place + _CAP], floats[place + _RATE] = draw.capacity, draw.rate_per_s
        else:
            words[place + _ENDS] = int(draw.ends_at)
        words[place + 1], words[place] = name[1], name[0]
        if len(self._places) >= 4 * N_CELLS:
            self._places.clear()
            self._names.clear()

    def _is_idle(self, place: int, now: float, at: float) -> bool:
        """Whether a count may make room for another: it would be the same if made anew."""
        words, floats = self._words, self._floats
        if words[place + _KIND] == RATE:
            elapsed_s = now - floats[place + _STAMP]
            level = floats[place + _LEVEL] + elapsed_s * floats[place + _RATE]
            return level >= floats[place + _CAP]
        if any(words[place + _OWN : place + _OWN + MAX_WORKERS]):
            return False
        is_past = 0 < words[place + _ENDS] < at - _FORGET_AFTER_S
        return is_past or self._total(place) == 0

    def _is_at(self, place: int, cell: str) -> bool:
        low, high = self._names.get(cell) or self._name(cell)
        return self._words[place] == low and self._words[place + 1] == high

    def _name(self, cell: str) -> tuple[int, int]:
        digest = blake2b(cell.encode(), digest_size=16).digest()
        name = (
            int.from_bytes(digest[:8], "little", signed=True),
            int.from_bytes(digest[8:], "little", signed=True),
        )
        self._names[cell] = name
        return name

    def _forget_dead(self) -> bool:
        found = False
        for worker in range(MAX_WORKERS):
            pid = self._words[_PIDS + worker]
            if pid and pid != os.getpid() and _is_gone(pid):
                self._forget(worker)
                found = True
        return found

    def _forget(self, worker: int) -> None:
        words = self._words
        for place in range(_HEAD, _HEAD + N_CELLS * _STRIDE, _STRIDE):
            held = place + _OWN + worker
            if words[held]:
                words[held] = 0
            if spent := words[held + MAX_WORKERS]:
                words[place + _BASE] = min(words[place + _BASE] + spent, _MOST)
                words[held + MAX_WORKERS] = 0
        words[_PIDS + worker] = 0


def _grant(draw: Draw, free: int) -> int:
    return max(min(draw.want, free), 0) if free >= draw.least else 0


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        mend = "name a file in a folder that you may write to"
        raise InputError(str(path), "", f"cannot be opened: {error.strerror}", mend) from error


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
