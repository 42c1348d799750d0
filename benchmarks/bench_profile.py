"""Profile of a large ledger: seconds, CPU, peak memory, and against one scan per table.

    python benchmarks/bench_profile.py                        10 million rows over 8 days
    python benchmarks/bench_profile.py --rows 100e6 --days 80 --no-naive

Rows are made by DuckDB straight into a ledger's layout: 200 query types, 12 tenants, 7 models,
long-tailed lengths, 1 % failures, some models without a price. The profile runs in a process of its
own, so that its peak memory is its own. The naive way reads the Parquet files once for each table
and takes exact quantiles; both are limited to 2 threads and the same memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEMORY_LIMIT_GIB = 2.5
THREADS = 2

ROWS = """
WITH drawn AS (
  SELECT range AS i,
    (hash(range * 8 + 1) % 1000003) / 1000003.0 AS u1, (hash(range * 8 + 2) % 1000003) / 1000003.0
      AS u2, (hash(range * 8 + 3) % 1000003) / 1000003.0 AS u3,
    (hash(range * 8 + 4) % 1000003) / 1000003.0 AS u4
  FROM range({first}, {last})
), typed AS (SELECT *, CAST(floor(200 * u1 * u1 * u1) AS INTEGER) AS kind FROM drawn)
SELECT
  md5(CAST(i AS VARCHAR)) AS request_id,
  TIMESTAMPTZ '2026-06-01 00:00:00+00' + INTERVAL {day} DAY
    + to_microseconds(CAST(86400000000 * pow((i - {first}) / {n}, 0.8) AS BIGINT)) AS started_at,
  'tenant-' || (kind % 12) AS tenant,
  'feature-' || (kind // 10) AS feature,
  'template-' || kind AS template,
  ['openai', 'anthropic', 'google'][1 + kind % 3] AS provider,
  'model-' || (kind % 7) AS model_requested,
  'model-' || (kind % 7) AS model,
  NULL::VARCHAR AS target,
  NULL::VARCHAR AS service_tier,
  ['internal', 'personal'][1 + kind % 2] AS data_class,
  CASE WHEN u2 < 0.01 THEN 'error' ELSE 'ok' END AS status,
  1::BIGINT AS attempts,
  CAST(exp(6.5 + 0.8 * ln((u3 + 1e-6) / (1 - u3 + 1e-6))) AS BIGINT) AS uncached_input_tokens,
  CAST(500 * u4 AS BIGINT) AS cache_read_tokens,
  0::BIGINT AS cache_write_tokens,
  CAST(exp(5.0 + 0.6 * ln((u4 + 1e-6) / (1 - u4 + 1e-6))) AS BIGINT) AS output_tokens,
  0::BIGINT AS reasoning_tokens,
  0.3 + 5 * u2 + 3 * u4 AS latency_s,
  0.1 + u2 AS ttft_s,
  CASE WHEN kind % 50 = 49 THEN 'unpriced' ELSE 'priced' END AS price_state,
  CASE WHEN kind % 50 = 49 THEN NULL ELSE CAST(0.0001 + u3 / 100 AS DECIMAL(18, 12)) END
    AS list_cost_usd,
  NULL::DECIMAL(18, 12) AS reported_cost_usd,
  NULL::VARCHAR AS estimated,
  'bench' AS prices_digest,
  'bench' AS import_id
FROM typed
"""

DIMENSIONS = ("tenant", "feature", "template", "model", "provider", "data_class", "day")
TYPE = "feature, template"
INPUT = "uncached_input_tokens + cache_read_tokens + cache_write_tokens"


def make_ledger(folder: Path, n_rows: int, days: int) -> None:
    """Write parts by day, and the manifest that makes them count."""
    import duckdb  # noqa: PLC0415
    import msgspec  # noqa: PLC0415

    from weighbridge.usage.store import FORMAT, FORMAT_VERSION, Manifest, Part  # noqa: PLC0415

    per_day = n_rows // days
    parts = []
    with duckdb.connect(config={"threads": THREADS, "memory_limit": "2GiB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for day in range(days):
            first = day * per_day
            sql = ROWS.format(first=first, last=first + per_day, n=per_day, day=day)
            name = f"requests/date=day-{day:04d}/part-{day:04d}.parquet"
            (folder / name).parent.mkdir(parents=True)
            connection.execute(
                f"COPY ({sql}) TO '{folder / name}' (FORMAT parquet, COMPRESSION zstd)"
            )
            parts.append(Part(name, per_day))
    (folder / "imports").mkdir()
    manifest = Manifest(
        import_id="bench",
        source="table",
        file_name="",
        content_sha256="",
        rows_read=per_day * days,
        rows_stored=per_day * days,
        rows_duplicate=0,
        rows_rejected=0,
        parts=tuple(parts),
    )
    (folder / "imports" / "bench.json").write_bytes(msgspec.json.encode(manifest))
    (folder / "ledger.json").write_text(json.dumps({"format": FORMAT, "version": FORMAT_VERSION}))


def run_profile(folder: Path) -> None:
    """Everything that the command does, from import of the libraries on."""
    from weighbridge.usage.profile import ProfileOptions, profile  # noqa: PLC0415
    from weighbridge.usage.store import open_ledger  # noqa: PLC0415

    begun = time.perf_counter()
    options = ProfileOptions(by=(("tenant", "model"),), caps={"requests_per_min": 1000})

    def on_step(step: str) -> None:
        print(f"  {time.perf_counter() - begun:6.2f} s  {step}", file=sys.stderr)

    found = profile(open_ledger(folder), options, on_step=on_step)
    print(f"  {len(found.query_types)} query types, {found.list_cost_usd} USD", file=sys.stderr)


def naive_statements() -> list[str]:
    """One statement per table of the profile, each over all requests."""
    use = (
        f"count(*), count(*) FILTER (status <> 'ok'), sum({INPUT}), sum(output_tokens), "
        "sum(list_cost_usd), count(*) FILTER (price_state = 'unpriced')"
    )
    day = "date_trunc('day', started_at)"
    statements = [
        f"SELECT {day if name == 'day' else name}, {use} FROM requests GROUP BY 1"
        for name in DIMENSIONS
    ]
    statements += [
        f"SELECT {use}, min(started_at), max(started_at) FROM requests",
        f"SELECT tenant, model, {use} FROM requests GROUP BY ALL",
        f"SELECT {TYPE}, {use} FROM requests GROUP BY ALL",
        f"SELECT {TYPE}, model, count(*) FROM requests GROUP BY ALL",
        f"SELECT {TYPE}, data_class, count(*) FROM requests GROUP BY ALL",
    ]
    sums = f"count(*) AS n, sum({INPUT} + output_tokens) AS t, sum(output_tokens) AS o"
    for window in ("minute", "hour", "day"):
        at = f"date_trunc('{window}', started_at) AS began"
        peaks = "max(n), arg_max(began, n), max(t), arg_max(began, t), max(o), arg_max(began, o)"
        statements += [
            f"SELECT {peaks} FROM (SELECT {at}, {sums} FROM requests GROUP BY ALL)",
            f"SELECT {TYPE}, {peaks} FROM (SELECT {TYPE}, {at}, {sums} FROM requests GROUP BY ALL)"
            " GROUP BY ALL",
        ]
    week = "dayofweek(started_at), hour(started_at)"
    statements += [
        f"SELECT {week}, {sums} FROM requests GROUP BY ALL",
        f"SELECT {TYPE}, {week}, {sums} FROM requests GROUP BY ALL",
    ]
    shares = "[0.1, 0.5, 0.9, 0.95, 0.99]"
    for quantity in (INPUT, "output_tokens", "latency_s", "ttft_s"):
        quantiles = f"quantile_disc({quantity}, {shares}), avg({quantity}), max({quantity})"
        answered = "FROM requests WHERE status = 'ok'"
        statements += [
            f"SELECT {quantiles} {answered}",
            f"SELECT {TYPE}, {quantiles} {answered} GROUP BY ALL",
        ]
    return statements


def run_naive(folder: Path) -> None:
    """The same tables, each from a scan of its own."""
    import duckdb  # noqa: PLC0415

    config = {
        "threads": THREADS,
        "memory_limit": f"{MEMORY_LIMIT_GIB}GiB",
        "temp_directory": str(folder / "spill"),
    }
    with duckdb.connect(config=config) as connection:
        connection.execute(
            "CREATE VIEW requests AS "
            "SELECT * REPLACE (make_timestamp(epoch_us(started_at)) AS started_at) "
            f"FROM read_parquet('{folder}/requests/*/*.parquet')"
        )
        for statement in naive_statements():
            connection.sql(statement).to_arrow_table()


def measure(way: str, folder: Path) -> dict[str, float]:
    """Run one way in a process of its own."""
    out = subprocess.run(
        [sys.executable, __file__, "--child", way, "--ledger", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(out.stdout)


def child(way: str, folder: Path) -> None:
    """Report what one way took of this process, libraries included."""
    begun = time.perf_counter()
    (run_profile if way == "profile" else run_naive)(folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    taken = {
        "wall_s": time.perf_counter() - begun,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_gib": used.ru_maxrss / 2**20,
    }
    print(json.dumps(taken))


def main() -> None:
    """Make the ledger, run both ways, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=10e6)
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--no-naive", action="store_true")
    parser.add_argument("--ledger", type=Path, help="read this one instead of making it")
    parser.add_argument("--child", choices=["profile", "naive"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.ledger)
        return
    with tempfile.TemporaryDirectory(prefix="weighbridge-bench-") as scratch:
        folder = given.ledger or Path(scratch)
        if not given.ledger or not folder.exists():
            folder.mkdir(exist_ok=True)
            make_ledger(folder, int(given.rows), given.days)
        print(f"{int(given.rows):,} rows, load average before: {os.getloadavg()[0]:.1f}")
        ways = ["profile"] if given.no_naive else ["profile", "naive"]
        taken = {way: measure(way, folder) for way in ways}
    print(f"{'':10}{'wall s':>9}{'CPU s':>9}{'peak GiB':>10}{'rows/s':>13}")
    for way, one in taken.items():
        rate = f"{given.rows / one['wall_s']:,.0f}"
        print(f"{way:10}{one['wall_s']:9.1f}{one['cpu_s']:9.1f}{one['peak_gib']:10.2f}{rate:>13}")
    if len(taken) == 2:
        for name in ("wall_s", "cpu_s"):
            ratio = taken["naive"][name] / taken["profile"][name]
            print(f"naive / profile, {name}: {ratio:.2f}")


if __name__ == "__main__":
    main()
