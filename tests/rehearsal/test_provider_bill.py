"""The bill is the truth: it equals what was said, and what was made when a client left."""

import asyncio
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import (
    Cache,
    Latency,
    Model,
    Settings,
    pico_usd_per_token,
    read_settings,
)
from weighbridge.units import InputError

WARM = Cache(hit_probability=0.5, block_tokens=1, least_tokens=1)
PRICES = (Decimal("2.5"), Decimal("1.25"), Decimal("3.75"), Decimal("10.4"))
PRICED = Model(
    "priced", *PRICES, output_median_tokens=12, output_max_tokens=60, reasoning_frac=0.4, cache=WARM
)
TOOL = {
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@st.composite
def asks(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A path and a body that answers with its usage."""
    text = "word " * draw(st.integers(1, 60)) + str(draw(st.integers(0, 10**9)))
    stream = draw(st.booleans())
    kind = draw(st.sampled_from(["chat", "completions", "responses", "messages", "embeddings"]))
    most = draw(st.integers(1, 40))
    asked = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    match kind:
        case "chat":
            body = {"messages": [{"role": "user", "content": text}], "max_tokens": most, **asked}
            body["n"] = draw(st.integers(1, 3))
            if draw(st.booleans()):
                body["tools"] = [{"type": "function", "function": TOOL}]
                body["tool_choice"] = "required"
            path = "/v1/chat/completions"
        case "completions":
            body, path = {"prompt": text, "max_tokens": most, **asked}, "/v1/completions"
        case "responses":
            body, path = (
                {"input": text, "max_output_tokens": most, "stream": stream},
                "/v1/responses",
            )
        case "messages":
            block: dict[str, Any] = {"type": "text", "text": text}
            if draw(st.booleans()):
                block["cache_control"] = {"type": "ephemeral"}
            body = {"messages": [{"role": "user", "content": [block]}], "max_tokens": most}
            body["stream"], path = stream, "/v1/messages"
        case _:
            body, path = {"input": [text, text]}, "/v1/embeddings"
    return path, {"model": "priced", **body}


def _usage(path: str, got: Any) -> Counter[str]:
    """Disjoint buckets from the answer's own words."""
    status, headers, content = got.parsed()
    assert status == 200
    told: dict[str, Any] = {}
    if headers["content-type"].startswith("text/event-stream"):
        for line in content.decode().splitlines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                for holder in (event, event.get("message") or {}, event.get("response") or {}):
                    told.update(holder.get("usage") or {})
    else:
        told = json.loads(content)["usage"]
    if path == "/v1/messages":
        read, write = told["cache_read_input_tokens"], told["cache_creation_input_tokens"]
        fresh, out = told["input_tokens"], told["output_tokens"]
    else:
        names = ("input_tokens", "output_tokens") if "responses" in path else _CHAT_NAMES
        details = told.get(f"{names[0]}_details") or {}
        read, write = details.get("cached_tokens", 0), 0
        fresh, out = told[names[0]] - read, told.get(names[1], 0)
    return Counter(
        uncached_input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=out,
    )


_CHAT_NAMES = ("prompt_tokens", "completion_tokens")


@given(requests=st.lists(asks(), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_bill_is_the_sum_of_the_usage_told(
    client: Any, requests: list[tuple[str, dict[str, Any]]], seed: int
) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0, seed=seed, models=(PRICED,))) as p:
            answers = [client.ask(p.url, path, body) for path, body in requests]
            told = await asyncio.gather(*answers)
            used = sum(
                (_usage(path, got) for (path, _), got in zip(requests, told, strict=True)),
                Counter(),
            )
            total = p.bill()["total"]
            assert total["n_requests"] == len(requests)
            assert {name: total[name] for name in used} == dict(used)
            order = (
                "uncached_input_tokens",
                "cache_read_tokens",
                "cache_write_tokens",
                "output_tokens",
            )
            usd = sum(used[name] * price for name, price in zip(order, PRICES, strict=True))
            assert Decimal(total["cost_pico_usd"]).scaleb(-12) == usd / 10**6
            lines = p.bill()["lines"]
            assert sum(line["cost_pico_usd"] for line in lines) == total["cost_pico_usd"]

    client.run(scene)


def test_a_client_that_leaves_pays_for_what_was_made(client: Any) -> None:
    slow = Model(
        "slow",
        *PRICES,
        output_median_tokens=500,
        output_log_sd=0,
        latency=Latency(0.0, 0.0, 0.005, 0.0),
        cache=Cache(hit_probability=0),
    )

    async def scene() -> None:
        async with Provider(Settings(models=(slow,))) as p:
            body = {"model": "slow", "messages": client.chat["messages"], "stream": True}
            wire = await client.open(p.url, "/v1/chat/completions", body)
            seen = b""
            while seen.count(b"data: ") < 4:
                seen += await wire.reader.read(65536)
            await wire.leave()
            await client.until(lambda: p.stats()["n_cancelled_by_client"] == 1)
            (line,) = p.bill()["lines"]
            assert line["cancelled"]
            assert not line["complete"]
            assert 3 <= line["output_tokens"] < 500
            assert line["uncached_input_tokens"] > 0
            expected = line["uncached_input_tokens"] * 2_500_000
            expected += line["output_tokens"] * 10_400_000
            assert line["cost_pico_usd"] == expected

            body["stream"] = False
            wire = await client.open(p.url, "/v1/chat/completions", body)
            await client.until(lambda: p.stats()["n_in_flight"] == 1)
            await wire.leave()
            await client.until(lambda: p.stats()["n_cancelled_by_client"] == 2)
            line = p.bill()["lines"][1]
            assert line["output_tokens"] < 500
            assert (line["http_status"], line["cancelled"]) == (0, True)

    client.run(scene)


def test_a_line_names_the_answer_by_its_ids(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0)) as p:
            path = "/v1/chat/completions"
            got = await client.ask(p.url, path, client.chat, x_request_id="from-me")
            (line,) = p.bill()["lines"]
            assert line["id"] == got.json()["id"]
            assert line["request_id"] == got.parsed()[1]["x-request-id"]
            assert line["client_request_id"] == "from-me"

    client.run(scene)


def test_totals_stay_exact_when_lines_are_dropped(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0, n_bill_lines_kept=2)) as p:
            for _ in range(3):
                await client.ask(p.url, "/v1/chat/completions", client.chat)
            bill = p.bill()
            assert (len(bill["lines"]), bill["n_lines_dropped"]) == (2, 1)
            assert bill["total"]["n_requests"] == 3
            p.reset()
            assert p.bill()["total"]["n_requests"] == 0

    client.run(scene)


