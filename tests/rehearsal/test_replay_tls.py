"""The replay and the stand-in over TLS, verified as anybody's certificate is."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Settings
from weighbridge.rehearsal.replay_answer import Outcome
from weighbridge.rehearsal.replay_client import Client, endpoint_of
from weighbridge.rehearsal.replay_prompt import PromptMaker, PromptSettings
from weighbridge.rehearsal.replay_rows import Row

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a key")


_REQUEST = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of its own for loopback, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", *_REQUEST.split(), "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.parametrize(("trusted", "error"), [(True, None), (False, "connect_error")])
def test_only_a_trusted_certificate_is_spoken_to(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, trusted: bool, error: str
) -> None:
    cert, key = map(str, certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", cert)

    async def scene() -> Outcome:
        async with Provider(Settings(speed=0, tls_cert=cert, tls_key=key)) as p:
            assert p.url.startswith("https://")
            client, outcome = Client(endpoint_of(p.url), 10.0), Outcome(number=0, scheduled_s=0.0)
            call = PromptMaker(PromptSettings()).call(Row(0.0, 5, 5, streamed=True), 0, None)
            await client.send(call, outcome, lambda _: None)
            await client.close()
            return outcome

    outcome = asyncio.run(scene())
    assert outcome.error == error
    assert outcome.status == (200 if trusted else 0)
