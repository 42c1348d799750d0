"""`weighbridge config`: check a gateway's configuration, or make one from LiteLLM's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from weighbridge.policy.types import Policy

_FILE = click.Path(path_type=Path)


@click.group()
def config() -> None:
    """The gateway's configuration: one YAML file."""


@config.command()
@click.argument("file", type=_FILE)
def check(file: Path) -> None:
    """Read FILE as the gateway would, and say what is wrong or probably not meant.

    The keys, secrets, prices and certificates that FILE names are looked at too. Exits 0 where the
    gateway would start with it (notes may remain), 2 where it would not. A variable that a target
    names and that is not set here is a note: set it where the gateway runs.
    """
    from weighbridge.cli.policy_screen import show_policy
    from weighbridge.gateway.config import read_config
    from weighbridge.gateway.outside import check_outside

    read = read_config(file)
    check_outside(read, os.environ)
    prices = None if read.settings.prices is None else read.place(read.settings.prices)
    notes = _notes(read.policy, prices)
    show_policy(read.policy, notes)
    told = "no notes" if not notes else f"{len(notes)} note{'s'[: len(notes) > 1]}"
    click.echo(f"ok: policy {read.policy.version}, {told}")


def _notes(policy: Policy, prices: Path | None) -> list[str]:
    from weighbridge.catalog.facts import load_catalog
    from weighbridge.catalog.prices import compile_prices
    from weighbridge.policy.catalog_notes import gpu_notes, price_notes, secret_notes
    from weighbridge.policy.notes import notes_on

    return [
        *notes_on(policy),
        *gpu_notes(policy, load_catalog()),
        *price_notes(policy, compile_prices(prices)),
        *secret_notes(policy, os.environ),
    ]


@config.command("from-litellm")
@click.argument("file", type=_FILE)
@click.option("-o", "--out", type=_FILE, help="Write here instead of to standard output.")
def from_litellm(file: Path, out: Path | None) -> None:
    """Make a configuration from LiteLLM's config.yaml in FILE.

    What could not be carried over is listed on standard error, with the reason: first the models
    that clients ask for and that are not served. Keys written out in FILE are never copied;
    addresses held in the environment are looked up there.
    """
    from weighbridge.policy.document import load_yaml
    from weighbridge.policy.litellm import from_litellm as convert
    from weighbridge.policy.reading import read_policy
    from weighbridge.units import InputError

    if out is not None:
        _check_out(out)
    document, _ = load_yaml(file)
    if not isinstance(document.get("model_list"), list):
        raise InputError(
            str(file), "model_list", "is missing or no list", "name LiteLLM's config.yaml"
        )
    new, left_out = convert(document, os.environ)
    _list_left_out(document, new, left_out)
    if not new["targets"]:
        raise InputError(str(file), "model_list", "holds nothing that can be carried", "see above")
    read_policy(new, f"{file} as converted")
    text = f"# Made from {file.name} by `weighbridge config from-litellm`.\n{_yaml(new)}"
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text)
        click.echo(f"wrote {out}: look at it with `weighbridge config check {out}`", err=True)


def _list_left_out(document: dict[str, Any], new: dict[str, Any], notes: list[str]) -> None:
    from weighbridge.policy.litellm_losses import sort_notes

    lost, others = sort_notes(document, new, notes)
    for head, lines in (
        ("models that clients ask for are not carried:", lost),
        ("things to look at, for your information:", others),
    ):
        if lines:
            click.echo(f"{len(lines)} {head}", err=True)
        for line in lines:
            click.echo(f"  {line}", err=True)


def _check_out(out: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it."""
    from weighbridge.units import InputError

    if out.exists():
        raise InputError(str(out), "", "is there already", "name a new file")
    if not out.parent.is_dir():
        raise InputError(str(out), "", "lies in no folder that there is", "name another path")


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes a value that stands in two places twice, not as an alias."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's signature
            return True

    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, allow_unicode=True, width=98)
    return text


def _write(out: Path, text: str) -> None:
    from weighbridge.units import InputError

    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(str(out), "", "is there already", "name a new file") from None
    except OSError as fault:
        raise InputError(
            str(out), "", f"cannot be written ({fault.strerror})", "name another path"
        ) from None
