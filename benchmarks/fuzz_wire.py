"""Fuzz the wire's request reader against h11, and the response reader against itself.

    python benchmarks/fuzz_wire.py --seconds 60 [--seed 1] [--libfuzzer]

The search is guided by coverage: an input that takes a step from line to line of the wire that none
before took is kept and mutated further. `--libfuzzer` hands the search to atheris, where that is
installed; libFuzzer then prints its own figures, and stops at the first finding.

What counts as a finding: an exception, a request that we accept and h11 refuses or reads
differently, and an outcome that depends on where packets are cut. Prints executions, seconds,
corpus size and findings; exits 1 if there are any.
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import random
import re
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import h11
import yaml

LIBFUZZER = "--libfuzzer" in sys.argv
if LIBFUZZER:
    import atheris

with atheris.instrument_imports(["weighbridge.gateway.wire"]) if LIBFUZZER else nullcontext():
    from weighbridge.gateway.wire.heads import HOP_BY_HOP
    from weighbridge.gateway.wire.limits import WireLimits
    from weighbridge.gateway.wire.requests import BODY, HEAD, RequestReader
    from weighbridge.gateway.wire.responses import ResponseReader

CORPUS = Path(__file__).parents[1] / "tests/gateway/wire/request_corpus.yaml"
LIMITS = WireLimits(max_head_bytes=4096, max_target_bytes=1024, max_body_bytes=4096)
DROPPED = HOP_BY_HOP | {b"host", b"expect"}
DROPPED_OF_ANSWERS = HOP_BY_HOP | {b"date"}
INTERIM = re.compile(rb"HTTP/1\.[01] 1[0-9]{2}")
PHRASE = re.compile(rb"\A(HTTP/1\.[01] [0-9]{3}) [^\r\n]*\r\n")
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nabc",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
]
WORDS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"\0", b"\x0b", b"\x7f", b"\xff", b"0",
    b"1", b"3", b"ffffffff", b"0x", b"+", b"-", b"#", b"*", b"//", b"http://a/", b"\r\n\r\n",
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET ", b"POST ", b"HEAD ", b"Host: a\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: upgrade\r\n",
    b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"3;a=b\r\n",
    b"X: y\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
]  # fmt: skip


class FindingError(AssertionError):
    """What should never be."""


def read_requests(data: bytes, step: int) -> tuple[Any, ...]:
    """Every request, whether one was refused, and whether more is awaited."""
    reader = RequestReader(LIMITS)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
    requests = [
        (r.method, r.path, r.query, r.headers, r.body, r.keep_alive, r.http_minor)
        for r in reader.ready
    ]
    # Where two things are wrong, the status may be that of either.
    return (
        requests,
        reader.refusal is not None,
        reader.refusal is None and reader.phase in (HEAD, BODY),
    )


def read_answer(data: bytes, step: int) -> tuple[Any, ...]:
    """Head, body and end of one answer."""
    reader = ResponseReader()
    body = b""
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        body += reader.data or b""
        reader.data = None
        if reader.bad is not None or reader.is_complete:
            break
    fault = None if reader.bad is None else reader.bad.fault
    return reader.status, reader.headers, body, reader.is_complete, fault, reader.until_eof


def h11_events(connection: h11.Connection) -> tuple[Any, bytes, bool]:
    """Head, body and whether the end was seen; nothing where h11 refuses."""
    head, body = None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return head, body, False
        if isinstance(event, h11.Request | h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return head, body, True
        elif not isinstance(event, h11.InformationalResponse):
            return head, body, False


def compare_requests(data: bytes, requests: list[Any]) -> None:
    """Each request that we accept must be h11's too."""
    for method, path, query, headers, body, _, _ in requests:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(data)
        head, other_body, ended = h11_events(connection)
        if not ended:
            raise FindingError("accepted, and refused by h11")
        target = path + (b"?" + query if query else b"")
        theirs = [field for field in head.headers if field[0] not in DROPPED]
        named = {
            token.strip(b" \t").lower()
            for name, value in head.headers
            if name == b"connection"
            for token in value.split(b",")
        }
        theirs = [field for field in theirs if field[0] not in named]
        same_target = head.target.rstrip(b"?") == target or head.target.lower().startswith(b"http")
        if (head.method, theirs, other_body) != (method, headers, body) or not same_target:
            raise FindingError("read differently from h11")
        data = connection.trailing_data[0]


def compare_answer(data: bytes, answer: tuple[Any, ...]) -> None:
    """A complete answer must be h11's too."""
    status, headers, body, is_complete, _, _ = answer
    if not is_complete:
        return
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    # Our phrases are our own, interim answers go nowhere, and blank lines before an answer do not
    # count: what h11 thinks of these is no finding.
    while INTERIM.match(data):
        data = data.partition(b"\r\n\r\n")[2].lstrip(b"\r\n")
    connection.receive_data(PHRASE.sub(rb"\1 \r\n", data))
    head, other_body, ended = h11_events(connection)
    # Trailers are dropped unread, so h11 may refuse those of an answer that is otherwise whole.
    is_chunked = head is not None and (b"transfer-encoding", b"chunked") in head.headers
    if not ended and not is_chunked:
        raise FindingError("answer taken as complete, and not by h11")
    theirs = [field for field in head.headers if field[0] not in DROPPED_OF_ANSWERS]
    if (head.status_code, theirs, other_body) != (status, headers, body):
        raise FindingError("answer read differently from h11")


