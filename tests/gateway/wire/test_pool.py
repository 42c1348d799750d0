"""The pool against real servers on loopback that answer from a script, well or badly."""

import asyncio
import socket
import ssl
import subprocess
from shutil import which

import pytest
import uvloop

from weighbridge.gateway.wire.messages import Fault
from weighbridge.gateway.wire.outbox import Outbox
from weighbridge.gateway.wire.pool import UpstreamPool
from weighbridge.units import InputError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Script:
    """A server that gives each request the next answer; `HANG` answers nothing, `CUT` closes."""

    HANG, CUT, RESET = b"<hang>", b"<cut>", b"<reset>"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.n_connections = 0
        self.closed = asyncio.Event()
        self.tasks = set()
        self.writers = set()

    async def __aenter__(self):
        return await self.listen()

    async def listen(self, tls=None):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if tls else ''}://localhost:{self.port}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.n_connections += 1
        self.tasks.add(asyncio.current_task())
        self.writers.add(writer)
        try:
            await self.talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.transport.abort()

    async def talk(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line[:15] == b"content-length:"),
                0,
            )
            self.requests.append(head + await reader.readexactly(length))
            answer = self.answers.pop(0) if self.answers else OK
            for part in answer if isinstance(answer, list) else [answer]:
                if part == self.HANG:
                    await reader.read()
                    return
                if part == self.CUT:
                    writer.close()
                    await writer.wait_closed()
                    return
                writer.write(part)
                await writer.drain()


class Events:
    """Remembers what was heard of one attempt."""

    def __init__(self):
        self.heard = []
        self.body = b""
        self.done = asyncio.Event()
        self.on_first = None

    def on_head(self, status, headers):
        self.heard.append(status)
        self.headers = headers
        if self.on_first is not None:
            self.on_first()

    def on_body(self, data):
        self.body += data

    def on_end(self):
        self.heard.append("end")
        self.done.set()

    def on_fault(self, fault, detail):
        self.heard.append(fault)
        self.detail = detail
        self.done.set()

    async def wait(self):
        await asyncio.wait_for(self.done.wait(), 10)
        return self.heard


def make_pool(url, **options):
    return UpstreamPool(url, loop=asyncio.get_running_loop(), **options)


async def ask(pool, method=b"POST", path=b"/x", headers=(), body=b"hi"):
    events = Events()
    pool.send(method, path, list(headers), body, events)
    assert events.heard == []
    await events.wait()
    return events


async def warm(pool, n_connections):
    pool.warm(n_connections)
    while pool.n_idle < n_connections:
        await asyncio.sleep(0.001)


def with_script(*answers):
    """Run a test's coroutine with a script and a pool to it."""

    def wrap(test):
        def run():
            async def main():
                async with Script(*answers) as script:
                    pool = make_pool(script.url)
                    await test(script, pool)
                    pool.close()

            uvloop.run(main())

        run.__name__ = test.__name__
        return run

    return wrap


@with_script()
async def test_a_request_is_sent_whole_and_its_answer_told(script, pool):
    events = await ask(pool, path=b"/v1?q=1", headers=[(b"x-a", b"b")])
    assert (events.heard, events.body) == ([200, "end"], b"ok")
    assert script.requests == [
        b"POST /v1?q=1 HTTP/1.1\r\nx-a: b\r\nhost: localhost:%d\r\ncontent-length: 2\r\n\r\nhi"
        % script.port
    ]


@with_script()
async def test_connections_are_kept(script, pool):
    for _ in range(5):
        await ask(pool)
    assert script.n_connections == pool.n_opened == 1
    assert pool.n_idle == 1


@with_script()
async def test_a_large_body_arrives_whole(script, pool):
    body = bytes(300_000)
    await ask(pool, body=body)
    await ask(pool)
    assert script.requests[0].endswith(b"content-length: 300000\r\n\r\n" + body)


@with_script(OK[:-2].replace(b": 2", b": 2\r\nConnection: close") + b"ok")
async def test_a_connection_that_is_to_close_is_not_kept(script, pool):
    await ask(pool)
    await ask(pool)
    assert script.n_connections == 2


