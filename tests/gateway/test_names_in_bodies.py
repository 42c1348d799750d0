"""What a body names besides its model: labels that may be left unread, models past the policy."""

from itertools import product

import pytest

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
NAMED = {
    **CHAT,
    "user": "u",
    "metadata": {"feature": "from-body", "template": "t-body", "tags": ["feature:x"]},
}


@pytest.mark.parametrize("reads", [True, False])
def test_names_come_from_headers_alone_where_bodies_are_not_read(house, run, reads) -> None:
    def change(document) -> None:
        document["identify"] = {"body_metadata": reads, "fingerprint": False}

    async def main() -> None:
        async with house(change) as h:
            await h.ask(NAMED)
            await h.ask(NAMED, x_weighbridge_feature="from-header")
            await h.until(lambda: len(h.records()) == 2)
            plain, said = h.records()
            assert plain.feature == ("from-body" if reads else None)
            assert plain.template == ("t-body" if reads else None)
            assert said.feature == "from-header"

    run(main)


def test_a_sticky_user_of_the_body_is_not_read_either(house, run) -> None:
    def change(document) -> None:
        document["identify"] = {"body_metadata": False}
        document["rules"] = [
            {"name": "r", "match": {}, "targets": ["up0", "up1"], "sticky": "user"}
        ]

    async def main() -> None:
        async with house(change, n_providers=2) as h:
            for _ in range(40):
                assert (await h.ask(NAMED)).status == 200
            assert {record.target for record in h.records()} == {"up0", "up1"}

    run(main)


BODIES = {
    "models": b', "models": ["gpt-4o"]}',
    "route": b', "route": "fallback"}',
    "escaped": b', "m\\u006fdels": ["gpt-4o"]}',
    "null after": b', "models": ["gpt-4o"], "models": null}',
    "large": b', "x": "' + b"x" * 20_000 + b'", "models": ["gpt-4o"]}',
}
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/audio/speech")


def listed(document) -> None:
    document["other_paths"] = {"/v1/audio/*": "up0"}


def restricted(document) -> None:
    listed(document)
    document["data_classes"] = {"internal": ["up0", "claude"]}


@pytest.mark.parametrize("by", ["key", "class"])
def test_a_body_cannot_name_models_past_what_was_allowed(house, run, by) -> None:
    change, terms = (
        (listed, {"models": ("gpt-4o-mini",)})
        if by == "key"
        else (restricted, {"data_class": "internal"})
    )

    async def main() -> None:
        async with house(change, **terms) as h:
            start = b'{"model": "gpt-4o-mini", "max_tokens": 5, "input": "hi", "messages": []'
            for path, (name, end) in product(PATHS, BODIES.items()):
                refused = await h.ask(start + end, path)
                assert refused.status == 400, (path, name)
                assert "`route`" in str(refused.json["error"]), (path, name)
            assert h.providers[0].stats()["n_requests"] == 0
            assert {record.error_type for record in h.records()} == {"fallback_not_allowed"}

    run(main)


def test_a_body_may_name_them_where_nothing_is_restricted(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            assert (await h.ask({**CHAT, "models": ["gpt-4o"], "route": "fallback"})).status == 200

    run(main)
