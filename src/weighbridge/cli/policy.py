"""`weighbridge policy`: which rule a request meets, which target it goes to, and why."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from weighbridge.policy.explaining import Explanation
    from weighbridge.policy.types import Facts

_FILE = click.Path(path_type=Path)
_ENDPOINTS = ("chat", "completions", "embeddings", "responses", "messages", "count_tokens")
MAX_BODY_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Said:
    """What the caller says of a request besides its body."""

    endpoint: str
    tenant: str | None
    feature: str | None
    template: str | None
    data_class: str | None
    at: str | None


@click.group()
def policy() -> None:
    """Rules that send requests to targets."""


@policy.command()
@click.argument("config", type=_FILE)
@click.option("--request", type=_FILE, required=True, help="JSON body as a client would send it.")
@click.option(
    "--endpoint", type=click.Choice(_ENDPOINTS), default="chat", show_default=True, help="Its API."
)
@click.option("--tenant", help="Tenant of the key.")
@click.option("--feature", help="As in x-weighbridge-feature; else from the body's metadata.")
@click.option("--template", help="As in x-weighbridge-template; no fingerprint is taken here.")
@click.option("--data-class", help="Data class of the key, or as a header tightened it.")
@click.option(
    "--at", help="Instant with its offset, as in 2026-11-21T09:30+01:00; now if left out."
)
@click.option(
    "--draw",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Chance to choose among weighted targets by: 0 takes the first, 0.999 the last.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    config: Path,
    request: Path,
    endpoint: str,
    tenant: str | None,
    feature: str | None,
    template: str | None,
    data_class: str | None,
    at: str | None,
    draw: float,
    as_json: bool,
) -> None:
    """Say which rule of CONFIG decides for a request, and which targets are tried in what order."""
    from weighbridge.gateway.config import read_config
    from weighbridge.policy.explaining import explain as explain_facts
    from weighbridge.policy.matching import Matcher

    matcher = Matcher(read_config(config).policy)
    said = Said(endpoint, tenant, feature, template, data_class, at)
    explanation = explain_facts(matcher, _facts(request, said), draw)
    if as_json:
        click.echo(_json(explanation, matcher.policy.version))
    else:
        from weighbridge.cli.policy_screen import show_explanation

        show_explanation(explanation)


def _facts(request: Path, said: Said) -> Facts:
    from weighbridge.gateway.dialects.ask import AskError, Endpoint
    from weighbridge.gateway.dialects.asking import read_ask
    from weighbridge.gateway.dialects.endpoints import dialect_of
    from weighbridge.policy.types import Facts
    from weighbridge.units import InputError

    endpoint = cast("Endpoint", said.endpoint)
    try:
        ask = read_ask(endpoint, _body(request))
    except AskError as fault:
        raise InputError(str(request), "", str(fault), "give the body of a request") from None
    return Facts(
        dialect=dialect_of(endpoint, []),
        model=ask.model,
        tenant=said.tenant,
        feature=said.feature or ask.feature,
        template=said.template or ask.template,
        data_class=said.data_class,
        input_tokens=ask.input_tokens_estimate,
        has_tools=ask.has_tools,
        has_json_schema=ask.has_json_schema,
        user=ask.user,
        conversation=ask.conversation,
        at=_instant(said.at),
    )


def _body(request: Path) -> bytes:
    from weighbridge.units import InputError

    try:
        with request.open("rb") as file:
            body = file.read(MAX_BODY_BYTES + 1)
    except OSError as fault:
        raise InputError(
            str(request), "", f"cannot be read ({fault.strerror})", "name a file with a JSON body"
        ) from None
    if len(body) > MAX_BODY_BYTES:
        raise InputError(str(request), "", "is larger than 64 MiB", "give the body of one request")
    return body


def _instant(text: str | None) -> dt.datetime:
    from weighbridge.units import InputError

    if text is None:
        return dt.datetime.now(dt.UTC)
    mend = "write an instant with its offset, as in 2026-11-21T09:30+01:00"
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InputError("policy explain", "--at", f"{text!r} is no instant", mend) from None
    if at.tzinfo is None:
        raise InputError("policy explain", "--at", f"{text!r} has no offset", mend)
    return at


def _json(explanation: Explanation, version: str) -> str:
    import msgspec

    from weighbridge.policy.types import NoRoute

    answer = explanation.answer
    document = {
        "policy_version": version,
        "facts": explanation.facts,
        "rules": explanation.rules,
        "targets": explanation.targets,
        "refused": answer if isinstance(answer, NoRoute) else None,
        "rule": None if isinstance(answer, NoRoute) else answer.rule,
        "route": [] if isinstance(answer, NoRoute) else [target.name for target in answer.targets],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
