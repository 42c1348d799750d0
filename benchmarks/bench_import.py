"""Import speed: LiteLLM spend logs as JSON lines, from file to committed ledger.

    python benchmarks/bench_import.py [--rows 1000000] [--workers 2]

Rows are over 1 KB, name more than 200 models and cross price changes. Reported beside each other:
our import, and a plain loop of `json.loads` and `genai-prices` over a sample of the same file. The
totals of a sample of 2,000 rows are compared with genai-prices row by row.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
from genai_prices import Usage, calc_price
from genai_prices.data import providers

from weighbridge.catalog.prices import compile_prices
from weighbridge.usage.importing import ImportRequest, import_logs
from weighbridge.usage.store import open_ledger

FIRST = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
DAYS = 30
N_MODELS = 220
TEMPLATES = 4_000  # rows are made from as many different bodies, so that making them is quick
PLAIN_ROWS = 5_000
CHECKED_ROWS = 2_000


def price_changes() -> list[dt.date]:
    """Dates on which some listed price begins, newest first."""
    found = {
        price.constraint.start_date
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, list)
        for price in model.prices
        if getattr(price.constraint, "start_date", None) is not None
    }
    return sorted(found, reverse=True)


def changed_models() -> list[tuple[str, str]]:
    """Models with a dated price, first in the log so that its period crosses their changes."""
    return [
        (provider.id, model.id)
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, list)
        and any(getattr(p.constraint, "start_date", None) for p in model.prices)
    ]


def priced_models(first: dt.date) -> list[tuple[str, str]]:
    """Provider and model, each with a price for every bucket through the whole period."""
    book = compile_prices()
    last = first + dt.timedelta(days=DAYS)
    every = [*changed_models(), *((p.id, m.id) for p in providers for m in p.models)]
    found: dict[tuple[str, str], None] = {}
    for key in every:
        if all(book.rates_usd_per_mtok(*key, on) is not None for on in (first, last)):
            found[key] = None
        if len(found) == N_MODELS:
            break
    return list(found)


def bodies(first: dt.datetime) -> Iterator[tuple[str, str]]:
    """Rows of a spend log with two holes: the id, and the second at which the request began."""
    rng = random.Random(7)
    models = priced_models(first.date())
    for number in range(TEMPLATES):
        provider, model = models[number % len(models)]
        prompt = int(rng.lognormvariate(6.5, 1.4)) + 3
        cached = rng.choice((0, 0, prompt // 2, prompt // 3))
        output = int(rng.lognormvariate(5.2, 1.0)) + 1
        team = f"team-{rng.randrange(40)}"
        usage = {
            "completion_tokens": output,
            "prompt_tokens": prompt,
            "total_tokens": prompt + output,
            "completion_tokens_details": {"reasoning_tokens": output // 4, "audio_tokens": None},
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": None},
        }
        metadata = {
            "user_api_key_alias": f"key-{number % 97}",
            "user_api_key_team_alias": team.title(),
            "spend_logs_metadata": {"feature": f"feature-{number % 23}", "template": None},
            "additional_usage_values": {"cache_read_input_tokens": cached} if cached else {},
            "usage_object": usage,
            "status": "success",
            "attempted_retries": 0,
        }
        row = {
            "request_id": "@ID",
            "call_type": "acompletion",
            "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
            "spend": round(prompt * 1e-6 + output * 3e-6, 8),
            "total_tokens": prompt + output,
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "startTime": "@T.120000+00:00",
            "endTime": "@T.980000+00:00",
            "completionStartTime": "@T.410000+00:00",
            "model": model,
            "model_group": model,
            "custom_llm_provider": provider,
            "api_base": "https://example.invalid/v1",
            "metadata": metadata,
            "cache_hit": "False",
            "request_tags": ["User-Agent: openai-python", f"env:{rng.choice(('prod', 'stage'))}"],
            "team_id": team,
            "end_user": f"customer-{rng.randrange(5000)}",
            "status": "success",
        }
        at = first + dt.timedelta(days=DAYS) * (number / TEMPLATES)
        yield json.dumps(row), at.strftime("%Y-%m-%dT%H:%M")


def write_log(file: Path, n_rows: int, first: dt.datetime) -> None:
    """One log, in order of time, each row with an id of its own."""
    made = [body.replace("@T", minute + ":@S") for body, minute in bodies(first)]
    per_body = -(-n_rows // len(made))
    rng = random.Random(13)
    number = 0
    with file.open("w", encoding="utf-8") as stream:
        for body in made:
            start, _, rest = body.partition("@ID")
            first_at, second_at, third_at, end = rest.split("@S")
            for _ in range(min(per_body, n_rows - number)):
                number += 1
                s = f"{number % 60:02d}"
                stream.write(
                    f"{start}chatcmpl-{rng.getrandbits(112):028x}{first_at}{s}{second_at}{s}{third_at}{s}{end}\n"
                )


def genai_cost(row: dict[str, object]) -> Decimal:
    """Cost of one spend log row by genai-prices itself."""
    usage = row["metadata"]["usage_object"]  # type: ignore[index]
    return calc_price(
        Usage(
            input_tokens=usage["prompt_tokens"],
            cache_read_tokens=usage["prompt_tokens_details"]["cached_tokens"],
            output_tokens=usage["completion_tokens"],
        ),
        model_ref=str(row["model"]),
        provider_id=str(row["custom_llm_provider"]),
        genai_request_timestamp=dt.datetime.fromisoformat(str(row["startTime"])),
    ).total_price


def plain_loop(file: Path) -> tuple[float, int]:
    """CPU seconds of the simplest program that reads and prices rows, and its rows."""
    with file.open(encoding="utf-8") as stream:
        rows = [line for line, _ in zip(stream, range(PLAIN_ROWS), strict=False)]
    begun = time.process_time()
    total = sum((genai_cost(json.loads(row)) for row in rows), Decimal(0))
    assert total > 0
    return time.process_time() - begun, len(rows)


def check_sample(file: Path, ledger: Path, n_rows: int) -> tuple[int, Decimal]:
    """Compare stored costs with genai-prices, row by row; returns rows that differ, and the sum."""
    rng = random.Random(11)
    wanted = set(rng.sample(range(n_rows), min(CHECKED_ROWS, n_rows)))
    with file.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for number, line in enumerate(stream) if number in wanted]
    ids = [row["request_id"] for row in rows]
    parts = list(open_ledger(ledger).parquet_files)
    found = duckdb.execute(
        "SELECT request_id, list_cost_usd FROM read_parquet($1) WHERE request_id IN "
        "(SELECT unnest($2))",
        [parts, ids],
    ).fetchall()
    stored = dict(found)
    step = Decimal(1).scaleb(-12)
    differ = sum(abs(stored[row["request_id"]] - genai_cost(row)) > step for row in rows)
    return differ, sum(stored.values(), Decimal(0))


def main() -> None:
    """Make the log, import it, check it, print a table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    change = next(day for day in price_changes() if day < dt.date(2026, 11, 1))
    first = dt.datetime.combine(change, dt.time(), dt.UTC) - dt.timedelta(days=DAYS // 2)
    with tempfile.TemporaryDirectory() as folder:
        file, ledger = Path(folder) / "spend.jsonl", Path(folder) / "ledger"
        write_log(file, given.rows, first)
        size = file.stat().st_size
        before = [resource.getrusage(who) for who in (0, resource.RUSAGE_CHILDREN)]
        begun = time.perf_counter()
        report = import_logs(
            ImportRequest("litellm", (file,), ledger),
            now=dt.datetime.now(dt.UTC),
            n_workers=given.workers,
        )
        wall = time.perf_counter() - begun
        after = [resource.getrusage(who) for who in (0, resource.RUSAGE_CHILDREN)]
        cpu = sum(
            b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime
            for a, b in zip(before, after, strict=True)
        )
        manifest = report.manifests[0]
        differ, total = check_sample(file, ledger, given.rows)
        plain_s, plain_rows = plain_loop(file)
        stored = sum(f.stat().st_size for f in ledger.rglob("*.parquet"))
    print(f"log                    {given.rows:,} rows, {size / given.rows:,.0f} bytes each")
    print(f"models, unpriced       {manifest.n_models}, {sum(manifest.unpriced_models.values())}")
    print(f"period                 {manifest.first_at} to {manifest.last_at}; change on {change}")
    print(
        f"stored                 {manifest.rows_stored:,} rows, "
        f"{stored / given.rows:,.0f} bytes each"
    )
    print(f"wall                   {wall:.2f} s with {given.workers} workers")
    print(f"speed                  {given.rows / wall:,.0f} rows/s")
    print(f"CPU                    {cpu / given.rows * 1e6:.2f} s per million rows")
    print(
        f"peak memory            {after[0].ru_maxrss / 1024:,.0f} MiB here, "
        f"{after[1].ru_maxrss / 1024:,.0f} MiB in the largest worker"
    )
    print(
        f"plain json+genai loop  {plain_s / plain_rows * 1e6:.2f} CPU s per million rows, "
        f"{plain_s / plain_rows * given.rows / cpu:.1f} times ours"
    )
    print(f"rows off by > 1e-12    {differ} of {min(CHECKED_ROWS, given.rows):,}, sum ${total}")


if __name__ == "__main__":
    main()
