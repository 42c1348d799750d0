"""A body that can be read and not be passed on is the client's fault, told in its dialect."""

import pytest

BAD = {
    "/v1/chat/completions": b'{"model": "gpt-4o-mini", "\xff": 1, "messages": []}',
    "/v1/messages": b'{"model": "claude-sonnet-4-5", "\xff": 1, "max_tokens": 5, "messages": []}',
}


@pytest.mark.parametrize("path", BAD)
def test_a_body_that_cannot_be_rewritten_is_a_400_and_frees_what_it_held(house, run, path) -> None:
    def change(document) -> None:
        for target in document["targets"].values():
            target["caps"] = {"concurrency": 1, "queue_size": 0}
        document["limits"] = [{"scope": "tenant", "name": "search", "concurrency": 1}]

    async def main() -> None:
        async with house(change, n_providers=2) as h:
            for n in range(1, 4):
                answer = await h.ask(BAD[path], path)
                assert answer.status == 400
                error = answer.json["error"]
                assert error["type"] == "invalid_request_error"
                if path == "/v1/messages":
                    assert answer.json["type"] == "error"
                else:
                    assert error["code"] == "invalid_request"
                await h.until(lambda n=n: len(h.records()) == n)
            record = h.records()[-1]
            assert (record.status, record.error_type) == ("error", "invalid_request")
            assert (record.http_status, record.list_cost_pico_usd) == (400, 0)
            assert not any(provider.stats()["n_requests"] for provider in h.providers)
            assert (await h.ask()).status == 200

    run(main)
