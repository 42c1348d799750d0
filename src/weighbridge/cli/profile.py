"""`weighbridge profile`: who burns what, when, how concentrated, and what the log cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.usage.profile import ProfileOptions
    from weighbridge.usage.results import Profile


@click.command()
@click.option(
    "--usage",
    required=True,
    type=click.Path(path_type=Path),
    help="Ledger directory that `weighbridge import` wrote.",
)
@click.option(
    "--by",
    multiple=True,
    metavar="NAME[,NAME…]",
    help="Spend by tenant, feature, template, model, provider, data_class, target, service_tier "
    "or day, or by several at once. Repeat for more tables.",
)
@click.option(
    "--query-type-by",
    default="feature,template",
    show_default=True,
    metavar="NAME[,NAME…]",
    help="What makes a query type: any of tenant, feature, template.",
)
@click.option("--assume-model", help="Price requests without a model as this one.")
@click.option("--assume-provider", help="Provider of the assumed model.")
@click.option(
    "--prices", type=click.Path(path_type=Path), help="Your own price rows for --assume-model."
)
@click.option(
    "--caps",
    default="",
    metavar="CAP=N[,CAP=N…]",
    help="Hold the peaks against a provider's caps: requests_per_min, input_tokens_per_min, "
    "output_tokens_per_min, tokens_per_min.",
)
@click.option("--json", "json_", type=click.Path(path_type=Path), help="Write the whole profile.")
@click.option(
    "--top", type=click.IntRange(min=1), default=8, show_default=True, help="Rows shown per table."
)
def profile(**given: object) -> None:
    """Say who burns what, when, and how concentrated it is.

    Costs are list prices of each request at its instant. What has no known price is shown beside
    them and is never taken as free.
    """
    from weighbridge.cli.profile_screen import show

    by = tuple(_names(text) for text in _texts(given["by"]))
    found = _measure(given, by)
    if isinstance(given["json_"], Path):
        _write_json(found, given["json_"])
    top = given["top"]
    show(found, tuple(",".join(names) for names in by), top if isinstance(top, int) else 8)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()


def _text(value: object) -> str | None:
    return str(value) if value is not None else None


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _options(given: dict[str, object], by: tuple[tuple[str, ...], ...]) -> ProfileOptions:
    from weighbridge.usage.profile import ProfileOptions

    prices = given["prices"]
    return ProfileOptions(
        by=by,
        query_type_by=_names(str(given["query_type_by"])),
        assume_model=_text(given["assume_model"]),
        assume_provider=_text(given["assume_provider"]),
        prices_file=prices if isinstance(prices, Path) else None,
        caps=parse_caps(str(given["caps"])),
    )


def parse_caps(text: str) -> dict[str, float]:
    """Caps from `requests_per_min=50,input_tokens_per_min=20000`."""
    caps: dict[str, float] = {}
    for item in _names(text):
        name, equals, number = item.partition("=")
        try:
            limit = float(number)
        except ValueError:
            equals = ""
        if not equals or name in caps:
            problem = "is given twice" if name in caps else f"cannot be read ({item!r})"
            raise InputError("--caps", name, problem, "write each cap once, as requests_per_min=50")
        caps[name.strip()] = limit
    return caps


def _measure(given: dict[str, object], by: tuple[tuple[str, ...], ...]) -> Profile:
    from rich.console import Console

    with Console(stderr=True).status("opening the ledger") as status:
        from weighbridge.usage import profile as profiling
        from weighbridge.usage.store import open_ledger

        ledger = open_ledger(Path(str(given["usage"])))
        return profiling.profile(ledger, _options(given, by), on_step=status.update)


def _write_json(found: Profile, path: Path) -> None:
    import json

    from weighbridge.cli.decide import replace_file
    from weighbridge.report.files import plain

    body = {"schema": "weighbridge-profile", "version": 1, **plain(found, "profile")}
    replace_file(path, (json.dumps(body, ensure_ascii=False, indent=1) + "\n").encode())
