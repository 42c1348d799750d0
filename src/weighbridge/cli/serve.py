"""`weighbridge serve`: the gateway in front of every provider."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.units import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from weighbridge.gateway.config import Config

UPSTREAMS = {
    "openai": ("https://api.openai.com/v1", "openai"),
    "anthropic": ("https://api.anthropic.com/v1", "anthropic"),
}


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--observe", is_flag=True, help="Only meter: one target per model, no limits.")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="NAME|URL",
    help="With --observe and no CONFIG: openai, anthropic, or a URL up to /v1; repeatable.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("weighbridge-data"),
    show_default=True,
    help="With --upstream: where spool, ledger and state go.",
)
@click.option("--listen", help="Address instead of the configuration's, e.g. 127.0.0.1:8080.")
@click.option("--admin-listen", help="Address of the admin port instead of the configuration's.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--worker", type=int, hidden=True)
@click.option("--rehearsal-clock", metavar="START,SPEED", hidden=True)  # for `weighbridge demo`
def serve(
    config: Path | None,
    observe: bool,
    upstreams: tuple[str, ...],
    folder: Path,
    listen: str | None,
    admin_listen: str | None,
    workers: int,
    worker: int | None,
    rehearsal_clock: str | None,
) -> None:
    """Serve CONFIG: route and meter every request, and write it down.

    \b
    Without a CONFIG, in front of what you use today, metering only:
      weighbridge serve --observe --upstream openai
    """
    read = _reader(config, observe, upstreams, folder, listen, admin_listen)
    if rehearsal_clock is not None and workers > 1:
        raise InputError(
            "serve", "--rehearsal-clock", "stands beside --workers", "drop one of them"
        )
    if worker is None and workers > 1:
        code = _supervise(read(), workers)
    else:
        code = _run(read, worker or 0, workers, observe, rehearsal_clock)
    raise SystemExit(code)


def _reader(
    path: Path | None,
    observe: bool,
    upstreams: tuple[str, ...],
    folder: Path,
    listen: str | None,
    admin_listen: str | None,
) -> Callable[[], Config]:
    from weighbridge.gateway.config import read_config, with_addresses
    from weighbridge.gateway.observing import observing_config

    if path is None and not upstreams:
        mend = "name a file, or: weighbridge serve --observe --upstream openai"
        raise InputError("serve", "CONFIG", "is missing", mend)
    if path is not None and upstreams:
        raise InputError("serve", "--upstream", "stands beside CONFIG", "give one of the two")
    if path is None and not observe:
        raise InputError("serve", "--upstream", "asks for --observe", "add --observe, or a CONFIG")

    def read() -> Config:
        if path is not None:
            found = read_config(path)
        else:
            targets = [UPSTREAMS.get(name, (name, None)) for name in upstreams]
            found = observing_config(targets, folder)
        return with_addresses(found, listen, admin_listen)

    return read


def _run(
    read: Callable[[], Config], worker: int, n_workers: int, observe: bool, clock: str | None
) -> int:
    import uvloop

    from weighbridge.gateway.rehearsal_clock import parse_clock
    from weighbridge.gateway.worker import ServeOptions, Worker

    options = ServeOptions(
        worker, n_workers, observe, None if clock is None else parse_clock(clock)
    )

    async def main() -> int:
        made = Worker(read, options, say=_say)
        await made.run(lambda: _announce(made, observe) if worker == 0 else None)
        return 0

    return uvloop.run(main())


def _announce(made: object, observe: bool) -> None:
    from weighbridge.gateway.worker import Worker

    assert isinstance(made, Worker)
    host, port = made.address
    admin_host, admin_port = made.admin_address
    mode = "observing" if observe else "serving"
    _say(
        f"weighbridge: {mode} on http://{host}:{port}/v1, admin on http://{admin_host}:{admin_port}"
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _supervise(config: Config, n_workers: int) -> int:
    from weighbridge.gateway.supervisor import Supervisor
    from weighbridge.gateway.worker_metrics import forget_workers

    if config.listen[1] == 0:
        raise InputError("serve", "listen", "has port 0 with several workers", "name a port")
    forget_workers(config.place(config.settings.state_path))
    own = [sys.executable, "-m", "weighbridge", *sys.argv[1:]]
    commands = [[*own, "--worker", str(index)] for index in range(n_workers)]

    async def main() -> int:
        return await Supervisor(commands, config.settings.drain_s, _say).run()

    return asyncio.run(main())
