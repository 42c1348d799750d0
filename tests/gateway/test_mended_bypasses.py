"""Ways around the limits of a key or of a budget that were found once: each stays closed."""

import json

import pytest

from weighbridge.gateway.dialects.asking import read_ask
from weighbridge.gateway.homes import StateHomes
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


async def in_background(up, reader, writer) -> None:
    """Queued first, in progress at the second look, done from the third on."""
    is_done = len(up.heads) > 2
    status = "completed" if is_done else "queued"
    usage = {"input_tokens": 100, "output_tokens": 100_000} if is_done else None
    said = {"id": "resp_1", "status": status, "model": "gpt-4o-mini", "usage": usage}
    await answered(writer, said)


@pytest.mark.parametrize("ends_with", ["GET", "cancel"])
def test_what_was_made_in_the_background_is_booked_once_when_it_is_fetched(
    house, run, scripted, ends_with
) -> None:
    async def main() -> None:
        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url

        async with scripted(in_background) as up, house(change) as h:
            assert (await h.ask({**ASK, "background": True}, "/v1/responses")).status == 200
            await h.ask(path="/v1/responses/resp_1", method="GET")
            if ends_with == "cancel":
                await h.ask(b"", "/v1/responses/resp_1/cancel")
            for _ in range(2):
                await h.ask(path="/v1/responses/resp_1", method="GET")
            n = 5 if ends_with == "cancel" else 4
            await h.until(lambda: len(h.records()) == n)
            booked = [record.output_tokens for record in h.records()]
            assert booked == [0, 0, 100_000, 0, 0][:n]
            costs = [record.list_cost_pico_usd for record in h.records()]
            assert costs[2] == 100 * 150_000 + 100_000 * 600_000
            assert sum(costs) == costs[2]
            assert h.records()[0].estimated == ("uncached_input_tokens", "output_tokens")

    run(main)


@pytest.mark.parametrize("asked", [True, "true", 1])
def test_a_hard_budget_lets_nothing_be_made_in_the_background(house, run, asked) -> None:
    async def main() -> None:
        async with house(budgets=("100/month",)) as h:
            answer = await h.ask({**ASK, "background": asked}, "/v1/responses")
            assert (answer.status, answer.json["error"]["code"]) == (400, "background_not_allowed")
            assert not h.providers[0].requests
            for said in (False, None):
                answer = await h.ask({**ASK, "background": said}, "/v1/responses")
                assert answer.status == 200

    run(main)


def test_a_soft_budget_lets_responses_be_made_in_the_background(house, run, scripted) -> None:
    async def main() -> None:
        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url

        async with scripted(in_background) as up, house(change, budgets=("1/month:soft",)) as h:
            assert (await h.ask({**ASK, "background": True}, "/v1/responses")).status == 200

    run(main)


def test_what_is_owed_is_known_to_other_workers_and_paid_once(tmp_path) -> None:
    mine, other = StateHomes(tmp_path / "homes"), StateHomes(tmp_path / "homes")
    mine.remember("resp_1", "up0", "search")
    mine.owe("resp_1")
    assert other.owes("resp_1")
    assert other.home_of("resp_1").target == "up0"
    other.pay("resp_1")
    assert not mine.owes("resp_1")
    assert not StateHomes(tmp_path / "homes").owes("resp_1")
