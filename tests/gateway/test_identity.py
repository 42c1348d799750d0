"""Who asks and for what, as records name it; and what is never written anywhere."""

import asyncio
import json

import pytest

from weighbridge.gateway.key_store import KeyStore, KeyTerms
from weighbridge.ledger.lines import SketchLine
from weighbridge.ledger.prompt_shape import NAME_CHARS, SYSTEM_CHARS
from weighbridge.rehearsal.provider_settings import Fault
from weighbridge.units import InputError

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("headers", "metadata", "expected"),
    [
        ({"x_weighbridge_feature": "f", "x_weighbridge_template": "t"}, {}, ("f", "t")),
        ({}, {"feature": "f", "template": "t"}, ("f", "t")),
        ({}, {"tags": "feature:f,template:t"}, ("f", "t")),
        ({"x_litellm_tags": "feature:f, template:t"}, {}, ("f", "t")),
        ({"helicone_property_feature": "f", "helicone_prompt_id": "t"}, {}, ("f", "t")),
        (
            {"x_weighbridge_feature": "ours", "helicone_property_feature": "theirs"},
            {"feature": "body", "template": "t"},
            ("ours", "t"),
        ),
    ],
)
def test_feature_and_template_come_from_what_clients_already_send(
    house, run, headers, metadata, expected
) -> None:
    async def main() -> None:
        async with house() as h:
            body = {**CHAT, "metadata": metadata} if metadata else CHAT
            assert (await h.ask(body, **headers)).status == 200
            record = await h.one_record()
            assert (record.feature, record.template) == expected

    run(main)


def test_requests_that_name_no_template_have_names_that_begin_with_their_system_prompt(
    house, run
) -> None:
    def chat(system: str, user: str) -> dict:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return {"model": "gpt-4o-mini", "messages": messages}

    async def main() -> None:
        async with house() as h:
            prompts = [("You translate to French.", "one"), ("You translate to French.", "two")]
            prompts.append(("You write SQL for a shop.", "three"))
            for system, user in prompts:
                await h.ask(chat(system, user))
            await h.until(lambda: len(h.records()) == 3)
            first, second, third = (record.template for record in h.records())
            assert len(first) == NAME_CHARS
            assert first[:SYSTEM_CHARS] == second[:SYSTEM_CHARS] != third[:SYSTEM_CHARS]
            assert first != second

    run(main)


def test_a_prompt_that_nobody_named_is_sketched_once_and_its_words_stand_nowhere(
    house, run
) -> None:
    system, user = "You taste marmalade.", "Which jar of quincelike preserves is heaviest?"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    body = {"model": "gpt-4o-mini", "messages": messages}

    async def main() -> None:
        async with house() as h:
            for _ in range(3):
                await h.ask(body)
            await h.ask(body, x_weighbridge_template="named")
            await h.until(lambda: len(h.records()) == 4)
            sketches = [line for line in h.lines() if isinstance(line, SketchLine)]
            name = h.records()[0].template
            assert [one.fingerprint for one in sketches] == [name[:SYSTEM_CHARS], name]
            assert h.records()[3].template == "named"
            written = b"".join(
                f.read_bytes() for f in h.worker.spool.folder.iterdir() if f.is_file()
            )
            for word in (*system.split(), *user.split()):
                assert len(word) < 5 or word.strip(".?").encode() not in written

    run(main)


def test_a_header_of_ours_that_cannot_be_read_is_refused(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask(x_weighbridge_feature="x" * 300)
            assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
            assert not h.providers[0].requests
            record = await h.one_record()
            assert (record.tenant, record.key_id) == ("search", "k1")

    run(main)


@pytest.mark.parametrize(
    "shown", [{"authorization": "Bearer {}"}, {"x_api_key": "{}"}, {"api_key": "{}"}]
)
def test_keys_are_taken_as_any_client_library_sends_them(house, run, shown) -> None:
    async def main() -> None:
        async with house() as h:
            headers = {name: text.format(h.key) for name, text in shown.items()}
            answer = await h.ask(key=None, **headers)
            assert answer.status == 200
            assert h.key not in str(h.providers[0].requests[-1].headers)

    run(main)


@pytest.mark.parametrize(
    ("key", "code"), [(None, "key_missing"), ("wb-k1-wrong", "key_unknown"), ("x", "key_unknown")]
)
def test_a_request_without_a_valid_key_is_refused_in_its_dialect(house, run, key, code) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask(key=key)
            assert (answer.status, answer.json["error"]["code"]) == (401, code)
            body = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 5}
            theirs = await h.ask(body, "/v1/messages", key=key)
            assert theirs.json["type"] == "error"
            assert theirs.json["error"]["type"] == "authentication_error"
            assert not h.providers[0].requests

    run(main)


