"""One request on its way through: call, relay and meter, driven by the wire's events.

The decisions before the first call are the ordered list in `pipeline.py`; what to do when a call
fails is decided by `calls.py`. This file carries things from one to the other, and makes sure that
every request is settled and written down exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.gateway.admission import Refusal
from weighbridge.gateway.calls import Action, Calls, Fail, Send, Torn, Wait
from weighbridge.gateway.dialects.answers import read_answer, response_id_in
from weighbridge.gateway.dialects.ask import AskError, TokenUsage
from weighbridge.gateway.dialects.coded import CodedReader
from weighbridge.gateway.dialects.endpoints import stateful_id_in
from weighbridge.gateway.dialects.errors import error_event
from weighbridge.gateway.dialects.streams import StreamReader
from weighbridge.gateway.headers import (
    REQUEST_ID,
    answer_headers,
    is_coded,
    is_event_stream,
    readable,
    value_of,
)
from weighbridge.gateway.meter import NOTHING
from weighbridge.gateway.pipeline import PIPELINE, Caller, Step, Waiting
from weighbridge.gateway.retry_after import retry_after_s
from weighbridge.gateway.wire.messages import Attempt, Fault, Headers, Responder

if TYPE_CHECKING:
    from weighbridge.gateway.admission import Grant, VirtualKey
    from weighbridge.gateway.calls import TimeoutKind
    from weighbridge.gateway.dialects.ask import Ask, Endpoint
    from weighbridge.gateway.fair_queue import Ticket
    from weighbridge.gateway.gateway import Gateway
    from weighbridge.gateway.live import Live
    from weighbridge.gateway.setup import Setup
    from weighbridge.policy.types import Dialect, Facts, Route

# Where an exchange is; each event is handled by what it means there.
DECIDING, QUEUED, SENT, ERROR, BODY, ENDED, HELD, STREAM, OVER = range(9)

REDIRECTS = 300
WHOLE_BODY_BYTES = (
    256 * 1024
)  # up to here an answer is relayed whole, so that a cut one never starts
KEPT_BODY_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 64 * 1024
HOLD_S = (
    1.0  # what comes before the first token waits so long, so that a failed start may fail over
)
OPEN_LINE_S = 0.1
BROKEN_OFF = "The upstream broke off: this answer is incomplete."
CONVERSATIONS = b"/v1/conversations"
INTERNAL_ERROR = 500
CLIENT_LEFT = 499  # as nginx logs it; nobody receives it


class Exchange:
    """A request, its answer, and everything that the record of it needs."""

    # Where an exchange begins. Defaults of the class cost nothing to the many requests that never
    # change them; instances keep only what is theirs.
    phase = DECIDING
    next_step = 0
    caller: Caller
    dialect: Dialect = "openai"
    endpoint: Endpoint = "other"
    key: VirtualKey | None = None
    tenant: str | None = None
    data_class: str | None = None
    ask: Ask | None = None
    facts: Facts | None = None
    route: Route | None = None
    grant: Grant | None = None
    calls: Calls | None = None
    live: Live | None = None
    ticket: Ticket | None = None
    attempt: Attempt | None = None
    sent_s = 0.0
    head_s = 0.0
    hides_usage = False
    queued_at_s = 0.0
    queue_s = 0.0
    status = 0
    told = 0
    upstream_headers: Headers
    usage: TokenUsage | None = None
    parts: list[bytes]
    size = 0
    reader: StreamReader | None = None
    relaying = False
    first_token_s = 0.0
    last_data_s = 0.0
    n_deltas = 0  # as of when data came last
    kept_error: tuple[int, Headers, bytes] | None = None
    paused = False
    client_gone = False
    opened = False
    recorded = False

    def __init__(self, gateway: Gateway, setup: Setup, responder: Responder) -> None:
        self.gateway = gateway
        self.setup = setup
        self.responder = responder
        self.request = responder.request
        self.request_id = gateway.next_id()
        self.arrived_s = gateway.now()
        self.at = gateway.wall()
        responder.handler = self

    # decide

    def heed(self, outcome: Refusal | Waiting, step: Step) -> None:
        """A step has an end in mind: a refusal, or a wait after which `go_on` takes the rest."""
        if isinstance(outcome, Refusal):
            self.refuse(outcome)
        else:
            self.next_step = PIPELINE.index(step) + 1

    def go_on(self) -> None:
        """Take the steps that are left, after one that had to wait."""
        for step in PIPELINE[self.next_step :]:
            outcome = step(self)
            if outcome is not None:
                self.heed(outcome, step)
                return

    def break_off(self) -> None:
        """A fault of ours in the middle of it: the client is told, what it claimed is settled."""
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.cancel()
        self.leave_queue()
        if self.calls is not None:
            self.calls.on_client_left()  # the fault was not the target's
        if not self.relaying:
            self.told = INTERNAL_ERROR
        self.finish("error", "internal_error", self.usage)
        self.give_back()
        self.close()
        if self.relaying:
            self.responder.abort()
        else:
            self.responder.respond(INTERNAL_ERROR, [], b"internal error\n")

    def give_back(self) -> None:
        """Whatever happened, nothing that was claimed stays so."""
        grant, self.grant = self.grant, None
        if grant is not None:
            grant.settle(0, 0, self.gateway.now(), self.gateway.wall())

    def admitted(self, outcome: Grant | Refusal) -> None:
        """The shared state has decided, after a round trip."""
        try:
            if isinstance(outcome, Refusal):
                self.refuse(outcome)
            elif self.phase == OVER:  # the client left meanwhile
                outcome.settle(0, 0, self.gateway.now(), self.gateway.wall())
            else:
                self.grant = outcome
                self.go_on()
        except Exception as error:
            self.gateway.broken(self, error)

    def refuse(self, refusal: Refusal) -> None:
        """Answer that the request is not let in; nothing went upstream."""
        if self.phase == OVER:
            return
        headers, body = self.gateway.refusal(self, refusal)
        self.told = refusal.status
        self.finish("error", refusal.code, None)
        self.close()
        self.responder.respond(refusal.status, headers, body)

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer from what the gateway itself knows; such answers are no usage."""
        self.recorded = True
        self.close()
        headers.append((REQUEST_ID, self.request_id))
        self.responder.respond(status, headers, body)

    # call

    def perform(self, action: Action) -> None:
        """Do what the machine of calls decided."""
        kind = type(action)
        if self.client_gone and kind is not Torn:
            self.forsake()
        elif kind is Send:
            assert isinstance(action, Send)
            self.enter(self.setup.live[action.target.name])
        elif isinstance(action, Wait):
            self.phase = QUEUED
            self.gateway.later(action.wait_s, self)
        elif isinstance(action, Fail):
            self.fail(action)
        elif isinstance(action, Torn):
            self.tear(action.error_type)
        else:
            self.deliver_error()

    def forsake(self) -> None:
        """What was drained for a client that has left has failed: nobody needs another attempt."""
        usage = NOTHING if self.reader is None else self.usage_so_far(self.reader)
        self.finish("interrupted", "client_left", usage)
        self.close()

    def resume(self) -> None:
        """A backoff is over; the client may have left meanwhile."""
        if self.phase == QUEUED and self.calls is not None:
            self.perform(self.calls.resume(self.gateway.now()))

    def enter(self, live: Live) -> None:
        """Through the gate that shapes traffic to a provider's caps, if it has any."""
        self.live = live
        if live.gate is None:
            self.dispatch()
            return
        now = self.gateway.now()
        self.ticket = live.ticket_for(self)
        verdict = live.gate.enter(self.ticket, now)
        if verdict == "go":
            self.dispatch()
        elif verdict == "wait":
            self.phase = QUEUED
            self.queued_at_s = now
            self.gateway.watch_gate(live)
        else:
            self.turned_away(verdict.retry_after_s)

    def let_through(self) -> None:
        """The gate has room now."""
        self.queue_s += self.gateway.now() - self.queued_at_s
        self.dispatch()

    def turned_away(self, retry_after_s: float | None) -> None:
        """The queue before the provider is full, or the wait was too long."""
        self.ticket = None
        assert self.calls is not None
        self.perform(self.calls.on_not_sent(retry_after_s, self.gateway.now()))

    def dispatch(self) -> None:
        """Send the request upstream."""
        live, request = self.live, self.request
        assert live is not None
        self.phase = SENT
        self.status = 0
        self.reader = None  # of an earlier attempt, as all that it got
        self.parts = []
        self.size = 0
        self.sent_s = self.last_data_s = self.gateway.now()
        if self.calls is not None:
            self.calls.sent_s = self.sent_s  # waiting at a gate is not the target's latency
        try:
            self.hides_usage, body = live.body_for(self.ask, request.body)
        except AskError as error:
            self.take_back(Refusal(400, "invalid_request", str(error)))
            return
        self.attempt = live.send(self, body)

    def take_back(self, refusal: Refusal) -> None:
        """What was about to be sent cannot be: it never was."""
        self.leave_gate(NOTHING)
        if self.calls is not None:
            self.calls.on_client_left(is_sent=False)
        self.refuse(refusal)

    def leave_gate(self, usage: TokenUsage | None) -> None:
        """Give back what the attempt held at its provider's gate."""
        ticket, live = self.ticket, self.live
        if ticket is None or live is None or live.gate is None:
            return
        self.ticket = None
        live.leave(ticket, usage)
        self.gateway.pump_soon(live)

    def leave_queue(self) -> None:
        """Wait before the provider's gate no longer."""
        ticket, live = self.ticket, self.live
        if ticket is None or ticket.state != "waiting":
            return
        if live is not None and live.gate is not None:
            self.ticket = None
            live.gate.cancel(ticket)
            self.gateway.watch_gate(live)

    # relay

    def on_head(self, status: int, headers: Headers) -> None:
        """The upstream answers."""
        self.status = status
        self.upstream_headers = headers
        self.head_s = self.last_data_s = self.gateway.now()
        self.parts = []
        self.size = 0
        live = self.live
        assert live is not None
        if live.gate is not None:
            live.heed(headers, self.head_s, self.gateway.wall())
        assert self.calls is not None
        if status >= 400:
            self.phase = ERROR
            self.calls.http_status = status
            return
        self.calls.on_status(status, None, self.head_s)
        if is_event_stream(headers, self.ask is not None and self.ask.stream):
            self.phase = HELD
            hide_each = self.hides_usage and live.counts_each_chunk
            if is_coded(headers):
                self.reader = CodedReader(self.endpoint, value_of(headers, b"content-encoding"))
            else:
                self.reader = StreamReader(
                    self.endpoint, hide_usage=self.hides_usage, hide_each=hide_each
                )
        else:
            self.phase = BODY

    def on_body(self, data: bytes) -> None:
        """Bytes of the answer."""
        if self.phase >= HELD:
            self.on_events(data)
            return
        self.last_data_s = self.gateway.now()
        self.parts.append(data)
        self.size += len(data)
        if self.relaying:
            if not self.client_gone:
                self.responder.write(data)
            if self.size > KEPT_BODY_BYTES:  # only the end of a very long answer is looked at
                self.parts = [b"".join(self.parts)[-TAIL_BYTES:]]
                self.size = TAIL_BYTES
        elif self.size > WHOLE_BODY_BYTES:
            if self.phase == BODY:
                length = None if self.attempt is None else self.attempt.length
                self.begin(length, b"".join(self.parts))
            elif self.attempt is not None:
                self.attempt.cancel()
                self.attempt = None
                self.end_of_error(is_whole=False)

    def on_events(self, data: bytes) -> None:
        """Bytes of an event stream: seen by the reader, passed on at once."""
        reader = self.reader
        if self.phase == OVER or reader is None:
            return
        self.last_data_s = now = self.gateway.now()
        out = reader.feed(data)
        self.n_deltas = reader.n_deltas
        if not self.first_token_s and (reader.first_token_seen or reader.endpoint == "other"):
            self.first_token_s = now
            if self.live is not None:
                self.live.health.on_ttft(now - self.sent_s, now)
        if self.phase == HELD:
            self.parts.append(out)
            if not self.may_begin(reader):
                return
            out = self.release()
        if reader.finished and not self.recorded:
            self.finish_stream()
        if out and not self.client_gone:
            if self.relaying:
                self.responder.write(out)
            else:
                self.begin(None, out)
                self.pipe(reader)

    def may_begin(self, reader: StreamReader) -> bool:
        """Whether what is held may go to the client; an error as the first word may be repeated."""
        if self.first_token_s:
            return True
        return reader.finished if reader.error is None else not self.leads_elsewhere()

    def leads_elsewhere(self) -> bool:
        """The stream began with an error: another attempt is made, where one may be."""
        if self.calls is None or self.client_gone:
            return False
        action = self.calls.on_fault(Fault.ERROR_EVENT, self.gateway.now())
        if isinstance(action, Fail):  # then its own words are the best that there is
            return False
        if self.attempt is not None:
            self.attempt.cancel()
            self.attempt = None
        self.leave_gate(None)
        self.perform(action)
        return True

    def pipe(self, reader: StreamReader) -> None:
        """Let deltas pass by themselves from here on; what else comes is still given to us."""
        if self.attempt is not None and self.responder.takes_chunks:
            self.attempt.pipe(reader.read_chunk, self.responder.write_chunk)

    def release(self) -> bytes:
        """What was held; from here on a failure is told to the client, not repeated."""
        self.phase = STREAM
        out = b"".join(self.parts)
        self.parts = []
        return out

    def begin(self, length: int | None, data: bytes) -> None:
        """Send the head and the first bytes."""
        assert self.calls is not None
        self.calls.on_relay(self.gateway.now())
        self.relaying = True
        if not self.client_gone:
            self.told = self.status
            self.responder.start(self.status, answer_headers(self), length)
            self.responder.write(data)

    def on_end(self) -> None:
        """The answer is complete."""
        self.attempt = None
        try:
            if self.phase == BODY:
                self.phase = ENDED
                self.gateway.answered(self)
            elif self.phase == ERROR:
                self.end_of_error()
            elif self.phase != OVER:
                self.end_of_stream()
        except Exception as error:
            self.gateway.broken(self, error)

    def end_of_error(self, *, is_whole: bool = True) -> None:
        """A status of 400 or above: the machine of calls decides whether the client sees it.

        What its status says holds even where its body was cut, of which the start is passed on.
        """
        assert self.live is not None
        if not is_whole and is_coded(self.upstream_headers):
            self.parts = []  # part of it cannot be read
        body = self.live.without_secret(b"".join(self.parts))
        self.kept_error = (self.status, self.upstream_headers, body)
        self.leave_gate(None)
        assert self.calls is not None
        wait_s = retry_after_s(self.upstream_headers, self.gateway.wall())
        self.perform(self.calls.on_status(self.status, wait_s, self.gateway.now()))

    def deliver_error(self) -> None:
        """Pass on the last error answer as it is, Retry-After included."""
        assert self.kept_error is not None
        self.status, self.upstream_headers, body = self.kept_error
        self.told = self.status
        self.finish("error", str(self.status), None)
        self.close()
        if not self.client_gone:
            self.responder.respond(self.status, answer_headers(self), body)

    def read_whole(self) -> None:
        """The usage in a whole answer."""
        parts = self.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self.parts = [body]
        self.usage = self.usage_in(body)

    def finish_whole(self) -> None:
        """Write a whole answer down."""
        if not self.relaying:
            assert self.calls is not None
            self.calls.on_relay(self.gateway.now())
        self.told = CLIENT_LEFT if self.client_gone else self.status
        if self.status < REDIRECTS:
            self.finish("ok", None, self.usage)
        else:  # a redirect is followed by nobody here: the target's address is not quite right
            self.finish("error", str(self.status), NOTHING)
        self.close()

    def pass_on(self) -> None:
        """Give a whole answer to the client."""
        if self.client_gone:
            return
        if self.relaying:
            self.responder.end()
        else:
            self.responder.respond(self.status, answer_headers(self), self.parts[0])

    def usage_in(self, body: bytes) -> TokenUsage | None:
        """What a whole answer says was used; who only looks at what is stored uses nothing."""
        request = self.request
        if request.method != b"POST" or request.path.endswith(b"/cancel"):
            return self.usage_owed(body)
        text = readable(body, self.upstream_headers)
        usage = read_answer(self.endpoint, text)
        if self.endpoint == "responses" or request.path == CONVERSATIONS:
            stored_id = response_id_in(text) if usage is None else usage.response_id
            self.remember(stored_id)
            ask = self.ask
            if usage is None and stored_id and ask is not None and ask.is_background:
                self.setup.homes.owe(stored_id)
                usage = TokenUsage(estimated=("uncached_input_tokens", "output_tokens"))
        return usage

    def usage_owed(self, body: bytes) -> TokenUsage:
        """What is told of a response made in the background, once; looking at it uses nothing."""
        stored_id, homes = stateful_id_in(self.request.path), self.setup.homes
        if stored_id is None or not homes.owes(stored_id):
            return NOTHING
        usage = read_answer("responses", readable(body, self.upstream_headers))
        if usage is None:
            return NOTHING
        homes.pay(stored_id)
        return usage

    def remember(self, stored_id: str | None) -> None:
        """What follows on this answer must go where it is stored, as must its conversation."""
        ask, live = self.ask, self.live
        assert live is not None
        homes, name = self.setup.homes, live.target.name
        if stored_id is not None:
            homes.remember(stored_id, name, self.tenant)
        earlier = None if ask is None else ask.stateful_id
        if earlier is not None and homes.home_of(earlier) is None:
            homes.remember(earlier, name, self.tenant)

    def end_of_stream(self) -> None:
        """The stream ended as HTTP has it; without its last event it was cut short."""
        reader = self.reader
        assert reader is not None
        is_cut = self.is_cut(reader)
        if is_cut and self.phase == HELD and not self.client_gone:
            self.on_fault(Fault.UNFINISHED, "the stream ended before its first token")
            return
        out = (self.release() if self.phase == HELD else b"") + reader.close()
        if is_cut:
            out += error_event(self.endpoint, "stream_unfinished", BROKEN_OFF)
        self.finish_stream()
        self.close()
        if self.client_gone:
            return
        if not self.relaying:
            self.begin(None, out)
        elif out:
            self.responder.write(out)
        self.responder.end()

    def is_cut(self, reader: StreamReader) -> bool:
        """Whether a stream that HTTP calls complete lacks its end; of other paths nobody knows."""
        return not reader.is_complete and reader.error is None and reader.endpoint != "other"

    def finish_stream(self) -> None:
        """Write a stream down, before its last bytes leave."""
        reader = self.reader
        assert reader is not None
        usage = self.usage_so_far(reader)
        if not self.client_gone:
            self.told = self.status
        if self.endpoint == "responses":
            self.remember(usage.response_id)
        elif self.request.method != b"POST":
            usage = NOTHING
        if reader.error is not None:
            self.finish("error", "stream_error_event", usage)
        elif self.is_cut(reader):
            self.finish("interrupted", "stream_unfinished", usage)
        else:
            self.finish("ok", None, usage)

    def usage_so_far(self, reader: StreamReader) -> TokenUsage:
        """What a stream has used; one that began with an error was not worked on."""
        was_refused = reader.error is not None and not reader.first_token_seen
        if was_refused and reader.usage is None:
            return NOTHING
        return reader.usage_or_estimate(self.input_estimate)

    # what goes wrong

    def on_fault(self, fault: Fault, detail: str) -> None:  # noqa: ARG002  # for logs of the wire
        """The attempt died below HTTP."""
        try:
            self.failed(fault)
        except Exception as error:
            self.gateway.broken(self, error)

    def failed(self, fault: Fault) -> None:
        """What becomes of the exchange after its attempt died."""
        self.attempt = None
        if self.phase == OVER:
            return
        if self.recorded:  # the last event had come; what is left is to end the client's stream
            self.close()
            self.responder.end()
            return
        if self.phase == ERROR:
            self.end_of_error(is_whole=False)
            return
        self.leave_gate(None)
        self.perform(self.calls_left().on_fault(fault, self.gateway.now()))

    def calls_left(self) -> Calls:
        """The machine of calls, which hears whether the stream itself told of a failure before."""
        assert self.calls is not None
        if self.reader is not None and self.reader.error is not None:
            self.calls.is_failed = True
        return self.calls

    def time_out(self, kind: TimeoutKind, now: float) -> None:
        """A limit of the target passed without what it waits for."""
        if self.attempt is not None:
            if kind == "first_byte" and not self.attempt.is_sent:
                kind = "connect"  # it waited for a connection all the time
            self.attempt.cancel()
            self.attempt = None
        if self.recorded:
            self.close()
            self.responder.end()
            return
        if self.phase == ERROR:
            self.end_of_error(is_whole=False)
            return
        self.leave_gate(None)
        self.perform(self.calls_left().on_timeout(kind, now))

    def fail(self, action: Fail) -> None:
        """No answer is to be had, and none was kept: our own words."""
        self.told = action.http_status
        self.finish("error", action.error_type, None)
        self.close()
        if not self.client_gone:
            headers, body = self.gateway.failure(self, action)
            self.responder.respond(action.http_status, headers, body)

    def tear(self, error_type: str) -> None:
        """The upstream broke after bytes were relayed: say so, so that no cut looks complete."""
        reader = self.reader
        if reader is None:
            self.finish("interrupted", error_type, None)
        elif reader.error is not None:  # it had said so itself, and the client has its words
            self.finish_stream()
        else:
            self.finish("interrupted", error_type, self.usage_so_far(reader))
        self.close()
        if self.client_gone:
            return
        if reader is None or isinstance(reader, CodedReader):  # no words go behind packed bytes
            self.responder.abort()
            return
        out = reader.close()
        if reader.error is None:
            out += error_event(self.endpoint, error_type, BROKEN_OFF)
        self.responder.write(out)
        self.responder.end()

    # the client

    def client_left(self) -> None:
        """Nobody reads any more: cancel upstream, or drain it, as the target has it."""
        self.leave("client_left", may_drain=self.live is not None and self.live.drains)

    def cut_off(self) -> None:
        """The gateway ends before the answer does, whether or not its client still waits."""
        if not self.client_gone:
            self.leave("gateway_draining", may_drain=False)
        elif self.phase not in (ENDED, OVER):
            self.abandon("gateway_draining")

    def leave(self, error_type: str, *, may_drain: bool) -> None:
        """Go on without the client, or end; `error_type` says whose doing it was."""
        if self.phase == OVER or self.client_gone:
            return
        self.client_gone = True
        self.told = CLIENT_LEFT
        if self.phase == ENDED:  # the answer is whole: it is written down as such in a moment
            return
        attempt = self.attempt
        if attempt is not None and may_drain and attempt.is_sent and not self.recorded:
            self.paused = False
            attempt.resume()
            if self.calls is not None:
                self.calls.is_forsaken = True
            return
        self.abandon(error_type)

    def abandon(self, error_type: str) -> None:
        """Ask for no more of the answer; what was used so far is written down."""
        attempt = self.attempt
        is_sent = attempt is not None and attempt.is_sent
        if attempt is not None:
            attempt.cancel()
            self.attempt = None
        self.leave_queue()
        usage: TokenUsage | None = None
        if self.calls is not None:
            self.calls.on_client_left(is_sent=is_sent)
        if not is_sent or self.phase == ERROR:  # between attempts, or nothing was worked on
            usage = NOTHING
        elif self.reader is not None:
            usage = self.usage_so_far(self.reader)
        self.finish("interrupted", error_type, usage)
        self.close()

    def client_paused(self) -> None:
        """The client reads slowly: so do we."""
        self.paused = True
        if self.attempt is not None:
            self.attempt.pause()

    def client_resumed(self) -> None:
        """The client has caught up."""
        self.paused = False
        self.last_data_s = self.gateway.now()
        if self.attempt is not None:
            self.attempt.resume()

    # time

    def tick(self, now: float) -> None:
        """Limits of time, looked at several times a second while the exchange is open."""
        phase = self.phase
        if phase < SENT or phase == OVER or self.attempt is None:
            return
        assert self.live is not None
        since_s = now - self.sent_s
        if not self.opened and not self.recorded and since_s >= OPEN_LINE_S:
            self.opened = True
            self.gateway.meter.open(self)
        limits = self.live.target.timeouts
        if since_s > limits.total_s:
            self.time_out("total", now)
        elif phase == SENT:
            if since_s > limits.first_byte_s:
                self.time_out("first_byte", now)
        elif phase >= HELD and not self.first_token_s and not self.recorded:
            self.await_token(now, limits.first_token_s)
        elif self.reader is not None and self.reader.n_deltas != self.n_deltas:
            self.n_deltas = self.reader.n_deltas
            self.last_data_s = now
        elif not self.paused and now - self.last_data_s > limits.stall_s:
            self.time_out("stall", now)

    def await_token(self, now: float, first_token_s: float) -> None:
        """A stream without a token yet: comments and roles are held a while, never for ever."""
        if now - self.sent_s > first_token_s:
            self.time_out("first_token", now)
        elif self.phase == HELD and self.parts and now - self.head_s > HOLD_S:
            out = self.release()
            if out:
                self.begin(None, out)

    # meter

    @property
    def input_estimate(self) -> int:
        """Input tokens, estimated from sizes [tokens]."""
        return 0 if self.ask is None else self.ask.input_tokens_estimate

    def finish(self, status: str, error_type: str | None, usage: TokenUsage | None) -> None:
        """Settle and write down; the first call counts, whatever happens later."""
        if self.recorded:
            return
        self.recorded = True
        if self.ticket is not None:
            self.leave_gate(usage)
        self.gateway.meter.finish(self, status, error_type, usage)

    def close(self) -> None:
        """Nothing more will happen; nothing may refer back, so that memory is freed at once."""
        self.phase = OVER
        self.responder.handler = None
        self.gateway.done(self)
