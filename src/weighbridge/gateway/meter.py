"""One line per request, its exact cost, and what the counters and limits learn of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.gateway.dialects.ask import TokenUsage
from weighbridge.ledger.lines import AttemptLine, OpenLine, RequestLine
from weighbridge.ledger.spool import encode_line

if TYPE_CHECKING:
    from weighbridge.gateway.access_log import AccessLog
    from weighbridge.gateway.calls import Attempted
    from weighbridge.gateway.exchange import Exchange
    from weighbridge.gateway.live import Live
    from weighbridge.gateway.metrics import Metrics
    from weighbridge.gateway.tracing import Tracer
    from weighbridge.ledger.exact import Pricer
    from weighbridge.ledger.spool import SpoolWriter

NOTHING = TokenUsage()
NO_TOKENS_ENDPOINTS = ("count_tokens", "models")
ANSWER_BYTES_PER_TOKEN = 8  # a JSON answer whose usage is missing: about half of it is text


class Meter:
    """Writes the spool and keeps the counters."""

    __slots__ = ("access_log", "metrics", "spool", "tracer")

    def __init__(
        self,
        spool: SpoolWriter,
        metrics: Metrics,
        access_log: AccessLog | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.spool = spool
        self.metrics = metrics
        self.access_log = access_log
        self.tracer = tracer

    @property
    def is_failing(self) -> bool:
        """Whether lines cannot be written just now."""
        return self.spool.failing is not None

    def open(self, x: Exchange) -> None:
        """A line for a request that has been open for a while, should it never be finished."""
        live, facts, calls = x.live, x.facts, x.calls
        assert live is not None
        target = live.target
        line = OpenLine(
            request_id=x.request_id.decode(),
            started_at_us=int(x.at * 1e6),
            tenant=x.tenant,
            target=target.name,
            provider=target.provider,
            data_class=x.data_class,
            key_id=None if x.key is None else x.key.id,
            rule=None if x.route is None else x.route.rule,
            policy_version=x.setup.policy.version,
            endpoint=x.endpoint,
            attempts=0 if calls is None else calls.n_attempts,
            input_tokens_estimate=x.input_estimate,
        )
        if facts is not None:
            line.feature, line.template = facts.feature, facts.template
            line.model_requested, line.model = facts.model, target.model or facts.model
            line.streamed = x.ask is not None and x.ask.stream
            line.price_state = _price_state(live, x.setup.pricer, facts.model)
        self._write(encode_line(line))

    def finish(
        self, x: Exchange, status: str, error_type: str | None, usage: TokenUsage | None
    ) -> None:
        """Write the request down, settle its claims and count it."""
        setup, live, facts, key = x.setup, x.live, x.facts, x.key
        now = x.gateway.now()
        if usage is None:
            usage = _without_usage(x, status)
        calls = x.calls
        attempts: tuple[Attempted, ...] = ()
        if calls is not None and (calls.n_attempts > 1 or status != "ok"):
            attempts = calls.attempt_log(now)
        line = RequestLine(
            request_id=x.request_id.decode(),
            started_at_us=int(x.at * 1e6),
            status=status,
            price_state="priced",
            http_status=x.told,
            error_type=error_type,
            tenant=x.tenant,
            data_class=x.data_class,
            key_id=None if key is None else key.id,
            policy_version=setup.policy.version,
            endpoint=x.endpoint,
            uncached_input_tokens=usage.uncached_input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            latency_s=round(now - x.arrived_s, 6),
            estimated=usage.estimated,
            prices_digest=setup.pricer.digest,
        )
        model = ""
        if facts is not None:
            line.feature, line.template = facts.feature, facts.template
            line.model_requested = model = facts.model
        if x.route is not None:
            line.rule = x.route.rule
        if x.reader is not None:
            line.streamed = True
        if x.first_token_s:
            line.ttft_s = round(x.first_token_s - x.arrived_s, 6)
        if x.queue_s:
            line.queue_s = round(x.queue_s, 6)
        pico_usd = 0
        target_name = ""
        if live is not None and calls is not None and calls.n_attempts:
            target = live.target
            line.target = target_name = target.name
            line.provider = target.provider
            line.attempts = calls.n_attempts
            pico_usd = _price(line, x, live, usage, attempts)
        else:
            line.list_cost_pico_usd = 0
        encoded = encode_line(line)
        self._write(encoded)
        if x.grant is not None:
            tokens = line.uncached_input_tokens + line.cache_read_tokens + line.cache_write_tokens
            x.grant.settle(tokens + line.output_tokens, pico_usd, now, x.gateway.wall())
            x.grant = None
        if usage.response_id is not None and x.endpoint == "responses" and target_name:
            setup.homes.remember(usage.response_id, target_name)
        self._count(x, model, target_name, status, line, pico_usd)
        if self.access_log is not None:
            self.access_log.write(encoded)
        if self.tracer is not None:
            self.tracer.record(line)

    def _write(self, encoded: bytes) -> None:
        if not self.spool.append(encoded):
            self.metrics.count("unrecorded_lines_total")

    def _count(
        self, x: Exchange, model: str, target: str, status: str, line: RequestLine, pico_usd: int
    ) -> None:
        outcome = status if status != "error" else line.error_type or "error"
        series = self.metrics.series(model if target else "", target, outcome)
        series.n_requests += 1
        series.pico_usd += pico_usd
        tokens = series.tokens
        tokens[0] += line.uncached_input_tokens
        tokens[1] += line.cache_read_tokens
        tokens[2] += line.cache_write_tokens
        tokens[3] += line.output_tokens
        tokens[4] += line.reasoning_tokens
        if line.latency_s is not None:
            series.duration.observe(line.latency_s)
        if line.ttft_s is not None:
            series.ttft.observe(line.ttft_s)
        self.metrics.charge(x.tenant, pico_usd)


def _without_usage(x: Exchange, status: str) -> TokenUsage:
    """Counts where no upstream told any: none before an answer, else estimates marked as such."""
    if x.calls is None or not x.calls.n_attempts or x.endpoint in NO_TOKENS_ENDPOINTS:
        return NOTHING
    if status == "error" or x.facts is None:
        return NOTHING
    n_output_tokens = 0
    if x.endpoint != "embeddings":
        n_output_tokens = x.size // ANSWER_BYTES_PER_TOKEN
    return TokenUsage(
        uncached_input_tokens=x.input_estimate,
        output_tokens=n_output_tokens,
        estimated=("uncached_input_tokens", "output_tokens"),
    )


def _price_state(live: Live, pricer: Pricer, model: str) -> str:
    target = live.target
    if target.self_hosted is not None:
        return "self_hosted"
    name = target.price_model or target.model or model
    return "unpriced" if pricer.lookup(target.provider, name) is None else "priced"


def _price(
    line: RequestLine, x: Exchange, live: Live, usage: TokenUsage, attempts: tuple[Attempted, ...]
) -> int:
    """Fill in model, tier and cost of a request that was sent; answers the cost [10^-12 USD]."""
    target, pricer, ask = live.target, x.setup.pricer, x.ask
    asked = target.model or (ask.model if ask is not None else "")
    line.model = usage.model or asked or None
    line.service_tier = usage.service_tier or target.service_tier
    if attempts:
        line.attempt_log = tuple(_attempt_line(a, x, line) for a in attempts)
    if target.self_hosted is not None:
        line.price_state = "self_hosted"
        return _lost(line)
    prices = None
    if target.price_model is not None:
        prices = pricer.lookup(target.provider, target.price_model)
    elif asked:
        if usage.model is not None:
            prices = pricer.lookup(target.provider, usage.model)
        if prices is None:
            prices = pricer.lookup(target.provider, asked)
    cost = None
    if prices is not None:
        cost = pricer.cost_pico_usd(
            prices,
            line.started_at_us,
            line.uncached_input_tokens,
            line.cache_read_tokens,
            line.cache_write_tokens,
            line.output_tokens,
            line.service_tier,
        )
    if cost is None:
        line.price_state = "unpriced"
        return _lost(line)
    line.list_cost_pico_usd = cost + _lost(line)
    return line.list_cost_pico_usd


def _lost(line: RequestLine) -> int:
    """What attempts cost that were billed and gave nothing [10^-12 USD]."""
    return sum(attempt.list_cost_pico_usd or 0 for attempt in line.attempt_log)


def _attempt_line(attempt: Attempted, x: Exchange, line: RequestLine) -> AttemptLine:
    """One attempt; of one that failed after the provider took it, the input is billed for sure."""
    cost = None
    is_lost = attempt.error_type is not None and attempt.may_be_billed and attempt.http_status < 400
    if is_lost and not x.relaying:
        cost = x.setup.input_cost_pico_usd(attempt.target, x.ask, line.started_at_us)
        if cost:
            line.estimated = (*line.estimated, "list_cost_usd")
    return AttemptLine(
        attempt.target,
        round(attempt.after_s, 6),
        round(attempt.latency_s, 6),
        attempt.http_status,
        attempt.error_type,
        cost,
    )
