"""The admin port: health, metrics, keys and reload; on loopback unless told otherwise."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge.gateway.config import check_admin_port
from weighbridge.gateway.headers import presented_key
from weighbridge.gateway.listening import ADMIN_LIMITS
from weighbridge.gateway.secrets import read_secret, ref_of
from weighbridge.gateway.wire.messages import Headers, Request, Responder
from weighbridge.gateway.wire.server import Server
from weighbridge.gateway.worker_metrics import metrics_text
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.gateway.worker import Worker

TEXT: Headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
JSON: Headers = [(b"content-type", b"application/json")]
LOOKS = (b"GET", b"HEAD")
OPEN_PATHS = (b"/healthz", b"/readyz", b"/metrics")


class Admin:
    """Answers on the admin port; with several workers only the first one listens, for all."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._server: Server | None = None
        self.is_ready = False
        settings = worker.config.settings.admin
        self._key: bytes | None = None
        where = str(worker.config.path)
        check_admin_port(worker.config.settings, where)  # the command line may name another address
        if settings.key is not None:
            ref = ref_of(settings.key, where, "admin.key")
            self._key = read_secret(ref, worker.environ, where, "admin.key").encode()

    async def start(self) -> None:
        """Listen."""
        self.is_ready = True
        if self._worker.worker:
            return
        self._server = Server(self, ADMIN_LIMITS)
        await self._server.start(*self._worker.config.admin_listen)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            await self._server.drain(1.0)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None
        return self._server.port

    def on_request(self, responder: Responder) -> None:
        """A request to the admin port."""
        request = responder.request
        status, headers, body = self._answer(request)
        responder.respond(status, headers, body)

    def _answer(self, request: Request) -> tuple[int, Headers, bytes]:
        method, path = request.method, request.path
        is_open = path in OPEN_PATHS and self._worker.config.settings.admin.open_metrics
        if not is_open and not self._may(request):
            status, headers, body = _said(401, self._why_closed())
            return status, [*headers, (b"www-authenticate", b"Bearer")], body
        if method in LOOKS:
            return self._read(path)
        if method == b"POST":
            return self._act(path, request)
        return _said(405, "GET to look, POST to act")

    def _why_closed(self) -> str:
        if self._key is None:
            return "nothing can be changed here: the configuration has no admin.key"
        return "the admin port asks for its key: Authorization: Bearer KEY"

    def _may(self, request: Request) -> bool:
        if self._key is None:
            return request.method in LOOKS
        shown = presented_key(dict(request.headers))
        return shown is not None and compare_digest(shown, self._key)

    def _read(self, path: bytes) -> tuple[int, Headers, bytes]:
        worker = self._worker
        if path == b"/healthz":
            return _said(200, "alive")
        if path == b"/readyz":
            return _said(200, "ready") if self._is_well() else _said(503, self._why_not())
        if path == b"/metrics":
            return 200, TEXT, metrics_text(worker).encode("utf-8", "replace")
        if path == b"/status":
            return 200, JSON, msgspec.json.encode(self._status())
        if path == b"/keys":
            return self._keys()
        return _said(404, "known here: /healthz /readyz /metrics /status /keys /reload")

    def _keys(self) -> tuple[int, Headers, bytes]:
        try:
            rows = self._worker.key_admin.rows()
        except InputError as error:
            return _said(404, str(error))
        return 200, JSON, msgspec.json.encode({"keys": rows})

    def _act(self, path: bytes, request: Request) -> tuple[int, Headers, bytes]:
        worker = self._worker
        if path == b"/reload":
            problem = worker.reloader.reload_all()
            if problem is not None:
                return _said(422, problem)
            waits = worker.reloader.waits_for_restart
            rest = f"; these wait for a restart: {', '.join(waits)}" if waits else ""
            return _said(200, f"reloaded{rest}")
        if path.startswith(b"/keys"):
            return worker.key_admin.act(path, request.body)
        return _said(404, "POST /reload, /keys, /keys/ID/rotate or /keys/ID/revoke")

    def _is_well(self) -> bool:
        """Whether to send requests here.

        Targets that are down make no difference: the gateway says so to clients better than a load
        balancer would, and without requests none would be found well again.
        """
        worker = self._worker
        refuses = worker.gateway.setup.refuses_unrecorded and worker.spool.failing is not None
        return self.is_ready and not refuses

    def _why_not(self) -> str:
        return self._worker.spool.failing or "draining"

    def _status(self) -> dict[str, Any]:
        worker = self._worker
        setup = worker.gateway.setup
        now = worker.gateway.now()
        return {
            "policy_version": setup.policy.version,
            "reload_error": worker.reloader.error,
            "waits_for_restart": worker.reloader.waits_for_restart,
            "spool_failing": worker.spool.failing,
            "unrecorded_lines": worker.spool.unrecorded,
            "open_requests": len(worker.gateway.active),
            "targets": {
                name: {"state": live.health.state(now), "saturated": live.health.saturated(now)}
                for name, live in setup.live.items()
            },
            "levels": [level._asdict() for level in worker.admission.levels(now)],
        }


def _said(status: int, words: str) -> tuple[int, Headers, bytes]:
    return status, [(b"content-type", b"text/plain; charset=utf-8")], words.encode() + b"\n"
