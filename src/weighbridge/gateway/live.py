"""A target in service: its connections, health, gate, and what is sent with each request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from weighbridge.gateway.breaker import TargetHealth
from weighbridge.gateway.dialects.rewriting import rewrite
from weighbridge.gateway.fair_queue import Ticket
from weighbridge.gateway.headers import NOT_SENT, NOT_SENT_WITH_CREDENTIALS
from weighbridge.gateway.rate_headers import read_rate_headers
from weighbridge.gateway.shaping import TargetGate
from weighbridge.gateway.wire.messages import Attempt, Headers, Request, Upstream
from weighbridge.policy.types import Target

if TYPE_CHECKING:
    from weighbridge.gateway.dialects.ask import Ask, TokenUsage
    from weighbridge.gateway.exchange import Exchange

IDENTITY = (b"accept-encoding", b"identity")
USAGE_ENDPOINTS = ("chat", "completions")
NO_OUTPUT_ENDPOINTS = ("embeddings", "count_tokens")
V1 = len(b"/v1")


class Live:
    """What a target needs to be called; outlives reloads that do not change the target."""

    __slots__ = (
        "added",
        "counts_each_chunk",
        "drains",
        "dropped",
        "gate",
        "gate_timer",
        "health",
        "n_default_output_tokens",
        "pool",
        "prefix",
        "query",
        "secret",
        "target",
    )

    def __init__(
        self,
        target: Target,
        pool: Upstream,
        health: TargetHealth,
        secret: str | None,
        n_default_output_tokens: int,
    ) -> None:
        self.target = target
        self.secret = None if secret is None else secret.encode()
        self.pool = pool
        self.health = health
        gate = TargetGate(target.caps)
        self.gate = gate if gate.is_capped else None
        self.gate_timer: asyncio.Handle | None = None
        self.prefix = urlsplit(target.url).path.rstrip("/").encode()
        self.query = target.query.encode()
        self.drains = target.on_client_leave == "drain"
        fleet = target.self_hosted
        self.counts_each_chunk = fleet is not None and fleet.engine == "vllm"
        self.n_default_output_tokens = n_default_output_tokens
        passes_client_key = target.credential.kind == "client"
        self.dropped = NOT_SENT_WITH_CREDENTIALS if passes_client_key else NOT_SENT
        self.added: Headers = [IDENTITY, *_credential(target, secret)]
        self.added += [(name.lower().encode(), value.encode()) for name, value in target.headers]
        if target.headers:
            self.dropped = self.dropped | {name for name, _ in self.added}

    def path_of(self, request: Request) -> bytes:
        """Path and query upstream: what follows `/v1` is kept."""
        path = self.prefix + request.path[V1:]
        query = request.query
        if self.query:
            query = query + b"&" + self.query if query else self.query
        return path + b"?" + query if query else path

    def send(self, x: Exchange, body: bytes) -> Attempt:
        """Send a request upstream; a head that was sent before is sent again as it was."""
        request, caller = x.request, x.caller
        if request.head is None or not body or request.method == b"HEAD":
            headers = self.headers_for(x)
            return self.pool.send(request.method, self.path_of(request), headers, body, x)
        prepared = caller.prepared.get(self.target.name)
        if prepared is None:
            headers = self.headers_for(x)
            prepared = self.pool.prepare(request.method, self.path_of(request), headers)
            caller.prepared[self.target.name] = prepared
        return self.pool.send_prepared(prepared, body, x)

    def headers_for(self, x: Exchange) -> Headers:
        """The client's headers, less its key and what is for us, plus what the target needs."""
        dropped = self.dropped
        headers = [pair for pair in x.request.headers if pair[0] not in dropped]
        headers += self.added
        return headers

    def body_for(self, ask: Ask | None, body: bytes) -> tuple[bool, bytes]:
        """Whether usage was asked for on the client's behalf, and the body to send."""
        if ask is None:
            return False, body
        adds_usage = ask.stream and not ask.asked_usage and ask.endpoint in USAGE_ENDPOINTS
        return adds_usage, rewrite(ask, body, self.target.model, adds_usage, self.counts_each_chunk)

    def without_secret(self, body: bytes) -> bytes:
        """An error answer less our own key, which some upstreams repeat."""
        secret = self.secret
        return body if not secret or secret not in body else body.replace(secret, b"[key]")

    def ticket_for(self, x: Exchange) -> Ticket:
        """A place in the queue before this provider."""
        ask, key = x.ask, x.key
        n_output_tokens = 0
        if ask is not None:
            n_output_tokens = most_output_tokens(ask, self.n_default_output_tokens)
        return Ticket(
            tenant=x.tenant or "",
            priority=0 if key is None else key.priority,
            deadline_s=x.arrived_s + x.setup.call_context.settings.total_s,
            input_tokens=x.input_estimate,
            output_tokens=n_output_tokens,
            payload=x,
        )

    def leave(self, ticket: Ticket, usage: TokenUsage | None) -> None:
        """An attempt is over: settle its tokens with the gate."""
        assert self.gate is not None
        if usage is None:
            self.gate.leave(ticket)
            return
        used = usage.uncached_input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        self.gate.leave(ticket, used, usage.output_tokens)

    def heed(self, headers: Headers, now: float, at: float) -> None:
        """What the provider says of its own limits narrows the gate."""
        hint = read_rate_headers(headers, at)
        if hint is not None and self.gate is not None:
            self.gate.on_hint(hint, now)


def most_output_tokens(ask: Ask, n_default: int) -> int:
    """The most that all choices together may be, or what is taken for it where nothing is said."""
    if ask.endpoint in NO_OUTPUT_ENDPOINTS:
        return 0
    most = n_default if ask.max_output_tokens is None else ask.max_output_tokens
    return most * ask.n_choices


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _credential(target: Target, secret: str | None) -> Headers:
    kind = target.credential.kind
    if kind in ("client", "none"):
        return []
    assert secret is not None
    if kind == "anthropic":
        return [(b"x-api-key", secret.encode())]
    if kind == "azure":
        return [(b"api-key", secret.encode())]
    return [(b"authorization", b"Bearer " + secret.encode())]