def check(data: bytes) -> None:
    """One execution; raises what is a finding."""
    if data[:5] == b"HTTP/":
        answer = read_answer(data, max(1, len(data)))
        if answer[3] and answer != read_answer(data, 1):
            raise FindingError("answer depends on where packets are cut")
        compare_answer(data, answer)
        return
    whole = read_requests(data, max(1, len(data)))
    for step in (1, 5):
        if whole != read_requests(data, step):
            raise FindingError(f"outcome depends on where packets are cut ({step})")
    compare_requests(data, whole[0])


class Lines:
    """Steps from line to line of the wire that were reached, told by a trace function."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int, int]] = set()
        self.is_new = False
        self._last = 0

    def trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        """Follow frames of the wire only."""
        if event == "call":
            self._last = 0
            return self.trace if "gateway/wire/" in frame.f_code.co_filename else None
        edge = (frame.f_code, self._last, frame.f_lineno)
        self._last = frame.f_lineno
        if edge not in self.seen:
            self.seen.add(edge)
            self.is_new = True
        return self.trace


def mutate(rng: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """A few changes of the kinds that split parsers apart."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            out[at:at] = rng.choice(WORDS)
        elif kind == 1:
            word = rng.choice(WORDS)
            out[at : at + len(word)] = word
        elif kind == 2:
            del out[at : at + rng.choice((1, 1, 2, 4, 16))]
        elif kind == 3 and out:
            out[min(at, len(out) - 1)] = rng.randrange(256)
        elif kind == 4:
            other = rng.choice(corpus)
            cut = rng.randrange(len(other) + 1)
            out[at:] = other[cut:]
        elif kind == 5:
            end = at + rng.randrange(1, 40)
            out[at:at] = out[at:end]
        else:
            lines = bytes(out).split(b"\r\n")
            rng.shuffle(lines)
            out = bytearray(b"\r\n".join(lines))
    return bytes(out[:3000])


def seeds() -> list[bytes]:
    """The smuggling corpus of the tests, and some answers."""
    entries = yaml.safe_load(CORPUS.read_text("utf-8"))
    return [entry["bytes"].encode("latin-1") for entry in entries] + ANSWERS


def search(seconds: float, seed: int) -> int:
    """Our own guided search."""
    rng = random.Random(seed)
    corpus = seeds()
    lines = Lines()
    findings: dict[str, bytes] = {}
    began_s = time.monotonic()
    for n_executions in itertools.count(1):
        fresh = n_executions <= len(corpus)
        data = corpus[n_executions - 1] if fresh else mutate(rng, rng.choice(corpus), corpus)
        lines.is_new = False
        # Tracing costs tenfold: one in eight is enough to find new lines.
        traced = fresh or n_executions % 8 == 0
        if traced:
            sys.settrace(lines.trace)
        try:
            check(data)
        except Exception as error:
            sys.settrace(None)
            findings.setdefault(f"{type(error).__name__}: {error}", data)
        sys.settrace(None)
        if traced and lines.is_new and not fresh:
            corpus.append(data)
        if time.monotonic() - began_s > seconds:
            break
    report(n_executions, time.monotonic() - began_s, len(corpus), len(lines.seen), findings)
    return 1 if findings else 0


def report(
    n_executions: int, seconds: float, n_corpus: int, n_lines: int, findings: dict[str, bytes]
) -> None:
    """Print what was done and found."""
    print(
        f"executions {n_executions}, seconds {seconds:.0f}, per second {n_executions / seconds:.0f}"
    )
    print(f"corpus {n_corpus}, steps between lines reached {n_lines}, findings {len(findings)}")
    for name, data in findings.items():
        print(f"  {name}\n    {data!r}")


def search_by_libfuzzer(seconds: float, seed: int) -> None:
    """Let libFuzzer search, from the same corpus and with the same words; it ends the process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    place = Path(folder.name)
    (place / "corpus").mkdir()
    for n, data in enumerate(seeds()):
        (place / "corpus" / f"{n:03}").write_bytes(data)
    escaped = ["".join(f"\\x{byte:02x}" for byte in word) for word in WORDS]
    (place / "words").write_text("".join(f'"{word}"\n' for word in escaped))
    options = [f"-max_total_time={seconds:.0f}", f"-seed={seed}", "-max_len=3000"]
    options += [
        f"-dict={place / 'words'}",
        "-print_final_stats=1",
        f"-artifact_prefix={place}/",
        str(place / "corpus"),
    ]
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


def main() -> int:
    """Parse arguments and search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--libfuzzer", action="store_true")
    options = parser.parse_args()
    if options.libfuzzer:
        search_by_libfuzzer(options.seconds, options.seed)
    return search(options.seconds, options.seed)


if __name__ == "__main__":
    sys.exit(main())
