"""Requests whose state is held upstream: they stay with the target that holds it."""

import json

import pytest

from weighbridge.gateway.homes import StateHomes
from weighbridge.gateway.key_store import KeyStore, KeyTerms

BODY = {"model": "gpt-4o-mini", "input": "hello", "max_output_tokens": 9}


def weighted(document) -> None:
    """Both targets by weight, without a fallback: chance decides of what has no state."""
    targets = [{"target": "up0", "weight": 1}, {"target": "up1", "weight": 1}]
    document["models"]["gpt-4o-mini"] = {"targets": targets}


async def answered(up, reader, writer, body: dict, status: bytes = b"200 OK") -> None:
    content = json.dumps(body).encode()
    writer.write(
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (status, len(content), content)
    )


@pytest.mark.parametrize("stream", [False, True])
def test_what_follows_a_response_goes_to_the_target_that_holds_it(house, run, stream) -> None:
    async def main() -> None:
        async with house(weighted, n_providers=2) as h:
            draws = iter([0.1, 0.9] * 20)
            h.worker.gateway.random = lambda: next(draws)
            for index in range(6):
                first = await h.ask({**BODY, "stream": stream}, "/v1/responses", user=str(index))
                await h.until(lambda n=index: len(h.records()) >= 2 * n + 1)
                if stream:
                    events = [e for e in first.body.split(b"\n\n") if b"response.created" in e]
                    made = json.loads(events[0].split(b"data: ")[1])["response"]["id"]
                else:
                    made = first.json["id"]
                home = h.records()[-1].target
                h.worker.gateway.random = lambda home=home: 0.9 if home == "up0" else 0.1
                second = await h.ask({**BODY, "previous_response_id": made}, "/v1/responses")
                assert second.status == 200, second.body
                await h.until(lambda n=index: len(h.records()) == 2 * n + 2)
                assert h.records()[-1].target == home
                h.worker.gateway.random = lambda: next(draws)
            assert {record.target for record in h.records()} == {"up0", "up1"}

    run(main)


def test_what_follows_a_response_is_not_tried_elsewhere_when_its_target_fails(
    house, run, scripted
) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            if b"previous" in up.bodies[-1]:
                await answered(up, reader, writer, {"error": {"message": "x"}}, b"500 Oops")
            else:
                usage = {"input_tokens": 1, "output_tokens": 1}
                await answered(up, reader, writer, {"id": "resp_1", "usage": usage})

        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url

        async with scripted(script) as up, house(change, n_providers=2) as h:
            assert (await h.ask(BODY, "/v1/responses")).status == 200
            answer = await h.ask({**BODY, "previous_response_id": "resp_1"}, "/v1/responses")
            assert answer.status == 500
            assert h.providers[1].stats()["n_requests"] == 0

    run(main)


def test_an_unknown_response_gets_the_upstreams_own_words(house, run) -> None:
    async def main() -> None:
        async with house(n_providers=2) as h:
            answer = await h.ask({**BODY, "previous_response_id": "resp_none"}, "/v1/responses")
            assert answer.status == 400
            assert answer.json["error"]["code"] == "previous_response_not_found"
            record = await h.one_record()
            assert (record.attempts, record.list_cost_pico_usd) == (1, 0)

    run(main)


def test_state_never_leads_a_request_where_its_data_class_may_not_go(house, run) -> None:
    def change(document) -> None:
        weighted(document)
        document["data_classes"] = {"public": ["up0", "up1", "claude"], "secret": ["up1"]}

    async def main() -> None:
        async with house(change, n_providers=2, data_class="public") as h:
            h.worker.gateway.random = lambda: 0.1
            made = (await h.ask(BODY, "/v1/responses")).json["id"]
            body = {**BODY, "previous_response_id": made}
            answer = await h.ask(body, "/v1/responses", x_weighbridge_data_class="secret")
            assert answer.status == 403
            assert answer.json["error"]["code"] == "data_class"
            assert h.providers[0].stats()["n_requests"] == 1
            got = await h.ask(
                path=f"/v1/responses/{made}", method="GET", x_weighbridge_data_class="secret"
            )
            assert got.status == 403
            assert h.providers[0].stats()["n_requests"] == 1

    run(main)


