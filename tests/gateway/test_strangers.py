"""Whoever shows no valid key is counted and leaves nothing on disk."""

import asyncio


async def counted(h) -> dict[str, int]:
    text = (await h.admin("/metrics", key=None)).body.decode()
    start = 'weighbridge_strangers_total{outcome="'
    rows = (line for line in text.splitlines() if line.startswith(start))
    return {row[len(start) :].split('"')[0]: int(row.split()[-1]) for row in rows}


def test_a_flood_of_strangers_writes_nothing(house, run) -> None:
    def change(document) -> None:
        document["access_log"] = "access.jsonl"
        document["spool"] = {"path": "spool", "on_failure": "refuse"}

    async def main() -> None:
        async with house(change) as h:
            for key in (None, "wb-k1-wrong", "sk-x"):
                for _ in range(10):
                    assert (await h.ask(key=key)).status == 401
            for path in ("/", "/v1/x/../y", "/v1/a%2fb", "/admin"):
                assert (await h.ask(path=path, key="wb-none")).status == 401
            assert h.lines() == []
            assert (await h.ask()).status == 200
            await h.one_record()
            log = h.folder / "access.jsonl"
            await h.until(lambda: log.exists() and log.read_bytes().count(b"\n") == 1)
            assert await counted(h) == {"key_missing": 10, "key_unknown": 24}

    run(main)


def test_a_key_that_expired_or_was_revoked_is_counted_by_its_code(house, run) -> None:
    async def main() -> None:
        async with house(expires_at=1.0) as h:
            assert (await h.ask()).status == 401
            await h.admin("/keys/k1/revoke", "POST")
            assert (await h.ask()).status == 401
            assert h.records() == []
            assert await counted(h) == {"key_expired": 1, "key_revoked": 1}

    run(main)


def test_refusals_of_a_known_key_are_written_down(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            assert (await h.ask(path="/v1/x/../y")).status == 404
            assert (await h.ask(x_weighbridge_feature="x" * 300)).status == 400
            assert (await h.ask({"model": "none"})).status == 404
            await h.until(lambda: len(h.records()) == 3)
            assert {record.tenant for record in h.records()} == {"search"}
            assert [record.error_type for record in h.records()][:2] == [
                "unknown_path",
                "invalid_request",
            ]
            assert await counted(h) == {}

    run(main)


def test_a_client_that_leaves_before_it_was_looked_at_is_only_counted(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            took = h.worker.gateway.on_request

            def leave(responder) -> None:
                took(responder)
                responder.handler.client_left()  # in the same turn, before any step

            h.worker.gateway.on_request = leave
            writer = (await asyncio.open_connection("127.0.0.1", h.port))[1]
            writer.write(b"GET /v1/models HTTP/1.1\r\nhost: g\r\n\r\n")
            count = h.worker.metrics.counters.get
            await h.until(lambda: count('strangers_total{outcome="client_left"}') == 1)
            writer.close()
            assert h.lines() == []

    run(main)