@with_script(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
async def test_bytes_after_an_answer_are_never_the_next_answer(script, pool):
    await ask(pool)
    events = await ask(pool)
    assert events.body == b"ok"
    assert script.n_connections == 2


@with_script([OK, b""])
async def test_an_idle_connection_that_speaks_is_dropped(script, pool):
    await ask(pool)
    script.answers = [[OK, Script.CUT]]
    await ask(pool)
    for _ in range(100):
        if pool.n_idle == 0:
            break
        await asyncio.sleep(0)
    await asyncio.wait_for(script.closed.wait(), 10)
    events = await ask(pool)
    assert events.heard == [200, "end"]


@with_script(b"HTTP/1.1 200 OK\r\n\r\n", b"")
async def test_nothing_is_kept_of_what_is_not_http(script, pool):
    script.answers = [b"garbage\r\n\r\n", b"HTTP/1.1 101 x\r\n\r\n"]
    for _ in range(2):
        events = await ask(pool)
        assert events.heard == [Fault.MALFORMED]
    assert pool.n_idle == pool.n_open == 0


@pytest.mark.parametrize(
    ("answer", "heard", "body"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", Script.CUT],
         [200, Fault.RESET], b"ok"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Script.CUT],
         [200, Fault.RESET], b"ok"),
        ([b"HTTP/1.1 200 OK\r\n\r\nok", Script.CUT], [200, "end"], b"ok"),
        ([b"HTTP/1.1 200 O", Script.CUT], [Fault.RESET], b""),
        (Script.CUT, [Fault.RESET], b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokxx", [200, Fault.MALFORMED],
         b"ok"),
    ],
)  # fmt: skip
def test_an_answer_that_breaks_is_never_told_as_complete(answer, heard, body):
    @with_script(answer)
    async def run(script, pool):
        events = await ask(pool)
        assert (events.heard, events.body) == (heard, body)
        assert pool.n_open == 0

    run()


@with_script(OK, Script.CUT)
async def test_a_kept_connection_that_dies_before_its_answer_may_be_sent_again(script, pool):
    await ask(pool)
    events = await ask(pool)
    assert events.heard == [Fault.RESET_UNSENT]


@with_script(OK, [b"H", Script.CUT])
async def test_a_kept_connection_that_dies_after_one_byte_may_not(script, pool):
    await ask(pool)
    events = await ask(pool)
    assert events.heard == [Fault.RESET]


@with_script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
async def test_an_answer_to_head_ends_at_its_head(script, pool):
    events = await ask(pool, method=b"HEAD", body=b"")
    assert events.heard == [200, "end"]
    assert b"content-length" not in script.requests[0]


@with_script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
async def test_an_answer_to_head_ends_at_its_head_although_a_body_was_sent(script, pool):
    events = await ask(pool, method=b"HEAD", body=b"{}")
    assert events.heard == [200, "end"]
    assert script.requests[0].endswith(b"content-length: 2\r\n\r\n{}")


@with_script([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Script.HANG])
async def test_cancel_closes_the_connection_at_once(script, pool):
    events = Events()
    attempt = pool.send(b"POST", b"/", [], b"", events)
    events.on_first = lambda: (attempt.cancel(), events.done.set())
    await events.wait()
    await asyncio.wait_for(script.closed.wait(), 10)
    attempt.cancel()
    attempt.pause()
    attempt.resume()
    assert events.heard == [200]
    assert pool.n_open == 0


@with_script()
async def test_cancel_before_the_connection_is_open_sends_nothing(script, pool):
    events = Events()
    pool.send(b"POST", b"/", [], b"", events).cancel()
    assert pool.n_waiting == 0
    other = await ask(pool)
    assert other.heard == [200, "end"]
    assert (events.heard, len(script.requests)) == ([], 1)


@with_script()
async def test_length_of_the_answer_is_known_with_its_head(script, pool):
    events = Events()
    attempt = pool.send(b"POST", b"/", [], b"", events)
    lengths = []
    events.on_first = lambda: lengths.append(attempt.length)
    await events.wait()
    assert lengths == [2]


