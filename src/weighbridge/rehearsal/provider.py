"""A stand-in for OpenAI, Anthropic or a self-hosted engine, whose bill is the truth.

Speaks both dialects on loopback, answers by seed and prompt, takes as long as a real one, limits,
fails on demand, and keeps an exact bill, aborted streams included.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import msgspec

from weighbridge.rehearsal import provider_anthropic as anthropic
from weighbridge.rehearsal import provider_openai as openai
from weighbridge.rehearsal.provider_admin import administer
from weighbridge.rehearsal.provider_bill import Bill, BillLine
from weighbridge.rehearsal.provider_call import Call, answer_id, decoded, endpoint_of
from weighbridge.rehearsal.provider_engine import EngineSays, Load, engine_metrics
from weighbridge.rehearsal.provider_exchange import JSON, Exchange
from weighbridge.rehearsal.provider_faults import FaultBoard
from weighbridge.rehearsal.provider_limits import KeyLimits
from weighbridge.rehearsal.provider_plan import Endpoint, Plan, Planner, RefusedError, checked
from weighbridge.rehearsal.provider_settings import Fault, Limits, Model, Settings
from weighbridge.rehearsal.provider_wire import Connection, Headers, Received

UNPRICED: tuple[Endpoint, ...] = ("count_tokens",)
N_RESPONSES_KEPT = 10_000  # states of the Responses API that can still be referred to
STATUS_FAULTS = {
    "status_429": (429, "rate_limit_exceeded", "Rate limit reached, as ordered."),
    "status_500": (500, "server_error", "The server had an error, as ordered."),
    "status_503": (503, "service_unavailable", "The engine is overloaded, as ordered."),
    "status_529": (529, "overloaded_error", "Overloaded, as ordered."),
}


@dataclass(slots=True)
class Stats:
    """What was asked of the stand-in; its own admin paths are not counted."""

    n_requests: int = 0
    n_in_flight: int = 0
    n_in_flight_most: int = 0
    n_cancelled_by_client: int = 0


@dataclass(slots=True)
class SeenRequest:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Provider:
    """The stand-in; `async with Provider(settings) as p` serves at `p.url` until the block ends."""

    def __init__(
        self,
        settings: Settings | None = None,
        at: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.settings = settings or Settings()
        self.url = ""
        self.says = EngineSays()
        self._at = at
        self._planner = Planner(self.settings)
        self._models = {model.name: model for model in self.settings.models}
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.requests: deque[SeenRequest] = deque(maxlen=self.settings.n_requests_kept)
        self._load = Load()
        n_slots = self.settings.n_slots
        self._slots = asyncio.Semaphore(n_slots) if n_slots is not None else None
        self._stats = Stats()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._bill = Bill(self.settings.n_bill_lines_kept)
        self._stats = Stats(n_in_flight=self._stats.n_in_flight)  # those are still to end
        self._by_status: dict[int, int] = {}
        self._faults = FaultBoard(self.settings.faults, self.settings.seed)
        self._limits: dict[str, KeyLimits] = {}
        self._responses: dict[str, None] = {}
        self._number = 0
        self.requests.clear()

    # Life.

    async def __aenter__(self) -> Provider:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; `url` says where."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, self._connections),
            self.settings.host,
            self.settings.port,
            backlog=4096,
            ssl=self._tls(),
        )
        port = self._server.sockets[0].getsockname()[1]
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        self.url = f"{'https' if self.settings.tls_cert else 'http'}://{host}:{port}"

    def _tls(self) -> ssl.SSLContext | None:
        if self.settings.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.settings.tls_cert, self.settings.tls_key)
        return context

    async def stop(self) -> None:
        """Stop listening, and drop what is open."""
        if self._server is not None:
            self._server.close()
        tasks = [c.task for c in self._connections if c.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)
        self._server = None

    # What tests and admin paths read and set.

    def bill(self) -> dict[str, Any]:
        """What was billed: `total`, `by_model`, `lines`, `n_lines_dropped`."""
        return self._bill.as_dict()

    def stats(self) -> dict[str, Any]:
        """What was seen: requests, in flight, cancelled by the client, by status, by fault."""
        return {
            "n_requests": self._stats.n_requests,
            "n_in_flight": self._stats.n_in_flight,
            "n_in_flight_most": self._stats.n_in_flight_most,
            "n_cancelled_by_client": self._stats.n_cancelled_by_client,
            "n_connections": len(self._connections),
            "by_status": {str(status): n for status, n in sorted(self._by_status.items())},
            "by_fault": dict(self._faults.n_by_fault),
        }

    def faults(self) -> list[dict[str, Any]]:
        """Rules in force, with what is left of their counts."""
        return self._faults.as_list()

    def add_fault(self, fault: Fault) -> None:
        """Put a rule before those in force."""
        self._faults.add([fault])

    def clear_faults(self) -> None:
        """No fault any more."""
        self._faults.clear()

    def reset(self) -> None:
        """Forget bill, stats, limits and requests; the settings' faults are in force again."""
        self._start_afresh()
        self.says = EngineSays()

    # Requests.

    async def _serve(self, connection: Connection, received: Received) -> None:
        path = received.path
        if path.startswith("/rehearsal/"):
            administer(self, connection, received)
        elif path in ("/metrics", "/health"):
            self._engine(connection, path)
        else:
            self._stats.n_requests += 1
            self._stats.n_in_flight += 1
            most = max(self._stats.n_in_flight, self._stats.n_in_flight_most)
            self._stats.n_in_flight_most = most
            try:
                await self._exchange(connection, received)
            except asyncio.CancelledError:
                self._stats.n_cancelled_by_client += connection.left
                raise
            finally:
                self._stats.n_in_flight -= 1

    def _engine(self, connection: Connection, path: str) -> None:
        engine = self.settings.engine
        if engine is None:
            connection.whole(404, [], b"")
        elif not self.says.healthy:
            connection.whole(503, [], b"")
        elif path == "/health":
            connection.whole(200, [], b"")
        else:
            capacity = self.settings.kv_capacity_tokens
            text = engine_metrics(engine, self.says, self._load, capacity, self._bill)
            kind = ("content-type", "text/plain; version=0.0.4; charset=utf-8")
            connection.whole(200, [kind], text)

    async def _exchange(self, connection: Connection, received: Received) -> None:
        if self.settings.n_requests_kept:
            self.requests.append(
                SeenRequest(
                    received.method, received.path, received.query, received.headers, received.body
                )
            )
        self._number += 1
        is_anthropic = "/messages" in received.path or "anthropic-version" in received.headers
        named = received.headers.get("x-rehearsal-id")
        number = named if named is not None else f"{self._number:x}"
        call = Call(connection, received, is_anthropic, number)
        try:
            await self._answer(call)
        except RefusedError as refused:
            self._refuse(call, refused)

    async def _answer(self, call: Call) -> None:
        received = call.received
        self._authenticate(call)
        if received.method == "GET" and received.path == "/v1/models":
            names = self._models
            told = anthropic.models(names) if call.is_anthropic else openai.models(names)
            call.connection.whole(200, [JSON, *call.id_header()], msgspec.json.encode(told))
            self._count(200)
            return
        endpoint, deployment = endpoint_of(received)
        body = decoded(received.body)
        if deployment:
            body["model"] = deployment
        call.line = BillLine(
            id="",
            request_id=call.request_id,
            client_request_id=received.headers.get("x-request-id"),
            model=str(body.get("model")),
            endpoint=endpoint,
        )
        plan = self._planned(call, endpoint, body)
        call.line.id, call.line.streamed = answer_id(plan), plan.stream
        call.plan = plan
        fault = self._fault(call)
        self._refuse_by_fault(call, fault)
        self._admit(call)
        self._remember(plan, body)
        await self._carry_out(call, plan, fault)

    def _planned(self, call: Call, endpoint: Endpoint, body: dict[str, Any]) -> Plan:
        """The plan of a request; what makes no sense is refused, as a provider's schema would."""
        try:
            checked(endpoint, body)
            call.model = self._model(str(body["model"]))
            return self._planner.plan(endpoint, body, call.model, f"-{call.number}")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as bad:
            text = "The body of your request has values of the wrong kind."
            raise RefusedError(400, "invalid_request_error", text) from bad

    async def _carry_out(self, call: Call, plan: Plan, fault: Fault | None) -> None:
        """Run a plan when its turn has come, and put it on the bill."""
        assert call.line is not None
        assert call.model is not None
        headers = [*call.id_header(), *self._limit_headers(call)]
        started_s = call.received.received_s
        exchange = Exchange(
            call.connection, self.settings, plan, call.line, fault, headers, started_s
        )
        slots = self._slots
        try:
            if slots is not None:
                await self._turn(slots)
                exchange.started_s = monotonic()
            await self._run(exchange, plan)
        except asyncio.CancelledError:
            call.line.cancelled = call.connection.left
            raise
        finally:
            call.line.fault = fault.fault if fault is not None else None
            self._count(call.line.http_status)
            if plan.endpoint not in UNPRICED:
                self._bill.add(call.line, call.model)

    async def _turn(self, slots: asyncio.Semaphore) -> None:
        self._load.n_waiting += 1
        try:
            await slots.acquire()
        finally:
            self._load.n_waiting -= 1

    async def _run(self, exchange: Exchange, plan: Plan) -> None:
        kv_tokens = plan.input_tokens + plan.output_tokens
        self._load.n_running += 1
        self._load.kv_tokens += kv_tokens
        try:
            await exchange.run()
        finally:
            self._load.n_running -= 1
            self._load.kv_tokens -= kv_tokens
            if self._slots is not None:
                self._slots.release()

    def _authenticate(self, call: Call) -> None:
        allowed = self.settings.api_keys
        if allowed and call.key not in allowed:
            text = "Incorrect API key provided."
            raise RefusedError(401, "invalid_request_error", text, "invalid_api_key")

    def _model(self, name: str) -> Model:
        model = self._models.get(name) or self.settings.other_models
        if model is None:
            text = f"The model `{name}` does not exist or you do not have access to it."
            raise RefusedError(404, "invalid_request_error", text, "model_not_found", "model")
        return model

    def _fault(self, call: Call) -> Fault | None:
        assert call.line is not None
        header = call.received.headers.get("x-rehearsal-fault")
        path, model = call.received.path, call.line.model
        try:
            return self._faults.fault_of(path, model, call.key, header)
        except ValueError as bad:
            raise RefusedError(400, "invalid_request_error", str(bad), "unknown_fault") from bad

    def _refuse_by_fault(self, call: Call, fault: Fault | None) -> None:
        if fault is None or fault.fault not in STATUS_FAULTS:
            return
        assert call.line is not None
        assert call.plan is not None
        status, kind, text = STATUS_FAULTS[fault.fault]
        call.line.fault = fault.fault
        call.wait_s = fault.retry_after_s
        if call.wait_s is None and status == 429:
            call.wait_s = 1.0
        if fault.billed:
            call.line.uncached_input_tokens = call.plan.input_tokens
        raise RefusedError(status, kind, text, kind)

    def _admit(self, call: Call) -> None:
        assert call.plan is not None
        if self.settings.limits == _UNLIMITED:
            return
        limits = self._limits.setdefault(call.key, KeyLimits(self.settings.limits))
        now_s = call.received.received_s
        verdict = limits.admit(call.plan.input_tokens, call.plan.output_tokens, now_s)
        if verdict.limit is not None:
            call.wait_s = verdict.wait_s
            kind = "requests" if verdict.limit == "requests" else "tokens"
            text = f"Rate limit reached for {call.plan.model_name} on {verdict.limit} per min."
            raise RefusedError(429, kind, text, "rate_limit_exceeded")

    def _limit_headers(self, call: Call) -> Headers:
        limits = self._limits.get(call.key)
        if limits is None:
            return []
        now_s = call.received.received_s
        if call.is_anthropic:
            return limits.anthropic_headers(now_s, self._at())
        return limits.openai_headers(now_s)

    def _remember(self, plan: Plan, body: dict[str, Any]) -> None:
        """Keep the state of a response, and refuse what refers to a state that is not here."""
        if plan.endpoint != "responses":
            return
        earlier = body.get("previous_response_id")
        if earlier is not None and earlier not in self._responses:
            text = f"Previous response with id '{earlier}' not found."
            code, param = "previous_response_not_found", "previous_response_id"
            raise RefusedError(400, "invalid_request_error", text, code, param)
        if body.get("store", True):
            self._responses[answer_id(plan)] = None
            if len(self._responses) > N_RESPONSES_KEPT:
                del self._responses[next(iter(self._responses))]

    def _refuse(self, call: Call, refused: RefusedError) -> None:
        headers = [JSON, *call.id_header(), *self._limit_headers(call)]
        if call.wait_s is not None:
            headers.append(("retry-after", str(max(int(-(-call.wait_s // 1)), 0))))
            if not call.is_anthropic:
                headers.append(("retry-after-ms", str(round(call.wait_s * 1000))))
        if call.is_anthropic:
            told = anthropic.error(refused, call.request_id)
        else:
            told = openai.error(refused)
        call.connection.whole(refused.status, headers, msgspec.json.encode(told))
        self._count(refused.status)
        if call.line is not None and call.line.endpoint not in UNPRICED:
            call.line.http_status = refused.status
            self._bill.add(call.line, call.model or Model("unknown"))

    def _count(self, status: int) -> None:
        self._by_status[status] = self._by_status.get(status, 0) + 1


_UNLIMITED = Limits()
