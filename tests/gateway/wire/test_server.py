"""The server on real sockets of loopback."""

import asyncio
import ssl
import subprocess
from shutil import which

import pytest
import uvloop

from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.server import Server

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Echo:
    """Answers with the body it was sent; holds back those asked to wait."""

    def __init__(self):
        self.held = []
        self.n_left = self.n_cut = 0
        self.arrived = asyncio.Event()

    def on_request(self, responder):
        responder.handler = self
        if responder.request.path == b"/wait":
            self.held.append(responder)
            self.arrived.set()
        else:
            responder.respond(200, [], responder.request.body)

    def client_left(self):
        self.n_left += 1

    def cut_off(self):
        self.n_cut += 1

    def client_paused(self):
        pass

    def client_resumed(self):
        pass


async def start(**options):
    handler = Echo()
    server = Server(handler, **options)
    await server.start("127.0.0.1", 0)
    return server, handler


async def read_answer(reader):
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def closed(reader):
    return await asyncio.wait_for(reader.read(), 10) == b""


def test_a_thousand_connections_are_kept_and_drained():
    async def main():
        server, _ = await start()
        ends = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(1000)]
        for _ in range(2):
            for _, writer in ends:
                writer.write(GET)
            for reader, _ in ends:
                head, _ = await read_answer(reader)
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.n_connections == 1000
        assert await server.drain(10) == 0
        assert server.n_connections == 0
        for reader, writer in ends:
            assert await closed(reader)
            writer.transport.abort()

    uvloop.run(main())


def test_draining_waits_for_open_answers_and_accepts_no_more():
    async def main():
        server, handler = await start()
        port = server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET.replace(b"/", b"/wait", 1))
        await handler.arrived.wait()
        draining = asyncio.ensure_future(server.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match=r"(?i)refused|connect"):
            await asyncio.open_connection("127.0.0.1", port)
        handler.held[0].respond(200, [], b"bye")
        head, body = await read_answer(reader)
        assert (b"connection: close" in head, body) == (True, b"bye")
        assert await draining == 0
        assert handler.n_left == 0
        writer.transport.abort()

    uvloop.run(main())


def test_draining_cuts_what_outlasts_its_deadline_and_says_so():
    async def main():
        server, handler = await start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET.replace(b"/", b"/wait", 1))
        await handler.arrived.wait()
        assert await server.drain(0) == 1
        await asyncio.sleep(0)
        assert (handler.n_cut, handler.n_left) == (1, 0)  # told once, and whose doing it was
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 10)
        writer.transport.abort()

    uvloop.run(main())


def test_a_client_that_goes_is_heard_of_while_its_answer_is_open():
    async def main():
        server, handler = await start()
        for leave in (lambda w: w.write_eof(), lambda w: w.transport.abort()):
            handler.arrived.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET.replace(b"/", b"/wait", 1))
            await handler.arrived.wait()
            n_before = handler.n_left
            leave(writer)
            while handler.n_left == n_before:
                await asyncio.sleep(0.001)
            writer.transport.abort()
        assert handler.n_left == 2
        await server.drain(1)

    uvloop.run(main())


def test_a_client_refused_in_mid_body_can_still_read_why():
    async def main():
        server, _ = await start(limits=WireLimits(max_body_bytes=1000))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
        writer.write(bytes(2_000_000))
        head, body = await read_answer(reader)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert body == b"request body too large\n"
        writer.transport.abort()
        await server.drain(1)

    uvloop.run(main())


def test_large_bodies_pass_both_ways():
    async def main():
        server, _ = await start()
        body = bytes(range(256)) * 8000
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await read_answer(reader))[1] == body
        writer.transport.abort()
        await server.drain(1)

    uvloop.run(main())


def test_tls_towards_clients(tmp_path):
    if which("openssl") is None:
        pytest.skip("no openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip

    async def main():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        server, _ = await start(tls=context)
        trust = ssl.create_default_context(cafile=cert)
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=trust)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            assert (await read_answer(reader))[1] == b"hi"
        writer.close()
        await server.drain(1)

    uvloop.run(main())
