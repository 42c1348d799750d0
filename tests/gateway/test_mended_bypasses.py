"""Ways around the limits of a key or of a budget that were found once: each stays closed."""

import json

import pytest

from weighbridge.gateway.dialects.asking import read_ask
from weighbridge.gateway.key_store import KeyStore, KeyTerms
from weighbridge.gateway.live import most_output_tokens

ASK = {"model": "gpt-4o-mini", "input": "hi"}
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"input_tokens": 10, "output_tokens": 10}


async def answered(writer, body: dict) -> None:
    content = json.dumps(body).encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(content), content)
    )


def second_key(h, **terms) -> str:
    """Another key of the tenant, in service."""
    _, key = KeyStore(h.folder / "keys.json").create(KeyTerms(tenant="search", **terms), 0.0, "k2")
    h.worker.reloader.reload()
    return key


def test_a_stored_response_does_not_lead_a_key_to_a_model_it_may_not_ask(
    house, run, scripted
) -> None:
    async def script(up, reader, writer) -> None:
        await answered(writer, {"id": "resp_big", "model": "gpt-5", "usage": USAGE})

    async def main() -> None:
        def change(document) -> None:
            dear = {**document["targets"]["up0"], "url": up.url, "model": "gpt-5"}
            document["targets"]["big"] = dear
            document["models"]["large"] = "big"

        async with scripted(script) as up, house(change) as h:
            narrow = second_key(h, models=("gpt-4o-mini",))
            assert (await h.ask({**ASK, "model": "large"}, "/v1/responses")).status == 200
            body = {**ASK, "previous_response_id": "resp_big"}
            answer = await h.ask(body, "/v1/responses", key=narrow)
            assert (answer.status, answer.json["error"]["code"]) == (403, "model_not_allowed")
            assert len(up.bodies) == 1
            assert (await h.ask(body, "/v1/responses")).status == 200
            assert json.loads(up.bodies[-1])["model"] == "gpt-5"

    run(main)


def test_what_follows_a_stored_response_reserves_the_price_of_its_home(
    house, run, scripted
) -> None:
    async def script(up, reader, writer) -> None:
        await answered(writer, {"id": "resp_big", "model": "gpt-5", "usage": USAGE})

    async def main() -> None:
        def change(document) -> None:
            dear = {**document["targets"]["up0"], "url": up.url, "model": "gpt-5"}
            document["targets"]["big"] = dear
            document["models"]["large"] = "big"

        async with scripted(script) as up, house(change, budgets=("0.05/month",)) as h:
            large = {**ASK, "model": "large", "max_output_tokens": 100}
            assert (await h.ask(large, "/v1/responses")).status == 200
            body = {**ASK, "previous_response_id": "resp_big", "max_output_tokens": 20_000}
            answer = await h.ask(
                body, "/v1/responses"
            )  # 0.2 USD there, 0.012 USD at the model named
            assert answer.status in (402, 429)
            assert len(up.bodies) == 1

    run(main)


FORM = b'--B\r\ncontent-disposition: form-data; name="model"\r\n\r\nsecret\r\n--B--\r\n'


@pytest.mark.parametrize(
    "body",
    [
        FORM,
        b'\xef\xbb\xbf{"model":"secret"}',
        b'{"Model":"secret"}',
        b'[{"model":"secret"}]',
        b'{"model":"secret"}',
        b'{"model":"gpt-4o-mini","model":"secret"}',
        b" ",
    ],
)
def test_a_body_whose_model_is_not_read_does_not_pass_for_a_key_with_models(
    house, run, scripted, body
) -> None:
    async def script(up, reader, writer) -> None:
        await answered(writer, {"text": "x"})

    async def main() -> None:
        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url
            document["other_paths"] = {"/v1/rerank": "up0"}

        async with scripted(script) as up, house(change, models=("gpt-4o-mini",)) as h:
            answer = await h.ask(body, "/v1/rerank")
            assert (answer.status, answer.json["error"]["code"]) == (403, "model_not_allowed")
            assert not up.bodies
            both = b'{"model":"gpt-4o-mini","Model":"secret","query":"q"}'
            assert (await h.ask(both, "/v1/rerank")).status == 200
            assert up.bodies == [b'{"model":"gpt-4o-mini","query":"q"}']
            assert (await h.ask(b"", "/v1/rerank", method="GET")).status == 200

    run(main)


@pytest.mark.parametrize("said", [{}, {"x_weighbridge_data_class": "unheard-of"}])
@pytest.mark.parametrize("kept", [{"pii": ["up0"]}, {"other": ["claude"]}, None])
def test_observing_refuses_no_data_class(house, run, said, kept) -> None:
    def change(document) -> None:
        if kept is not None:
            document["data_classes"] = kept

    async def main() -> None:
        async with house(change, observe=True, data_class="pii") as h:
            assert (await h.ask(**said)).status == 200
            known = kept is not None and "pii" in kept
            assert (await h.one_record()).data_class == ("pii" if known else None)

    run(main)


@pytest.mark.parametrize("where", ["ask", "target"])
def test_a_hard_budget_reserves_at_the_tier_that_is_asked(house, run, where) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["model"] = "gpt-5"  # 10 USD for a million, priority 20 USD
        if where == "target":
            document["targets"]["up0"]["service_tier"] = "priority"

    body = {**CHAT, "max_tokens": 10_000}

    async def main() -> None:
        async with house(change, budgets=("0.15/month",)) as h:
            dear = {**body, "service_tier": "priority"} if where == "ask" else body
            assert (await h.ask(dear)).status in (402, 429)
            assert not h.providers[0].requests
            if where == "ask":
                assert (await h.ask({**body, "service_tier": "flex"})).status == 200

    run(main)


def test_counting_and_embedding_reserve_no_output(house, run) -> None:
    def change(document) -> None:
        document["limits"] = [{"scope": "tenant", "name": "search", "tokens_per_minute": 1000}]

    async def main() -> None:
        async with house(change) as h:
            counted = {**CHAT, "model": "claude-sonnet-4-5"}
            embedded = {"model": "text-embedding-3-small", "input": "hi"}
            refused = {429, 400}  # 4096 output tokens would never fit
            assert (await h.ask(counted, "/v1/messages/count_tokens")).status == 200
            assert (await h.ask(embedded, "/v1/embeddings")).status == 200
            assert (await h.ask(CHAT)).status in refused

    run(main)


def test_every_choice_counts_before_a_cap() -> None:
    ask = read_ask("chat", json.dumps({**CHAT, "max_tokens": 100, "n": 3}).encode())
    assert most_output_tokens(ask, 4096) == 300
    assert most_output_tokens(read_ask("chat", json.dumps({**CHAT, "n": 2}).encode()), 50) == 100
