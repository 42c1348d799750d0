"""TLS to upstreams, verified, with a custom CA; and an egress proxy on the way."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Settings

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@pytest.fixture
def certificate(tmp_path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def secured(certificate) -> Settings:
    cert, key = certificate
    return Settings(speed=0, tls_cert=str(cert), tls_key=str(key), n_requests_kept=5)


def pointed(provider, **more):
    def change(document) -> None:
        url = provider.url.replace("127.0.0.1", "localhost")
        document["targets"]["up0"].update(url=f"{url}/v1", **more)

    return change


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_is_verified_by_a_custom_ca(house, run, certificate, stream) -> None:
    async def main() -> None:
        async with (
            Provider(secured(certificate)) as provider,
            house(pointed(provider, ca_file=str(certificate[0]))) as h,
        ):
            messages = [{"role": "user", "content": "hello"}]
            body = {"model": "gpt-4o-mini", "messages": messages, "stream": stream}
            assert (await h.ask(body)).status == 200
            record = await h.one_record()
            assert (record.status, record.target) == ("ok", "up0")

    run(main)


def test_an_upstream_that_cannot_be_verified_gets_nothing(house, run, certificate) -> None:
    async def main() -> None:
        async with Provider(secured(certificate)) as provider, house(pointed(provider)) as h:
            answer = await h.ask()
            assert (answer.status, answer.json["error"]["code"]) == (502, "tls_error")
            record = await h.one_record()
            assert record.list_cost_pico_usd in (0, None)
            assert record.uncached_input_tokens == 0
            assert not provider.requests

    run(main)


@pytest.mark.parametrize("is_tls", [False, True])
def test_an_egress_proxy_is_gone_through(house, run, certificate, is_tls) -> None:
    async def main() -> None:
        heads: list[bytes] = []

        async def pump(reader, writer) -> None:
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

        async def proxy(reader, writer) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            port = int(provider.url.rsplit(":", 1)[1])
            there, thither = await asyncio.open_connection("127.0.0.1", port)
            if head.startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                thither.write(head.replace(provider.url.encode(), b""))
            await asyncio.gather(pump(reader, thither), pump(there, writer))

        settings = secured(certificate) if is_tls else Settings(speed=0, n_requests_kept=5)
        async with Provider(settings) as provider:
            server = await asyncio.start_server(proxy, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            more = {"proxy": f"http://127.0.0.1:{port}"}
            if is_tls:
                more["ca_file"] = str(certificate[0])

            def change(document) -> None:
                if is_tls:
                    pointed(provider, **more)(document)
                else:
                    document["targets"]["up0"].update(url=f"{provider.url}/v1", **more)

            async with house(change) as h:
                assert (await h.ask()).status == 200
                assert len(heads) == 1
                if is_tls:
                    assert heads[0].startswith(b"CONNECT localhost:")
                    assert b"sk-upstream" not in heads[0]
            server.close()

    run(main)
