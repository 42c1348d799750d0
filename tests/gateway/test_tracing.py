"""Traces as a collector receives them over OTLP/HTTP."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from weighbridge.gateway.settings import OtlpSettings
from weighbridge.gateway.tracing import build_tracer
from weighbridge.ledger.lines import RequestLine
from weighbridge.rehearsal.provider_settings import Fault
from weighbridge.units import InputError

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


class Collector(ThreadingHTTPServer):
    """Takes spans on loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def spans(self) -> list:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.append(self.path)
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def told(attributes) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def finished(n: int = 1, **said: object) -> list[RequestLine]:
    return [
        RequestLine(
            request_id=f"r{i}", started_at_us=10**15, status="ok", price_state="priced", **said
        )
        for i in range(n)
    ]


def test_a_request_is_one_span_in_genai_names_with_its_attempts_as_events(
    house, run, collector
) -> None:
    def change(document) -> None:
        document["otlp"] = {"endpoint": collector.endpoint}

    async def main():
        async with house(change, n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="status_500"))
            await h.ask(x_weighbridge_feature="support")
            return await h.one_record(), int(h.providers[1].url.rpartition(":")[2])

    record, port = run(main)
    assert collector.paths == ["/v1/traces"]
    (span,) = collector.spans
    assert span.name == "chat gpt-4o-mini"
    assert span.start_time_unix_nano == record.started_at_us * 1000
    length_s = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    assert length_s == pytest.approx(record.latency_s)
    attributes = told(span.attributes)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": record.model,
        "gen_ai.usage.input_tokens": record.uncached_input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        "server.address": "127.0.0.1",
        "server.port": port,
        "weighbridge.request_id": record.request_id,
        "weighbridge.feature": "support",
    }
    assert expected.items() <= attributes.items()
    assert "error.type" not in attributes
    first, second = ((event.name, told(event.attributes)) for event in span.events)
    assert first[0] == second[0] == "attempt"
    assert (first[1]["weighbridge.target"], first[1]["error.type"]) == ("up0", "500")
    assert second[1]["weighbridge.target"] == "up1"
    resource = collector.requests[0].resource_spans[0].resource
    assert told(resource.attributes)["service.name"] == "weighbridge"


def test_a_failed_request_has_its_error_and_no_prompt_or_key_is_sent(house, run, collector) -> None:
    def change(document) -> None:
        document["otlp"] = {"endpoint": f"{collector.endpoint}/v1/traces"}

    async def main() -> str:
        async with house(change) as h:
            await h.ask({**CHAT, "model": "gpt-9"})
            return h.key

    key = run(main)
    assert collector.paths == ["/v1/traces"]
    (span,) = collector.spans
    assert told(span.attributes)["error.type"] == "no_rule"
    assert span.status.code == span.status.STATUS_CODE_ERROR
    sent = b"".join(request.SerializeToString() for request in collector.requests)
    assert b"hello" not in sent
    assert key.encode() not in sent
    assert b"sk-upstream" not in sent


def test_a_share_is_drawn_before_any_span_is_made(collector, monkeypatch) -> None:
    draws = iter([0.1, 0.9, 0.24, 0.26])
    settings = OtlpSettings(endpoint=collector.endpoint, sample_frac=0.25)
    tracer = build_tracer(settings, "gateway.yaml", lambda: next(draws))
    made: list[str] = []
    start = tracer._tracer.start_span
    monkeypatch.setattr(
        tracer._tracer, "start_span", lambda name, **said: made.append(name) or start(name, **said)
    )
    for line in finished(4, endpoint="chat"):
        tracer.record(line)
    tracer.stop()
    assert len(made) == 2
    names = [told(span.attributes)["weighbridge.request_id"] for span in collector.spans]
    assert names == ["r0", "r2"]


def test_many_spans_go_in_batches(collector) -> None:
    tracer = build_tracer(OtlpSettings(endpoint=collector.endpoint), "gateway.yaml", lambda: 0.0)
    for line in finished(600, endpoint="chat"):
        tracer.record(line)
    tracer.stop()
    assert len(collector.spans) == 600
    assert len(collector.requests) <= 4


def test_without_the_extra_the_configuration_is_refused_and_says_what_to_install(
    monkeypatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "weighbridge.gateway.otlp", raising=False)
    settings = OtlpSettings(endpoint="http://127.0.0.1:4318")
    with pytest.raises(InputError, match=r"pip install 'weighbridge\[otlp\]'"):
        build_tracer(settings, "gateway.yaml", lambda: 0.0)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (OtlpSettings(endpoint="127.0.0.1:4318"), "otlp.endpoint"),
        (OtlpSettings(endpoint="grpc://127.0.0.1:4317"), "otlp.endpoint"),
        (OtlpSettings(endpoint="http://127.0.0.1:4318", sample_frac=1.5), "otlp.sample_frac"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(settings, field) -> None:
    with pytest.raises(InputError) as caught:
        build_tracer(settings, "gateway.yaml", lambda: 0.0)
    assert caught.value.field == field


def test_nothing_of_the_sdk_is_imported_where_nobody_asks_for_traces(
    run_python: Callable[[str], str],
) -> None:
    code = "import sys, weighbridge.gateway.worker; print('opentelemetry' in sys.modules)"
    assert run_python(code) == "False"


@pytest.fixture
def run_python() -> Callable[[str], str]:
    def go(code: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return done.stdout.decode().strip()

    return go
