"""The admin port: who may look, who may act, and what is never told."""

from __future__ import annotations

import asyncio
import json

import pytest

from weighbridge.gateway.admin import Admin
from weighbridge.units import InputError

ADMIN_KEY = "admin-secret"
OPEN = ("/healthz", "/readyz", "/metrics")
ASKED = ("/status", "/keys")


def test_health_and_metrics_are_open_and_all_else_asks_for_the_key(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            for path in OPEN:
                assert (await h.admin(path, key=None)).status == 200
            for path in ASKED:
                refused = await h.admin(path, key=None)
                assert refused.status == 401
                assert refused.headers["www-authenticate"] == "Bearer"
                assert (await h.admin(path, key="admin-secreT")).status == 401
                assert (await h.admin(path)).status == 200
            for path in ("/reload", "/keys", "/keys/k1/revoke", "/keys/k1/rotate"):
                assert (await h.admin(path, "POST", key=None)).status == 401
                assert (await h.admin(path, "POST", key=h.key)).status == 401
            assert (await h.ask(path="/status", method="GET")).status == 404
            assert [row["revoked"] for row in (await h.admin("/keys")).json["keys"]] == [False]

    run(main)


def test_metrics_ask_for_the_key_where_the_operator_wants_it(house, run) -> None:
    def change(document) -> None:
        document["admin"]["open_metrics"] = False

    async def main() -> None:
        async with house(change) as h:
            for path in OPEN:
                assert (await h.admin(path, key=None)).status == 401
                assert (await h.admin(path)).status == 200

    run(main)


def test_without_an_admin_key_nothing_can_be_changed(house, run) -> None:
    def change(document) -> None:
        del document["admin"]["key"]

    async def main() -> None:
        async with house(change) as h:
            for path in (*OPEN, *ASKED):
                assert (await h.admin(path, key=None)).status == 200
                seen = await h.admin(path, "HEAD", key=None)  # looking, too
                assert (seen.status, seen.body) == (200, b"")
            for path in ("/reload", "/keys", "/keys/k1/revoke", "/keys/k1/rotate"):
                for key in (None, h.key, "", "None"):
                    refused = await h.admin(path, "POST", {"tenant": "x"}, key=key)
                    assert refused.status == 401
                    assert b"no admin.key" in refused.body
            assert [row["id"] for row in (await h.admin("/keys", key=None)).json["keys"]] == ["k1"]

    run(main)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9090", "example.org:9090"])
def test_a_port_that_others_can_reach_is_refused_without_a_key(house, run, listen) -> None:
    def change(document) -> None:
        document["admin"] = {"listen": listen}

    async def main() -> None:
        with pytest.raises(InputError) as caught:
            async with house(change):
                pass
        assert caught.value.field == "admin.listen"
        assert "set admin.key" in str(caught.value)

    run(main)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "127.8.0.1:0"])
def test_loopback_needs_no_key(house, run, listen) -> None:
    def change(document) -> None:
        document["admin"] = {"listen": listen}

    async def main() -> None:
        async with house(change) as h:
            assert isinstance(h.worker.admin, Admin)

    run(main)


def test_an_admin_key_that_is_not_set_is_told_by_name(house, run) -> None:
    def change(document) -> None:
        document["admin"]["key"] = "env:NOT_SET"

    async def main() -> None:
        with pytest.raises(InputError, match="NOT_SET"):
            async with house(change):
                pass

    run(main)


