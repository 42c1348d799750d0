"""Observe-only: everything is metered, nothing is refused, moved or repeated."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner

from weighbridge.cli import weighbridge
from weighbridge.gateway.config import with_addresses
from weighbridge.gateway.observing import observing_config
from weighbridge.gateway.worker import ServeOptions, Worker
from weighbridge.ledger.lines import RequestLine
from weighbridge.ledger.spool_reader import SpoolReader
from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Fault, Settings
from weighbridge.units import InputError

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def strict(document) -> None:
    document["limits"] = [{"scope": "tenant", "name": "*", "requests_per_minute": 1}]
    document["budgets"] = [{"scope": "tenant", "usd": "0.000001", "period": "day"}]
    document["data_classes"] = {"secret": ["up1"]}
    document["targets"]["up0"]["caps"] = {"concurrency": 1, "queue_size": 0}


def test_nothing_is_limited_classed_shaped_or_tried_elsewhere(house, run) -> None:
    async def main() -> None:
        async with house(strict, n_providers=2, observe=True, requests_per_minute=1) as h:
            answers = await asyncio.gather(*(h.ask() for _ in range(10)))
            assert {answer.status for answer in answers} == {200}
            h.providers[0].add_fault(Fault(fault="status_500"))
            failed = await h.ask()
            assert failed.status == 500
            assert h.providers[1].stats()["n_requests"] == 0
            await h.until(lambda: len(h.records()) == 11)
            assert {record.attempts for record in h.records()} == {1}
            assert sum(r.list_cost_pico_usd for r in h.records()) > 0
            assert (await h.ask(key="wb-k1-wrong")).status == 401  # whose it is must be known

    run(main)


@asynccontextmanager
async def watching(folder, *providers: Provider, dialects=(None,)):
    upstreams = [
        (f"{one.url}/v1", dialect) for one, dialect in zip(providers, dialects, strict=True)
    ]
    document = observing_config(upstreams, folder)

    def read():

        return with_addresses(document, "127.0.0.1:0", "127.0.0.1:0")

    worker = Worker(read, ServeOptions(observe=True), {}, lambda _: None)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


def records_of(worker) -> list[RequestLine]:
    lines = SpoolReader(worker.spool.folder).lines()
    return [line for line in lines if isinstance(line, RequestLine)]


@pytest.mark.parametrize("stream", [False, True])
def test_without_a_config_clients_keep_their_providers_keys(house, run, tmp_path, stream) -> None:
    async def main() -> None:
        settings = Settings(speed=0, n_requests_kept=10, api_keys=("sk-their-own",))
        async with Provider(settings) as provider, house() as h:
            folder = tmp_path / "watch"
            folder.mkdir()
            async with watching(folder, provider) as worker:
                port = worker.address[1]
                body = {**CHAT, "stream": stream}
                answer = await h.ask(body, port=port, key="sk-their-own")
                assert answer.status == 200
                assert provider.requests[-1].headers["authorization"] == "Bearer sk-their-own"
                refused = await h.ask(body, port=port, key="sk-wrong")
                assert refused.status == 401  # the provider's own refusal
                assert (await h.ask({}, "/v1/files", port=port, key="sk-their-own")).status == 404
                await h.until(lambda: len(records_of(worker)) == 3)
                first, second, _ = records_of(worker)
                assert first.output_tokens > 0
                assert first.tenant != second.tenant
                for path in folder.rglob("*"):
                    if path.is_file():
                        assert b"sk-their-own" not in path.read_bytes()

    run(main)


def test_both_dialects_are_watched_side_by_side(house, run, tmp_path) -> None:
    async def main() -> None:
        settings = Settings(speed=0, n_requests_kept=10)
        async with Provider(settings) as one, Provider(settings) as two, house() as h:
            folder = tmp_path / "watch"
            folder.mkdir()
            # Two addresses of one host name are told apart by port in the addresses alone.
            two.url = two.url.replace("127.0.0.1", "localhost")
            async with watching(folder, one, two, dialects=("openai", "anthropic")) as worker:
                port = worker.address[1]
                assert (await h.ask(port=port)).status == 200
                body = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 5}
                theirs = await h.ask(body, "/v1/messages", port=port, key=None, x_api_key="sk-a")
                assert theirs.status == 200
                assert two.requests[-1].headers["x-api-key"] == "sk-a"
                await h.until(lambda: len(records_of(worker)) == 2)

    run(main)


def test_two_upstreams_on_one_host_are_both_watched(house, run, tmp_path) -> None:
    async def main() -> None:
        settings = Settings(speed=0)
        async with Provider(settings) as one, Provider(settings) as two, house() as h:
            folder = tmp_path / "watch"
            folder.mkdir()
            async with watching(folder, one, two, dialects=("openai", "anthropic")) as worker:
                port = worker.address[1]
                assert (await h.ask(port=port)).status == 200
                body = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 5}
                assert (await h.ask(body, "/v1/messages", port=port)).status == 200
                assert (one.stats()["n_requests"], two.stats()["n_requests"]) == (1, 1)

    run(main)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_no_provider_is_ever_shown_the_other_ones_key(house, run, tmp_path, order) -> None:
    async def main() -> None:
        settings = Settings(speed=0, n_requests_kept=50)
        async with Provider(settings) as one, Provider(settings) as two, house() as h:
            folder = tmp_path / "watch"
            folder.mkdir()
            both, dialects = (one, two), ("openai", "anthropic")
            async with watching(
                folder, *(both[n] for n in order), dialects=[dialects[n] for n in order]
            ) as worker:
                port = worker.address[1]
                for path, method in (
                    ("/v1/models", "GET"), ("/v1/models/x", "GET"), ("/v1/files", "GET"),
                    ("/v1/batches", "POST"),
                ):  # fmt: skip
                    await h.ask({}, path, method=method, port=port, key="sk-openai")
                    version = {"anthropic_version": "2023-06-01", "x_api_key": "sk-anthropic"}
                    await h.ask({}, path, method=method, port=port, key=None, **version)
                path = "/v1/messages/batches"  # no version: the path says whose it is
                for method in ("GET", "POST"):
                    said = {"x_api_key": "sk-anthropic"}
                    await h.ask({}, path, method=method, port=port, key=None, **said)
                names = await h.ask(path="/v1/models", method="GET", port=port, key="sk-openai")
                assert "gpt-4o-mini" in [row["id"] for row in names.json["data"]]
                assert "sk-anthropic" not in str([seen.headers for seen in one.requests])
                assert "sk-openai" not in str([seen.headers for seen in two.requests])
                assert len(one.requests) == 5
                assert len(two.requests) == 6

    run(main)


def test_two_upstreams_of_one_dialect_need_a_config(tmp_path) -> None:
    with pytest.raises(InputError, match="CONFIG"):
        observing_config([("http://a/v1", None), ("http://b/v1", None)], tmp_path)


def test_an_upstream_of_unknown_dialect_is_asked_in_both(house, run, tmp_path) -> None:
    async def main() -> None:
        async with Provider(Settings(speed=0, n_requests_kept=9)) as proxy, house() as h:
            folder = tmp_path / "watch"
            folder.mkdir()
            async with watching(folder, proxy) as worker:
                port = worker.address[1]
                assert (await h.ask(port=port)).status == 200
                body = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 5}
                theirs = await h.ask(body, "/v1/messages", port=port, key=None, x_api_key="sk-a")
                assert theirs.status == 200
                assert proxy.requests[-1].headers["x-api-key"] == "sk-a"
                await h.until(lambda: len(records_of(worker)) == 2)

    run(main)


@pytest.mark.parametrize(
    ("upstreams", "spoken"),
    [
        ([("http://proxy:4000/v1", None)], {"proxy": "openai", "proxy-anthropic": "anthropic"}),
        ([("https://api.openai.com/v1", None)], {"api-openai-com": "openai"}),
        ([("https://api.anthropic.com/v1", None)], {"api-anthropic-com": "anthropic"}),
        (
            [("http://vllm/v1", None), ("https://api.anthropic.com/v1", "anthropic")],
            {"vllm": "openai", "api-anthropic-com": "anthropic"},
        ),
    ],
)
def test_each_dialect_has_one_upstream(tmp_path, upstreams, spoken) -> None:
    targets = observing_config(upstreams, tmp_path).policy.targets
    assert {name: one.dialect for name, one in targets.items()} == spoken


def test_an_upstream_that_no_dialect_is_left_for_is_refused(tmp_path) -> None:
    known = [("https://api.openai.com/v1", "openai"), ("https://api.anthropic.com/v1", "anthropic")]
    with pytest.raises(InputError, match="left without a dialect"):
        observing_config([*known, ("http://proxy/v1", None)], tmp_path)


def test_a_misspelt_upstream_is_offered_the_name() -> None:
    told = CliRunner().invoke(weighbridge, ["serve", "--observe", "--upstream", "opnai"])
    assert told.exit_code == 2
    assert "did you mean `openai`?" in told.output
    alone = CliRunner().invoke(weighbridge, ["serve"])
    assert "weighbridge serve --observe --upstream openai" in alone.output
