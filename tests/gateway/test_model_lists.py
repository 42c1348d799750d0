"""`GET /v1/models`: what a key may ask for, or the provider's own list where keys pass through."""

import pytest

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Settings

VERSION = {"anthropic_version": "2023-06-01"}


def patterned(document) -> None:
    document["models"] = {"gpt-4o": "up0", "gpt-*": "up0", "claude-*": "claude"}


async def names(h, **said) -> list[str]:
    answer = await h.ask(path="/v1/models", method="GET", **said)
    assert answer.status == 200
    return [row["id"] for row in answer.json["data"]]


async def one(h, model: str, **said) -> int:
    return (await h.ask(path=f"/v1/models/{model}", method="GET", **said)).status


def test_an_id_that_a_pattern_serves_is_found_though_no_list_has_it(house, run) -> None:
    async def main() -> None:
        async with house(patterned) as h:
            assert await names(h) == ["gpt-4o"]
            assert await one(h, "gpt-4o") == await one(h, "gpt-5.2-mini") == 200
            assert await one(h, "o3") == 404
            assert await one(h, "claude-sonnet-4-5") == 404  # asked for in the other dialect
            assert await one(h, "claude-sonnet-4-5", **VERSION) == 200

    run(main)


def test_a_key_sees_the_names_that_it_spells_out_and_no_more(house, run) -> None:
    async def main() -> None:
        async with house(patterned, models=("gpt-5", "o3", "gpt-4o-*")) as h:
            assert await names(h) == ["gpt-5"]  # o3 is served by no rule
            assert await one(h, "gpt-5") == await one(h, "gpt-4o-mini") == 200
            assert await one(h, "gpt-4o") == await one(h, "o3") == 404

    run(main)


def test_a_rule_for_some_requests_serves_no_id_by_itself(house, run) -> None:
    def change(document) -> None:
        patterned(document)
        document["rules"] = [{"name": "r", "match": {"feature": "f"}, "targets": ["up0"]}]

    async def main() -> None:
        async with house(change) as h:
            assert await one(h, "o3") == 404

    run(main)


@pytest.mark.parametrize("has_other_paths", [False, True])
def test_with_keys_that_pass_through_the_provider_of_the_dialect_lists(
    house, run, has_other_paths
) -> None:
    async def main() -> None:
        async with Provider(Settings(speed=0, n_requests_kept=20)) as second:

            def change(document) -> None:
                document["clients"] = "passthrough"
                for target in document["targets"].values():
                    target["credential"] = {"kind": "client"}
                document["targets"]["claude"]["url"] = f"{second.url}/v1"
                if has_other_paths:
                    document["other_paths"] = {"/v1/*": ["claude", "up0"]}

            async with house(change) as h:
                assert "gpt-4o-mini" in await names(h, key="sk-openai")
                theirs = {"key": None, "x_api_key": "sk-anthropic", **VERSION}
                await h.ask(path="/v1/models", method="GET", **theirs)
                (seen,) = second.requests
                assert seen.headers["x-api-key"] == "sk-anthropic"
                assert "sk-anthropic" not in str([one.headers for one in h.providers[0].requests])

    run(main)


def test_an_openai_key_is_never_shown_to_a_target_of_the_other_dialect(house, run) -> None:
    def change(document) -> None:
        document["clients"] = "passthrough"
        document["targets"]["claude"]["credential"] = {"kind": "client"}
        document["other_paths"] = {"/v1/*": "claude"}

    async def main() -> None:
        async with house(change, settings=Settings(speed=0, n_requests_kept=20)) as h:
            refused = await h.ask({}, "/v1/files", key="sk-openai")
            assert (refused.status, refused.json["error"]["code"]) == (404, "unknown_path")
            assert h.providers[0].stats()["n_requests"] == 0

    run(main)
