"""The command line: names and one-line helps here, each command loaded only when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from weighbridge.units import WeighbridgeError
from weighbridge.version import __version__

INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, as shells report it


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and the line that `--help` says of it without loading it."""

    target: str  # "module:attribute"
    short_help: str


COMMANDS: Mapping[str, Entry] = {
    "demo": Entry(
        "weighbridge.cli.demo:demo",
        "Send a made-up week through the gateway, decide, report.",
    ),
    "init": Entry(
        "weighbridge.cli.init:init",
        "Write a scenario.yaml to state what is known.",
    ),
    "import": Entry(
        "weighbridge.cli.importing:import_",
        "Read other tools' logs into a usage ledger.",
    ),
    "profile": Entry(
        "weighbridge.cli.profile:profile",
        "Say who burns what, when, and how concentrated it is.",
    ),
    "types": Entry(
        "weighbridge.cli.types:types",
        "Recognise query types that nobody named; name, merge, split.",
    ),
    "decide": Entry(
        "weighbridge.cli.decide:decide",
        "Weigh the options: costs, risk, verdict and report.",
    ),
    "reconcile": Entry(
        "weighbridge.cli.reconcile:reconcile",
        "Compare a provider's bill with the ledger, by day and model.",
    ),
    "predict": Entry(
        "weighbridge.cli.predict:predict",
        "Predict latency and throughput of a model on a GPU.",
    ),
    "size": Entry(
        "weighbridge.cli.size:size",
        "Say how many GPUs the traffic needs, and what tokens cost.",
    ),
    "calibrate": Entry(
        "weighbridge.cli.calibrate:calibrate",
        "Profile an endpoint from runs measured on it.",
    ),
    "sweep": Entry(
        "weighbridge.cli.sweep:sweep",
        "Trace the break-even surface over two inputs.",
    ),
    "serve": Entry(
        "weighbridge.cli.serve:serve",
        "Route and meter every request: the gateway.",
    ),
    "config": Entry(
        "weighbridge.cli.config:config",
        "Check the gateway's configuration, or make one from LiteLLM's.",
    ),
    "policy": Entry(
        "weighbridge.cli.policy:policy",
        "Say which rule and target a request meets, and why.",
    ),
    "keys": Entry(
        "weighbridge.cli.keys:keys",
        "Make, rotate, revoke and list the gateway's keys.",
    ),
    "compact": Entry(
        "weighbridge.cli.compact:compact",
        "Store what the gateway recorded in a usage ledger.",
    ),
    "prices": Entry(
        "weighbridge.cli.prices:prices",
        "Show, check and compare API prices.",
    ),
    "rehearse": Entry(
        "weighbridge.cli.rehearse:rehearse",
        "Stand in for a provider, run a small model, replay traffic.",
    ),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.entries = dict(entries or {})

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Names in the order of the table, which is the order in which people need them."""
        return list(self.entries)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """The command of that name, imported now."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is no click command")
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands from the table, importing none of them."""
        rows = [(name, entry.short_help) for name, entry in self.entries.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; our own faults and Ctrl-C become messages and exit codes."""
        try:
            return super().invoke(ctx)
        except WeighbridgeError as error:
            click.echo(f"error: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED_EXIT_CODE) from None


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="weighbridge %(version)s")
def weighbridge() -> None:
    """From your own LLM traffic: pay for hosted APIs, self-host, rent a platform, or split.

    Exit codes: 0 done; 2 input that must be mended (nothing was written); 3 rows were stored
    but more than 1 % were rejected.
    """


def main() -> None:
    """Entry point of the `weighbridge` command."""
    weighbridge.main(prog_name="weighbridge")
