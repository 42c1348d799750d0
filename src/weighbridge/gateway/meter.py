"""One line per request, its exact cost, and what the counters and limits learn of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.gateway.dialects.ask import TokenUsage
from weighbridge.ledger.lines import AttemptLine, OpenLine, RequestLine, SketchLine
from weighbridge.ledger.prompt_shape import SketchBudget
from weighbridge.ledger.spool import encode_line
from weighbridge.policy.types import Facts

if TYPE_CHECKING:
    from weighbridge.gateway.access_log import AccessLog
    from weighbridge.gateway.budgets import Events
    from weighbridge.gateway.calls import Attempted
    from weighbridge.gateway.exchange import Exchange
    from weighbridge.gateway.live import Live
    from weighbridge.gateway.metrics import Metrics, Series
    from weighbridge.gateway.tracing import Tracer
    from weighbridge.gateway.wire.outbox import Outbox
    from weighbridge.ledger.exact import Pricer
    from weighbridge.ledger.prompt_shape import Sketch
    from weighbridge.ledger.spool import SpoolWriter

NOTHING = TokenUsage()
TRUSTED_AFTER_S = 1.0  # a spool that lost a line has to work for so long
TELL_EVERY_S = 60.0  # of one target
NO_FACTS = Facts("openai", "")
NO_TOKENS_ENDPOINTS = ("count_tokens", "models")
UNREAD_ENDPOINTS = ("other", "models")
MOST_PICO_USD = 10**18 - 1  # what a row of the ledger can hold: 999,999.999999999999 USD
ANSWER_BYTES_PER_TOKEN = 8  # a JSON answer whose usage is missing: about half of it is text


class Meter:
    """Writes the spool and keeps the counters."""

    __slots__ = (
        "_has_lost",
        "_lines",
        "_outbox",
        "_sketched",
        "_tell",
        "_told_s",
        "_trusted_from_s",
        "access_log",
        "metrics",
        "opened",
        "sketches",
        "spool",
        "tracer",
    )

    def __init__(  # noqa: PLR0913 - what it writes to, and one by name
        self,
        spool: SpoolWriter,
        metrics: Metrics,
        outbox: Outbox,
        access_log: AccessLog | None = None,
        tracer: Tracer | None = None,
        *,
        tell: Events,
    ) -> None:
        self.spool = spool
        self.metrics = metrics
        self.access_log = access_log
        self.tracer = tracer
        self._lines: list[tuple[RequestLine, int]] = []  # with their costs [10^-12 USD]
        self.opened: dict[bytes, OpenLine] = {}  # by request id: seen open, and not finished yet
        self.sketches = SketchBudget()  # which names get one
        self._sketched: list[bytes] = []  # lines of those, to be written with the next requests
        self._outbox = outbox
        self._tell = tell
        self._told_s: dict[str, float] = {}  # by target: when its contradictions were told last
        self._has_lost = False
        self._trusted_from_s = 0.0

    def is_failing(self, now: float) -> bool:
        """Whether lines cannot be written, or could not a moment ago.

        On a disk that is all but full a short line may still fit where the next one does not.
        """
        if self._has_lost or self.spool.failing is not None:
            self._has_lost = False
            self._trusted_from_s = now + TRUSTED_AFTER_S
            return True
        return now < self._trusted_from_s

    def open(self, x: Exchange) -> None:
        """A line for a request that has been open for a while, should it never be finished."""
        live, facts, calls = x.live, x.facts or NO_FACTS, x.calls
        assert live is not None
        target = live.target
        line = OpenLine(
            request_id=x.request_id.decode(),
            started_at_us=int(x.at * 1e6),
            tenant=x.tenant,
            feature=facts.feature,
            template=facts.template,
            provider=target.provider,
            model_requested=facts.model or None,
            model=target.model or facts.model or None,
            target=target.name,
            data_class=x.data_class,
            key_id=None if x.key is None else x.key.id,
            rule=None if x.route is None else x.route.rule,
            policy_version=x.setup.policy.version,
            endpoint=x.endpoint,
            streamed=x.ask is not None and x.ask.stream,
            attempts=0 if calls is None else calls.n_attempts,
            price_state=_price_state(live, x.setup.pricer, facts.model),
            input_tokens_estimate=x.input_estimate,
            input_cost_pico_usd=x.setup.input_cost_pico_usd(target.name, x.ask, int(x.at * 1e6)),
            service_tier=target.service_tier,
        )
        self.opened[x.request_id] = line
        if not self.spool.append(encode_line(line)):
            self.metrics.count("unrecorded_lines_total")

    def finish(
        self, x: Exchange, status: str, error_type: str | None, usage: TokenUsage | None
    ) -> None:
        """Write the request down, settle its claims and count it; a stranger's is only counted."""
        if x.tenant is None:  # anybody can send these, and fill the disk
            self.metrics.count(f'strangers_total{{outcome="{error_type}"}}')
            return
        now = x.gateway.now()
        if usage is None:
            usage = _without_usage(x, status)
        line = _line(x, status, error_type, usage, now)
        live, calls = x.live, x.calls
        pico_usd = 0
        if live is not None and calls is not None and calls.n_attempts:
            line.target = live.target.name
            line.provider = live.target.provider
            line.attempts = calls.n_attempts
            if calls.n_attempts > 1 or status != "ok":
                log = calls.attempt_log(now)
                own = None if usage is NOTHING else log[-1]  # what it took stands on the line
                line.attempt_log = tuple(_attempt(a, x, line, is_own=a is own) for a in log)
            pico_usd = _price(line, x, live, usage)
            if usage.contradiction is not None:
                self._contradicted(live.target.name, usage.contradiction, now)
        else:
            line.list_cost_pico_usd = 0
        if x.opened:
            self.opened.pop(x.request_id, None)
        if not self._lines:
            self._outbox.wake()
        self._lines.append((line, pico_usd))
        if x.grant is not None:
            tokens = line.uncached_input_tokens + line.cache_read_tokens + line.cache_write_tokens
            x.grant.settle(tokens + line.output_tokens, pico_usd, now, x.gateway.wall())
            x.grant = None

    def sketch(self, one: Sketch, key_id: str) -> None:
        """Keep a sketch of a prompt; it is written down with the next requests."""
        line = SketchLine(fingerprint=one.fingerprint, key_id=key_id, segments=one.segments.hex())
        self._sketched.append(encode_line(line))

    def _contradicted(self, target: str, words: str, now: float) -> None:
        """Counts that cannot all be true: each is counted, one a while is told in its words."""
        self.metrics.count(f'usage_contradictions_total{{target="{target}"}}')
        if now - self._told_s.get(target, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told_s[target] = now
            self._tell("usage_contradiction", f"{target} reports {words}")

    def flush(self) -> None:
        """Write down what was finished in this turn of the loop: before any of it is answered."""
        lines = self._lines
        if not lines:
            return
        self._lines = []
        encoded = [encode_line(line) for line, _ in lines]
        sketched = self._sketched
        if sketched:
            self._sketched = []
        if not self.spool.append_many(sketched + encoded if sketched else encoded):
            self._has_lost = True
            self.metrics.count("unrecorded_lines_total", len(lines))
        for line, pico_usd in lines:
            self._count(line, pico_usd)
        if self.access_log is not None:
            for text in encoded:
                self.access_log.write(text)
        if self.tracer is not None:
            for line, _ in lines:
                self.tracer.record(line)

    def _count(self, line: RequestLine, pico_usd: int) -> None:
        outcome = line.status if line.error_type is None else line.error_type
        target = line.target or ""
        series = self.metrics.series(line.model_requested or "", target, outcome)
        series.n_requests += 1
        if target:  # what was never sent has neither tokens nor cost, nor a duration worth a mean
            self._count_sent(series, line, pico_usd)
        self.metrics.charge(line.tenant, pico_usd)

    def _count_sent(self, series: Series, line: RequestLine, pico_usd: int) -> None:
        series.pico_usd += pico_usd
        uncached, read, written = (
            line.uncached_input_tokens,
            line.cache_read_tokens,
            line.cache_write_tokens,
        )
        n_input, n_output = uncached + read + written, line.output_tokens
        if n_input or n_output:
            tokens = series.tokens
            tokens[0] += uncached
            tokens[1] += read
            tokens[2] += written
            tokens[3] += n_output
            tokens[4] += line.reasoning_tokens
            series.input_sizes.observe(n_input)
            if n_output:
                series.output_sizes.observe(n_output)
        if line.attempt_log:
            self._count_attempts(line)
        if line.latency_s is not None:
            series.duration.observe(line.latency_s)
        if line.ttft_s is not None:
            series.ttft.observe(line.ttft_s)

    def _count_attempts(self, line: RequestLine) -> None:
        """Repeats and failures of upstream calls; their error types are a closed set."""
        count = self.metrics.count
        if line.attempts > 1:
            count("retries_total", line.attempts - 1)
        for one in line.attempt_log:
            if one.error_type is not None:
                labels = f'target="{one.target}",error_type="{one.error_type}"'
                count(f"failed_attempts_total{{{labels}}}")


def _line(
    x: Exchange, status: str, error_type: str | None, usage: TokenUsage, now: float
) -> RequestLine:
    facts, key, route = x.facts or NO_FACTS, x.key, x.route
    first_token_s = x.first_token_s
    return RequestLine(  # by position, as the fields stand: by name it costs eight times as much
        x.request_id.decode(),
        int(x.at * 1e6),
        status,
        "priced",
        x.told,
        error_type,
        x.tenant,
        facts.feature,
        facts.template,
        None,  # provider: this, model, target and tier are known of requests that were sent
        facts.model or None,
        None,
        None,
        None,
        x.data_class,
        None if key is None else key.id,
        None if route is None else route.rule,
        x.setup.policy.version,
        x.endpoint,
        x.reader is not None,
        0,
        (),
        usage.uncached_input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        int((now - x.arrived_s) * 1e6) / 1e6,
        int((first_token_s - x.arrived_s) * 1e6) / 1e6 if first_token_s else None,
        x.queue_s,
        None,
        usage.estimated,
        x.setup.pricer.digest,
    )


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


def _price(line: RequestLine, x: Exchange, live: Live, usage: TokenUsage) -> int:
    """Fill in model, tier and cost of a request that was sent; answers the cost [10^-12 USD]."""
    target, pricer = live.target, x.setup.pricer
    asked = target.model or line.model_requested
    line.model = usage.model or asked
    line.service_tier = usage.service_tier or target.service_tier
    lost = _lost(line) if line.attempt_log else 0
    if target.self_hosted is not None:
        line.price_state = "self_hosted"
        return lost
    prices = pricer.lookup(target.provider, target.price_model or line.model or "")
    if prices is None and asked is not None:  # an answer may name a version that no list has
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
    if cost is None and not _costs_nothing(line, x):
        line.price_state = "unpriced"
        return lost
    cost = (cost or 0) + lost
    if cost > MOST_PICO_USD:  # no such answer was ever given: the upstream counts wrongly
        line.price_state = "unpriced"
        return lost
    line.list_cost_pico_usd = cost
    return cost


def _costs_nothing(line: RequestLine, x: Exchange) -> bool:
    """Of other paths: what tells of no tokens and no model, and whatever is only looked at."""
    if line.endpoint not in UNREAD_ENDPOINTS or line.output_tokens:
        return False
    if line.uncached_input_tokens or line.cache_read_tokens or line.cache_write_tokens:
        return False
    return line.model is None or x.request.method != b"POST"


def _lost(line: RequestLine) -> int:
    """What attempts cost that were billed and gave nothing [10^-12 USD]."""
    return sum(attempt.list_cost_pico_usd or 0 for attempt in line.attempt_log)


def _attempt(attempt: Attempted, x: Exchange, line: RequestLine, is_own: bool) -> AttemptLine:
    """One attempt; of one that failed after the provider took it, the input is billed for sure."""
    cost = None
    is_lost = attempt.error_type is not None and attempt.may_be_billed and attempt.http_status < 400
    if is_lost and not is_own:
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
