"""What the clients' own libraries make of our errors and of streams with usage taken out."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from weighbridge.gateway.dialects.answers import StreamReader
from weighbridge.gateway.dialects.errors import error_body, error_event

TRANSCRIPTS = Path(__file__).parent / "transcripts"
HELLO = [{"role": "user", "content": "Hello"}]


class Upstream(http.server.ThreadingHTTPServer):
    """Answers everything with `status`, `kind` and `body`."""

    daemon_threads = True
    status = 200
    kind = "text/event-stream"
    body = b""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.send_header("content-type", self.server.kind)
        self.send_header("content-length", str(len(self.server.body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def of_openai(upstream: Upstream) -> Iterator[openai.OpenAI]:
    url = f"http://127.0.0.1:{upstream.server_port}/v1"
    with openai.OpenAI(api_key="k", base_url=url, max_retries=0) as client:
        yield client


@pytest.fixture
def of_anthropic(upstream: Upstream) -> Iterator[anthropic.Anthropic]:
    url = f"http://127.0.0.1:{upstream.server_port}"
    with anthropic.Anthropic(api_key="k", base_url=url, max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    "name", ["openai_chat", "azure_chat", "vllm_chat_continuous", "openrouter_tools_crlf"]
)
def test_stream_without_usage_reads_as_before(
    name: str, upstream: Upstream, of_openai: openai.OpenAI
) -> None:
    data = (TRANSCRIPTS / f"{name}.sse").read_bytes()
    reader = StreamReader("chat", hide_usage=True, hide_each=True)
    upstream.body = data
    whole = list(of_openai.chat.completions.create(model="m", messages=HELLO, stream=True))
    upstream.body = reader.feed(data) + reader.close()
    hidden = list(of_openai.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert [chunk.choices for chunk in hidden] == [chunk.choices for chunk in whole[:-1]]
    assert not any(chunk.usage for chunk in hidden)


def test_error_after_the_first_token_is_raised(
    upstream: Upstream, of_openai: openai.OpenAI
) -> None:
    data = (TRANSCRIPTS / "llamacpp_chat.sse").read_bytes()
    upstream.body = data[: data.index(b"\n\n", 400) + 2]
    upstream.body += error_event("chat", "upstream_broke", "The upstream broke")
    with pytest.raises(openai.APIError, match="The upstream broke") as raised:
        list(of_openai.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert raised.value.code == "upstream_broke"


def test_error_in_a_stream_of_responses_is_raised(
    upstream: Upstream, of_openai: openai.OpenAI
) -> None:
    upstream.body = error_event("responses", "upstream_broke", "The upstream broke")
    with pytest.raises(openai.APIError, match="The upstream broke"):
        list(of_openai.responses.create(model="m", input="Hello", stream=True))


def test_error_in_a_stream_of_messages_is_raised(
    upstream: Upstream, of_anthropic: anthropic.Anthropic
) -> None:
    upstream.body = error_event("messages", "upstream_broke", "The upstream broke")
    with pytest.raises(anthropic.APIStatusError, match="The upstream broke"):
        list(of_anthropic.messages.create(model="m", max_tokens=1, messages=HELLO, stream=True))


def test_refusals_are_raised_as_each_library_names_them(
    upstream: Upstream, of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic
) -> None:
    upstream.status, upstream.kind = 429, "application/json"
    upstream.body = error_body("openai", 429, "budget_exhausted", "Spent", "r1")
    with pytest.raises(openai.RateLimitError, match="Spent") as raised:
        of_openai.chat.completions.create(model="m", messages=HELLO)
    assert raised.value.code == "budget_exhausted"
    upstream.body = error_body("anthropic", 429, "budget_exhausted", "Spent", "r1")
    with pytest.raises(anthropic.RateLimitError, match="Spent"):
        of_anthropic.messages.create(model="m", max_tokens=1, messages=HELLO)