def test_a_stored_response_is_fetched_where_it_is_and_costs_nothing_twice(
    house, run, scripted
) -> None:
    async def main() -> None:
        usage = {"input_tokens": 10, "output_tokens": 20}

        async def script(up, reader, writer) -> None:
            said = {"id": "resp_7", "model": "gpt-4o-mini", "usage": usage}
            await answered(up, reader, writer, said)

        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url

        async with scripted(script) as up, house(change, n_providers=2) as h:
            await h.ask(BODY, "/v1/responses")
            for method in ("GET", "DELETE"):
                answer = await h.ask(path="/v1/responses/resp_7", method=method)
                assert (answer.status, answer.json["id"]) == (200, "resp_7")
            await h.until(lambda: len(h.records()) == 3)
            made, *later = h.records()
            assert made.output_tokens == 20
            for record in later:
                assert (record.target, record.output_tokens, record.estimated) == ("up0", 0, ())
                assert not record.list_cost_pico_usd
            assert up.heads[-1].startswith(b"DELETE /v1/responses/resp_7 ")

    run(main)


def test_a_response_made_in_the_background_is_found_again(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            said = {"id": "resp_bg", "status": "queued", "model": "gpt-4o-mini", "usage": None}
            await answered(up, reader, writer, said)

        def change(document) -> None:
            weighted(document)
            document["targets"]["up1"]["url"] = up.url

        async with scripted(script) as up, house(change, n_providers=2) as h:
            h.worker.gateway.random = lambda: 0.9
            await h.ask({**BODY, "background": True}, "/v1/responses")
            answer = await h.ask(path="/v1/responses/resp_bg", method="GET")
            assert (answer.status, answer.json["id"]) == (200, "resp_bg")

    run(main)


def test_a_stored_response_that_nobody_knows_is_not_found(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask(path="/v1/responses/resp_none", method="GET")
            assert answer.status == 404
            assert not h.providers[0].requests

    run(main)


def test_another_tenant_does_not_reach_a_stored_response(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            said = {"id": "resp_7", "usage": {"input_tokens": 1, "output_tokens": 2}}
            await answered(up, reader, writer, said)

        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url

        async with scripted(script) as up, house(change) as h:
            await h.ask(BODY, "/v1/responses")
            _, other = KeyStore(h.folder / "keys.json").create(KeyTerms(tenant="rival"), 0.0, "k2")
            h.worker.reloader.reload()
            n = len(up.heads)
            assert (await h.ask(path="/v1/responses/resp_7", method="GET", key=other)).status == 404
            body = {**BODY, "previous_response_id": "resp_7"}
            answer = await h.ask(body, "/v1/responses", key=other)
            assert answer.status == 404
            assert len(up.heads) == n
            assert (await h.ask(path="/v1/responses/resp_7", method="GET")).status == 200

    run(main)


def test_a_conversation_stays_with_the_target_that_stored_it(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            if up.heads[-1].startswith(b"POST /v1/conversations"):
                await answered(up, reader, writer, {"id": "conv_1", "object": "conversation"})
            else:
                usage = {"input_tokens": 1, "output_tokens": 2}
                await answered(up, reader, writer, {"id": "resp_1", "usage": usage})

        def change(document) -> None:
            weighted(document)
            document["targets"]["up1"]["url"] = up.url
            document["other_paths"] = {"/v1/conversations": "up1", "/v1/conversations/*": "up1"}

        async with scripted(script) as up, house(change, n_providers=2) as h:
            h.worker.gateway.random = lambda: 0.1
            made = await h.ask({}, "/v1/conversations")
            assert made.json["id"] == "conv_1"
            answer = await h.ask({**BODY, "conversation": "conv_1"}, "/v1/responses")
            assert answer.json["id"] == "resp_1"
            assert h.records()[-1].target == "up1"

    run(main)


def test_homes_are_known_again_after_a_restart(house, run) -> None:
    async def main() -> None:
        async with house(weighted, n_providers=2) as h:
            h.worker.gateway.random = lambda: 0.9
            made = (await h.ask(BODY, "/v1/responses")).json["id"]
            assert StateHomes(h.worker.state / "homes").home_of(made).target == "up1"

    run(main)
