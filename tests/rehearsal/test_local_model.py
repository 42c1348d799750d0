"""The real small model: it answers, says what it used, and tells of its load."""

import sys
from collections.abc import Iterator

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from weighbridge.rehearsal import local_model
from weighbridge.rehearsal.local_model import LocalModel, ModelSettings, available

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

GREETING = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    with LocalModel(ModelSettings(n_threads=1, context_tokens=512)) as running:
        yield running


@pytest.fixture(scope="module")
def client(model: LocalModel) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{model.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_a_chat_is_answered_with_its_usage(model: LocalModel, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=model.name, messages=GREETING, max_tokens=6)
    assert answer.choices[0].message.content
    assert answer.model == model.name
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert 0 < answer.usage.completion_tokens <= 6


def test_a_stream_ends_with_its_usage(model: LocalModel, client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model.name,
            messages=GREETING,
            max_tokens=6,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_metrics_tell_of_requests_running_and_waiting(client: openai.OpenAI) -> None:
    text = client.with_options(base_url=str(client.base_url).removesuffix("v1/")).get(
        "/metrics", cast_to=str
    )
    named = {family.name for family in text_string_to_metric_families(text)}
    assert {
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
        "llamacpp:prompt_tokens",
        "llamacpp:tokens_predicted",
    } <= named


def test_the_process_ends_with_the_block() -> None:
    with LocalModel(ModelSettings(n_threads=1, context_tokens=256, n_slots=1)) as running:
        process = running._process
        assert process is not None
    assert process.returncode == 0


def test_weights_are_found_without_importing_their_package() -> None:
    assert local_model.weights() is not None
    assert local_model.WEIGHTS_PACKAGE not in sys.modules
