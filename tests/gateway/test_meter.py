"""What a record says of cost where there are no tokens to go by."""

import pytest


def json_answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


async def record_of(house, scripted, answer: bytes, method: str, body: object, **target):
    async def script(up, reader, writer) -> None:
        writer.write(json_answer(answer))

    async with scripted(script) as up:

        def change(document) -> None:
            document["targets"]["up0"] |= {"url": up.url, **target}
            document["other_paths"] = {"/v1/*": "up0"}

        async with house(change) as h:
            assert (await h.ask(body, "/v1/files", method=method)).status == 200
            return await h.one_record()


@pytest.mark.parametrize(
    "case",
    [
        ("GET", b"", b'{"data": []}', {}, "priced"),
        ("POST", b"no json", b'{"id": "f1"}', {}, "priced"),
        ("DELETE", b"", b'{"deleted": true}', {"model": "unheard-of"}, "priced"),
        ("POST", b"{}", b'{"text": "hi"}', {"model": "unheard-of"}, "unpriced"),
        ("POST", b"{}", b'{"usage": {"prompt_tokens": 7, "completion_tokens": 5}}', {}, "unpriced"),
    ],
)
def test_a_path_that_tells_neither_tokens_nor_a_model_costs_nothing_and_is_priced(
    house, run, scripted, case
) -> None:
    method, body, answer, target, state = case

    async def main() -> None:
        record = await record_of(house, scripted, answer, method, body, **target)
        assert record.price_state == state
        assert record.list_cost_pico_usd == (0 if state == "priced" else None)

    run(main)