@with_script([b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"] + [b"a" * 50_000] * 100)
async def test_a_paused_attempt_reads_no_more_until_it_is_resumed(script, pool):
    events = Events()
    attempt = pool.send(b"POST", b"/", [], b"", events)
    paused = asyncio.Event()
    events.on_first = lambda: (attempt.pause(), paused.set())
    await asyncio.wait_for(paused.wait(), 10)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(events.body) < 1_000_000
    attempt.resume()
    await events.wait()
    assert len(events.body) == 5_000_000


def test_requests_beyond_the_pool_wait_their_turn():
    async def main():
        async with Script() as script:
            pool = make_pool(script.url, max_connections=2)
            waiting = [asyncio.ensure_future(ask(pool)) for _ in range(20)]
            answers = await asyncio.gather(*waiting)
            assert [events.heard for events in answers] == [[200, "end"]] * 20
            assert script.n_connections <= 2
            pool.close()
            assert pool.n_open == 0

    uvloop.run(main())


def test_warm_connections_are_there_before_the_first_request():
    async def main():
        async with Script() as script:
            pool = make_pool(script.url)
            await warm(pool, 3)
            await ask(pool)
            assert pool.n_opened == 3
            pool.close()

    uvloop.run(main())


def test_idle_connections_are_closed_after_their_time_the_oldest_first():
    async def main():
        now = [100.0]
        async with Script() as script:
            pool = make_pool(script.url, idle_s=30, clock=lambda: now[0])
            await warm(pool, 2)
            now[0] += 20
            pool.sweep()
            await ask(pool)
            now[0] += 20
            pool.sweep()
            assert pool.n_idle == 1
            pool.close()

    uvloop.run(main())


@pytest.mark.parametrize("value", [b"a\r\nevil: 1", b"a\0"])
def test_a_header_that_would_split_the_request_is_never_sent(value):
    async def main():
        async with Script() as script:
            pool = make_pool(script.url)
            with pytest.raises(ValueError, match=r"^x$"):
                pool.send(b"POST", b"/", [(b"x", value)], b"", Events())
            with pytest.raises(ValueError, match="space"):
                pool.send(b"POST", b"/ HTTP/1.1", [], b"", Events())
            pool.close()
            assert script.requests == []

    uvloop.run(main())


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_failures_to_connect_are_named():
    async def unknown(host, port):
        raise socket.gaierror(-2, "no such name")

    async def hang(host, port):
        await asyncio.Event().wait()

    async def main():
        refused = make_pool(f"http://127.0.0.1:{free_port()}")
        assert (await ask(refused)).heard == [Fault.CONNECT]
        nameless = make_pool("http://nowhere.invalid", resolver=unknown)
        assert (await ask(nameless)).heard == [Fault.DNS]
        slow = make_pool("http://slow.invalid", resolver=hang, connect_timeout_s=0.01)
        assert (await ask(slow)).heard == [Fault.CONNECT_TIMEOUT]
        for pool in (refused, nameless, slow):
            pool.close()

    uvloop.run(main())


def test_the_second_address_is_tried_and_names_are_kept():
    asked = []

    async def two(host, port):
        asked.append(host)
        return ["127.0.0.77", "127.0.0.1"]

    async def main():
        async with Script() as script:
            pool = make_pool(f"http://two.invalid:{script.port}", resolver=two)
            answers = await asyncio.gather(*[ask(pool) for _ in range(3)])
            assert [events.heard for events in answers] == [[200, "end"]] * 3
            await ask(pool)
            assert 1 <= len(asked) <= 3
            pool.close()

    uvloop.run(main())


def test_faults_of_the_pipeline_reach_the_loop_s_handler_and_not_the_connection():
    class Failing(Events):
        def on_body(self, data):
            raise RuntimeError("no")

    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with Script() as script:
            pool = make_pool(script.url)
            events = Failing()
            pool.send(b"POST", b"/", [], b"", events)
            assert await events.wait() == [200, Fault.RESET]
            assert len(told) == 1
            assert (await ask(pool)).heard == [200, "end"]
            pool.close()

    uvloop.run(main())


@pytest.mark.parametrize(
    "url", ["ftp://a", "https://", "http://a/v1", "http://a:x", "a", "http://a?b"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(InputError):
        UpstreamPool(url, loop=None)


@pytest.mark.parametrize("how", ["close", "sweep"])
def test_what_is_sent_while_idle_connections_are_closed_is_not_closed_with_them(how):
    async def main():
        async with Script() as server:
            now = [0.0]
            outbox = Outbox(asyncio.get_running_loop().call_soon, print)
            pool = make_pool(server.url, outbox=outbox, clock=lambda: now[0])
            await warm(pool, 3)
            events = Events()

            def send():  # as requests that have arrived do, when the outbox is flushed
                outbox.before = lambda: None
                pool.send(b"POST", b"/x", [], b"hi", events)

            outbox.before = send
            now[0] += 1000.0
            getattr(pool, how)()
            assert await events.wait() == [200, "end"]
            pool.close()

    uvloop.run(main())


# TLS and egress proxies.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost, and its key."""
    if which("openssl") is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def server_context(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


def test_tls_is_verified_against_the_given_authority(certificate):
    async def run():
        script = Script()
        await script.listen(server_context(certificate))
        trusting = make_pool(script.url, ca_file=str(certificate[0]))
        assert (await ask(trusting)).heard == [200, "end"]
        assert (await ask(trusting)).heard == [200, "end"]
        assert trusting.n_opened == 1
        trusting.close()
        strict = make_pool(script.url)
        assert (await ask(strict)).heard == [Fault.TLS]
        other = make_pool(script.url.replace("localhost", "127.0.0.1"), ca_file=str(certificate[0]))
        assert (await ask(other)).heard == [Fault.TLS]
        plain = make_pool(script.url.replace("https", "http"))
        assert (await ask(plain)).heard == [Fault.RESET]
        await script.__aexit__()

    uvloop.run(run())


class Proxy(Script):
    """Answers CONNECT with what it was given, then joins the two ends."""

    async def talk(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        answer = self.answers.pop(0)
        writer.write(answer)
        await writer.drain()
        if b" 200 " not in answer:
            return
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        self.writers.add(other_writer)
        await asyncio.gather(pipe(reader, other_writer), pipe(other_reader, writer))


async def pipe(reader, writer):
    while data := await reader.read(65_536):
        writer.write(data)
    writer.transport.abort()


def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(certificate):
    async def main():
        script = Script()
        await script.listen(server_context(certificate))
        async with Proxy(b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
            through = proxy.url.replace("//", "//user:p%40ss@")
            pool = make_pool(script.url, ca_file=str(certificate[0]), proxy=through)
            for _ in range(2):
                assert (await ask(pool)).heard == [200, "end"]
            assert proxy.requests == [
                b"CONNECT localhost:%d HTTP/1.1\r\nhost: localhost:%d\r\n"
                b"proxy-authorization: Basic dXNlcjpwQHNz\r\n\r\n" % (script.port, script.port)
            ]
            assert b"proxy-authorization" not in script.requests[0]
            pool.close()
        await script.__aexit__()

    uvloop.run(main())


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 No\r\n\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 \r\n\r\nabc", b""]
)
def test_a_proxy_that_refuses_is_named(answer):
    async def main():
        async with Proxy(answer) as proxy:
            pool = make_pool("https://localhost:1", proxy=proxy.url)
            assert (await ask(pool)).heard == [Fault.PROXY]
            pool.close()

    uvloop.run(main())


def test_a_proxy_that_is_not_there_is_named():
    async def main():
        pool = make_pool("https://localhost:1", proxy=f"http://127.0.0.1:{free_port()}")
        assert (await ask(pool)).heard == [Fault.PROXY]
        pool.close()

    uvloop.run(main())


def test_plain_http_goes_through_a_proxy_in_absolute_form():
    async def main():
        async with Script() as proxy:
            pool = make_pool("http://far.invalid:8080", proxy=proxy.url.replace("//", "//u:p@"))
            assert (await ask(pool)).heard == [200, "end"]
            assert proxy.requests[0].startswith(
                b"POST http://far.invalid:8080/x HTTP/1.1\r\nhost: far.invalid:8080\r\n"
                b"proxy-authorization: Basic dTpw\r\n"
            )
            pool.close()

    uvloop.run(main())
