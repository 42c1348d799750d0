"""`weighbridge keys`: make, rotate, revoke and list the keys that clients show to the gateway."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from weighbridge.gateway.key_store import StoredKey

_WIDTH = 100
_STORE = click.Path(path_type=Path, dir_okay=False)
_MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%MZ"])
_AT_LEAST_ONE = click.IntRange(min=1)


@click.group()
def keys() -> None:
    """Keys that clients show to the gateway; the file STORE holds digests only."""


@keys.command()
@click.argument("store", type=_STORE)
@click.option("--tenant", required=True, help="Whose key it is; stands on every usage record.")
@click.option("--id", "key_id", help="Name in reports, a to z, 0 to 9 and _; drawn if left out.")
@click.option("--model", "models", multiple=True, help="Allowed model, may end in *; repeatable.")
@click.option("--rpm", type=_AT_LEAST_ONE, help="Requests per minute.")
@click.option("--tpm", type=_AT_LEAST_ONE, help="Tokens per minute, input and output together.")
@click.option("--concurrency", type=_AT_LEAST_ONE, help="Requests at one time.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    help="Dollars a UTC day or month, e.g. 50/month; 50/month:soft only tells; repeatable.",
)
@click.option("--expires", type=_MOMENT, help="UTC instant from which it no longer opens.")
@click.option("--tag", "tags", multiple=True, help="Word of your own; repeatable.")
@click.option("--data-class", help="Class of the data that its requests carry.")
@click.option(
    "--priority", type=int, default=0, show_default=True, help="Higher goes first in a queue."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(
    store: Path,
    tenant: str,
    key_id: str | None,
    models: tuple[str, ...],
    rpm: int | None,
    tpm: int | None,
    concurrency: int | None,
    budgets: tuple[str, ...],
    expires: dt.datetime | None,
    tags: tuple[str, ...],
    data_class: str | None,
    priority: int,
    as_json: bool,
) -> None:
    """Make a key in STORE and print its text, this once."""
    from weighbridge.gateway.key_store import KeyStore, KeyTerms, parse_budget

    terms = KeyTerms(
        tenant=tenant,
        models=models,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        concurrency=concurrency,
        budgets=tuple(parse_budget(text) for text in budgets),
        expires_at=expires.replace(tzinfo=dt.UTC).timestamp() if expires else None,
        tags=tags,
        data_class=data_class,
        priority=priority,
    )
    _show_text(*KeyStore(store).create(terms, time.time(), key_id), as_json)


@keys.command()
@click.argument("store", type=_STORE)
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace-hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="How long the text in use still opens.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rotate(store: Path, key_id: str, grace_hours: float, as_json: bool) -> None:
    """Give key ID of STORE a new text and print it, this once."""
    from weighbridge.gateway.key_store import KeyStore

    _show_text(*KeyStore(store).rotate(key_id, grace_hours * 3600.0, time.time()), as_json)


@keys.command()
@click.argument("store", type=_STORE)
@click.argument("key_id", metavar="ID")
def revoke(store: Path, key_id: str) -> None:
    """Shut key ID of STORE for good."""
    from weighbridge.gateway.key_store import KeyStore

    key = KeyStore(store).revoke(key_id)
    click.echo(f"Key {key.id} of {key.terms.tenant} is revoked.")


@keys.command(name="list")
@click.argument("store", type=_STORE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(store: Path, as_json: bool) -> None:
    """Keys of STORE with their terms, never their texts."""
    from weighbridge.gateway.key_store import KeyStore

    held = KeyStore(store).list()
    if as_json:
        import json

        click.echo(json.dumps([_row(key) for key in held], indent=2))
        return
    _print_table(held)


def _show_text(key: StoredKey, text: str, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps({**_row(key), "key": text}, indent=2))
        return
    click.echo(text)
    click.echo(
        f"Key {key.id} of {key.terms.tenant}. Keep it now: it is stored nowhere and shown once.",
        err=True,
    )


def _row(key: StoredKey) -> dict[str, object]:
    import msgspec

    terms = msgspec.to_builtins(key.terms)
    expires_at = terms.pop("expires_at", None)
    return {
        "id": key.id,
        "state": _state(key),
        "created_at": _moment(key.created_at),
        "expires_at": None if expires_at is None else _moment(expires_at),
        **terms,
    }


def _state(key: StoredKey) -> str:
    ends = key.terms.expires_at
    if key.revoked:
        return "revoked"
    return "expired" if ends is not None and ends <= time.time() else "active"


def _moment(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_table(held: tuple[StoredKey, ...]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("id", "tenant", "state", "expires", "models", "limits", "budgets", "data class"):
        table.add_column(head, overflow="fold")
    for key in held:
        terms = key.terms
        ends = "never" if terms.expires_at is None else _moment(terms.expires_at)[:10]
        budgets = [f"${one.usd}/{one.period}:{one.kind}" for one in terms.budgets]
        table.add_row(
            key.id,
            terms.tenant,
            _state(key),
            ends,
            " ".join(terms.models) or "all",
            _limits_words(key) or "none",
            " ".join(budgets) or "none",
            terms.data_class or "",
        )
    console = Console(highlight=False, markup=False)
    console.width = min(_WIDTH, console.width) if console.is_terminal else _WIDTH
    console.print(table)


def _limits_words(key: StoredKey) -> str:
    terms = key.terms
    parts = (
        (terms.requests_per_minute, "rpm"),
        (terms.tokens_per_minute, "tpm"),
        (terms.concurrency, "at once"),
    )
    return ", ".join(f"{value:,} {unit}" for value, unit in parts if value is not None)
