"""The admin port: health, metrics, keys and reload; on loopback unless told otherwise."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge.gateway.headers import presented_key
from weighbridge.gateway.metrics import Snapshot, exposition, merge, quoted
from weighbridge.gateway.secrets import read_secret, ref_of
from weighbridge.gateway.upkeep import read_json
from weighbridge.gateway.wire.messages import Headers, Request, Responder
from weighbridge.gateway.wire.server import Server

if TYPE_CHECKING:
    from weighbridge.gateway.worker import Worker

TEXT: Headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
JSON: Headers = [(b"content-type", b"application/json")]
OPEN_PATHS = (b"/healthz", b"/readyz", b"/metrics")


class Admin:
    """Answers on the admin port; with several workers only the first one listens."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._server: Server | None = None
        self.is_ready = False
        settings = worker.config.settings.admin
        self._key: bytes | None = None
        if settings.key is not None:
            where = str(worker.config.path)
            ref = ref_of(settings.key, where, "admin.key")
            self._key = read_secret(ref, worker.environ, where, "admin.key").encode()

    async def start(self) -> None:
        """Listen."""
        self.is_ready = True
        if self._worker.worker:
            return
        self._server = Server(self)
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
            return _said(401, "the admin port asks for its key: Authorization: Bearer KEY")
        if method in (b"GET", b"HEAD"):
            return self._read(path)
        if method == b"POST":
            return self._act(path, request)
        return _said(405, "GET to look, POST to act")

    def _may(self, request: Request) -> bool:
        if self._key is None:
            return request.method == b"GET"
        shown = presented_key(dict(request.headers))
        return shown is not None and compare_digest(shown, self._key)

    def _read(self, path: bytes) -> tuple[int, Headers, bytes]:
        worker = self._worker
        if path == b"/healthz":
            return _said(200, "alive")
        if path == b"/readyz":
            return _said(200, "ready") if self._is_well() else _said(503, self._why_not())
        if path == b"/metrics":
            return 200, TEXT, self.metrics_text().encode()
        if path == b"/status":
            return 200, JSON, msgspec.json.encode(self._status())
        if path == b"/keys":
            return 200, JSON, msgspec.json.encode({"keys": worker.key_admin.rows()})
        return _said(404, "known here: /healthz /readyz /metrics /status /keys /reload")

    def _act(self, path: bytes, request: Request) -> tuple[int, Headers, bytes]:
        worker = self._worker
        if path == b"/reload":
            problem = worker.reloader.reload()
            return _said(200, "reloaded") if problem is None else _said(422, problem)
        if path.startswith(b"/keys"):
            return worker.key_admin.act(path, request.body)
        return _said(404, "POST /reload, /keys, /keys/ID/rotate or /keys/ID/revoke")

    def _is_well(self) -> bool:
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
            "spool_failing": worker.spool.failing,
            "unrecorded_lines": worker.spool.unrecorded,
            "open_requests": len(worker.gateway.active),
            "targets": {
                name: {"state": live.health.state(now), "saturated": live.health.saturated(now)}
                for name, live in setup.live.items()
            },
            "levels": [level._asdict() for level in worker.admission.levels(now)],
        }

    # metrics

    def own_snapshot(self) -> Snapshot:
        """What this process counted, with its gauges as of now."""
        worker = self._worker
        metrics, server = worker.metrics, worker.server
        metrics.gauges["open_requests"] = len(worker.gateway.active)
        metrics.gauges["connections"] = 0 if server is None else server.n_connections
        metrics.gauges["spool_failing"] = float(worker.spool.failing is not None)
        if worker.access_log is not None:
            metrics.gauges["access_log_lines_lost"] = worker.access_log.n_lost
        degraded = getattr(worker.admission, "is_degraded", False)
        metrics.gauges["shared_state_degraded"] = float(degraded)
        snapshot = metrics.snapshot()
        if server is not None:
            for status, n in server.n_refused_by_status.items():
                snapshot.counters[f'wire_refused_total{{status="{status}"}}'] = n
        return snapshot

    def metrics_text(self) -> str:
        """Prometheus text over all workers of this machine."""
        worker = self._worker
        snapshots = [self.own_snapshot()]
        for index in range(1, worker.n_workers):
            found = read_json(worker.state / f"metrics-{index}.json")
            if found is not None:
                snapshots.append(msgspec.convert(found, Snapshot))
        states = worker.watcher.states()
        now = worker.gateway.now()
        levels: dict[str, float] = {}
        for level in worker.admission.levels(now):
            labels = f'scope="{level.scope}",name={quoted(level.name)},what="{level.what}"'
            levels[f"limit_used{{{labels}}}"] = level.used
            levels[f"limit_size{{{labels}}}"] = level.limit
        total = merge(snapshots)
        total.gauges.update(levels)
        return exposition(total, states)


def _said(status: int, words: str) -> tuple[int, Headers, bytes]:
    return status, [(b"content-type", b"text/plain; charset=utf-8")], words.encode() + b"\n"