def test_what_is_in_flight_when_all_is_forgotten_still_ends(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0, n_slots=1)) as p:
            wire = await client.open(
                p.url, "/v1/chat/completions", client.chat, x_rehearsal_fault="hang"
            )
            await client.until(lambda: p.stats()["by_fault"] == {"hang": 1})
            p.reset()
            assert (p.stats()["n_requests"], p.stats()["n_in_flight"]) == (0, 1)
            await wire.leave()
            await client.until(lambda: p.stats()["n_in_flight"] == 0)
            await client.ask(p.url, "/v1/chat/completions", client.chat)
            assert p.bill()["total"]["output_tokens"] > 0

    client.run(scene)


def test_prices_are_whole_picodollars_a_token() -> None:
    assert pico_usd_per_token(PRICED) == (2_500_000, 1_250_000, 3_750_000, 10_400_000)
    with pytest.raises(ValueError, match="six decimal places"):
        Settings(models=(Model("fine", Decimal("0.0000001")),))


def test_a_settings_file_is_read_with_exact_prices(tmp_path: Any) -> None:
    file = tmp_path / "provider.yaml"
    file.write_text("speed: 0\nmodels:\n- {name: m, input_usd_per_mtok: 0.1}\n")
    read = read_settings(file, seed=7)
    assert read.models[0].input_usd_per_mtok == Decimal("0.1")
    assert (read.speed, read.seed) == (0, 7)


@pytest.mark.parametrize(
    ("text", "field", "problem"),
    [
        ("speeed: 1\n", "", "unknown field `speeed`"),
        ("models:\n- {name: m, output_max_tokens: many}\n", "models[0].output_max_tokens", "`int`"),
        ("speed: -1\n", "", "out of its range"),
        ("- a list\n", "", "holds no settings"),
        ("speed: [\n", "", "cannot be read"),
    ],
)
def test_a_wrong_settings_file_is_told_by_field(
    tmp_path: Any, text: str, field: str, problem: str
) -> None:
    file = tmp_path / "provider.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_settings(file)
    assert caught.value.field == field
    assert problem in caught.value.problem