def test_a_key_is_made_shown_once_used_rotated_and_revoked(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            body = {"tenant": "shop", "requests_per_minute": 600, "budgets": ["50/month"]}
            made = await h.admin("/keys", "POST", body)
            assert made.status == 200
            first, key_id = made.json["key"], made.json["id"]
            assert (await h.ask(key=first)).status == 200
            listed = await h.admin("/keys")
            assert first not in listed.body.decode()
            (row,) = (row for row in listed.json["keys"] if row["id"] == key_id)
            assert (row["tenant"], row["requests_per_minute"]) == ("shop", 600)
            assert "digest" not in row
            path = f"/keys/{key_id}"
            second = (await h.admin(f"{path}/rotate", "POST", {"grace_s": 0})).json["key"]
            assert second != first
            assert (await h.ask(key=first)).status == 401
            assert (await h.ask(key=second)).status == 200
            assert (await h.admin(f"{path}/revoke", "POST")).json["revoked"]
            assert (await h.ask(key=second)).status == 401
            assert (await h.admin(f"{path}/rotate", "POST")).status == 422
            assert [r.tenant for r in h.records() if r.status == "ok"] == ["shop", "shop"]

    run(main)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/keys", b"{", 422),
        ("/keys", {"tenant": "x", "modles": []}, 422),
        ("/keys", {}, 422),
        ("/keys", {"tenant": "x", "budgets": ["50"]}, 422),
        ("/keys", {"tenant": "x", "id": "../../etc"}, 422),
        ("/keys", {"tenant": "x", "id": "k1"}, 422),
        ("/keys", b"\xff\xfe", 422),
        ("/keys/k9/revoke", b"", 404),
        ("/keys/k1/rotate", {"grace_s": -1}, 422),
        ("/keys/..%2fk1/revoke", b"", 404),
        ("/keys/k1/burn", b"", 404),
        ("/nowhere", b"", 404),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_changes_nothing(
    house, run, path, body, status
) -> None:
    async def main() -> None:
        async with house() as h:
            before = (h.folder / "keys.json").read_bytes()
            assert (await h.admin(path, "POST", body)).status == status
            assert (h.folder / "keys.json").read_bytes() == before
            assert (await h.ask()).status == 200

    run(main)


def test_a_key_made_while_the_configuration_is_broken_is_shown_and_said_to_wait(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.worker.config.path.write_text("targets: [")
            made = (await h.admin("/keys", "POST", {"tenant": "shop"})).json
            assert made["key"].startswith("wb-")
            assert "gateway.yaml" in made["not_in_use_yet"]

    run(main)


def test_readiness_fails_while_draining_and_health_does_not(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.worker.admin.is_ready = False
            answer = await h.admin("/readyz")
            assert (answer.status, answer.body) == (503, b"draining\n")
            assert (await h.admin("/healthz")).status == 200
            h.worker.admin.is_ready = True

    run(main)


@pytest.mark.parametrize(("policy", "status"), [("serve", 200), ("refuse", 503)])
def test_readiness_with_a_spool_that_fails_goes_by_the_policy(house, run, policy, status) -> None:
    def change(document) -> None:
        document["spool"] = {"on_failure": policy}

    async def main() -> None:
        async with house(change) as h:
            h.worker.spool._write_fault = "ENOSPC: No space left on device"
            answer = await h.admin("/readyz")
            assert answer.status == status
            assert (b"ENOSPC" in answer.body) == (status == 503)
            assert (await h.admin("/status")).json["spool_failing"].startswith("ENOSPC")
            h.worker.spool._write_fault = None

    run(main)


def test_targets_that_are_down_leave_the_gateway_ready_and_stand_in_status(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            for live in h.worker.gateway.setup.live.values():
                for _ in range(10):
                    live.health.on_health(False)
            assert (await h.admin("/readyz")).status == 200
            targets = (await h.admin("/status")).json["targets"]
            assert {one["state"] for one in targets.values()} == {"down"}

    run(main)


def test_no_answer_holds_a_secret(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            await h.ask()
            said = [await h.admin(path) for path in (*OPEN, *ASKED, "/nowhere")]
            h.rewrite(lambda d: d["targets"]["up0"]["credential"].update(env="ABSENT"))
            said.append(await h.admin("/reload", "POST"))
            assert said[-1].status == 422
            said.append(await h.admin("/status"))
            digests = [
                key["digest"] for key in json.loads((h.folder / "keys.json").read_text())["keys"]
            ]
            for answer in said:
                text = str(answer.headers) + answer.body.decode()
                for secret in (h.key, "sk-upstream", ADMIN_KEY, *digests):
                    assert secret not in text

    run(main)


def test_a_secret_written_out_in_the_file_is_refused_without_repeating_it(house, run) -> None:
    async def main() -> None:
        async with house() as h:

            def change(document) -> None:
                document["targets"]["up0"]["credential"] = "sk-live-123456"

            problem = h.rewrite(change)
            assert problem is not None
            answer = await h.admin("/reload", "POST")
            assert answer.status == 422
            for text in (problem, answer.body.decode(), *h.events):
                assert "sk-live-123456" not in text

    run(main)


def test_other_methods_and_head_are_answered(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            assert (await h.admin("/keys", "DELETE")).status == 405
            reader, writer = await asyncio.open_connection("127.0.0.1", h.admin_port)
            writer.write(b"HEAD /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"\r\n\r\n")
            writer.close()

    run(main)


def test_keys_of_a_gateway_that_has_no_key_file_are_told_to_be_missing(house, run) -> None:
    def change(document) -> None:
        document["clients"], document["keys"] = "passthrough", "none.json"
        document["targets"]["up0"]["credential"] = {"kind": "client"}

    async def main() -> None:
        async with house(change) as h:
            assert (await h.admin("/keys")).status == 404

    run(main)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/keys", {"tenant": "x", "modles": []}, "modles: is not a field; did you mean `models`?"),
        ("/keys", {}, "tenant: is missing"),
        ("/keys", {"tenant": "x", "priority": "high"}, "priority: expected `int`, got `str`"),
        ("/keys", {"tenant": ""}, "tenant: is empty; name whose key this is"),
        ("/keys", {"tenant": "x", "budgets": ["5/day", "5"]}, "budgets[1]: '5' cannot be read; "),
        ("/keys", {"tenant": "x", "expires_at": 1.0}, "expires_at: has passed already"),
        ("/keys/NOPE/revoke", b"", "no key NOPE"),
        ("/keys/nope/rotate", b"", "no key nope"),
        ("/keys/k1/rotate", {"grace": 1}, "grace: is not a field; did you mean `grace_s`?"),
        ("/keys", b"{", "the body is no JSON"),
    ],
)
def test_a_refusal_names_the_field_and_no_path_of_the_server(house, run, path, body, told) -> None:
    async def main() -> None:
        async with house() as h:
            error = (await h.admin(path, "POST", body)).json["error"]
            assert error.startswith(told)
            assert str(h.folder) not in error
            assert "--" not in error

    run(main)