def test_revoked_expired_and_rotated_keys_are_refused_even_on_a_kept_connection(house, run) -> None:
    async def ask_on(reader, writer, key) -> int:
        body = json.dumps(CHAT).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {key}\r\n"
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        return int(answer.split()[1])

    async def main() -> None:
        async with house() as h:
            store = KeyStore(h.folder / "keys.json")
            now = h.worker.gateway.wall()
            terms = KeyTerms(tenant="late", expires_at=now + 3600)
            _, late = store.create(terms, now, "late")
            h.worker.reloader.reload()
            reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
            assert await ask_on(reader, writer, late) == 200
            assert await ask_on(reader, writer, h.key) == 200
            h.worker.gateway.wall = lambda: now + 3601
            assert await ask_on(reader, writer, late) == 401
            assert await ask_on(reader, writer, h.key) == 200
            store.revoke("k1")
            h.worker.reloader.reload()
            assert await ask_on(reader, writer, h.key) == 401
            writer.close()

    run(main)


def test_a_key_may_ask_only_for_its_models(house, run) -> None:
    async def main() -> None:
        async with house(models=["text-*"]) as h:
            answer = await h.ask()
            assert answer.status in (403, 404)
            assert answer.json["error"]["code"]
            ok = await h.ask({"model": "text-embedding-3-small", "input": "x"}, "/v1/embeddings")
            assert ok.status == 200
            assert len(h.providers[0].requests) == 1

    run(main)


def test_a_target_that_would_be_shown_our_own_keys_is_refused(house, run) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["credential"] = {"kind": "client"}

    async def main() -> None:
        with pytest.raises(InputError, match=r"up0\.credential"):
            async with house(change):
                pass
        async with house(lambda d: (change(d), d.update(clients="passthrough"))) as h:
            answer = await h.ask(key="sk-their-own")
            assert answer.status == 200
            assert h.providers[0].requests[-1].headers["authorization"] == "Bearer sk-their-own"

    run(main)


def test_no_prompt_answer_or_key_is_written_anywhere(house, run, capfd, caplog) -> None:
    planted = "PLANTED-SECRET-7391"

    def change(document) -> None:
        document["access_log"] = "access.log"
        document["targets"]["up0"]["timeouts"] = {"first_byte_s": 0.2}

    async def main() -> None:
        async with house(change) as h:
            messages = [
                {"role": "system", "content": planted},
                {"role": "user", "content": planted},
            ]
            body = {**CHAT, "messages": messages, "tools": [{"type": "function", "x": planted}]}
            await h.ask(body)
            await h.ask({**body, "stream": True, "max_tokens": 30})
            await h.ask(json.dumps(body).encode() + b"broken")
            await h.ask(f'{{"model": "gpt-4o-mini", "stream": "{planted}"}}'.encode())
            await h.ask(body, key=f"wb-k1-{planted}")
            await h.ask(body, f"/v1/responses/{planted}?q={planted}")
            for fault in ("status_500", "torn_stream", "malformed_chunk", "hang"):
                h.providers[0].clear_faults()
                h.providers[0].add_fault(Fault(fault=fault))
                await h.ask({**body, "stream": True})
            await h.until(lambda: len(h.records()) >= 9)
            port = h.worker.admin_address[1]
            shown = await h.ask(path="/metrics", method="GET", port=port, key="admin-secret")
            assert shown.status == 200
            secrets = (planted, h.key, "sk-upstream", "admin-secret")
            await asyncio.sleep(0.2)
            texts = {p: p.read_bytes() for p in h.folder.rglob("*") if p.is_file()}
            texts["metrics"] = shown.body
            texts["events"] = "".join(h.events).encode()
            out = capfd.readouterr()
            texts["output"] = (out.out + out.err + caplog.text).encode()
            assert any(b"chat" in text for text in texts.values())
            for where, text in texts.items():
                for secret in secrets:
                    assert secret.encode() not in text, (where, secret)

    run(main)
