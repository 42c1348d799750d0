"""A made ledger of two models and a cache, and bills of it with what went wrong planted."""

import csv
import datetime as dt
import random
from collections import defaultdict
from decimal import Decimal

import pyarrow as pa

from weighbridge.catalog.prices import compile_prices
from weighbridge.ledger.exact import BUCKETS, TokenBuckets, request_cost_usd
from weighbridge.ledger.record import COLUMNS
from weighbridge.usage.price_classes import TOKEN_TYPES
from weighbridge.usage.store import write_table

FIRST = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
MODELS = (("openai", "gpt-4o-2024-08-06"), ("openai", "gpt-4o-mini-2024-07-18"))


def made_requests(n_days=14, n_per_hour=4, seed=1, models=MODELS, first=FIRST):
    """Requests with their exact cost, evenly over the days, lengths drawn."""
    draw, book = random.Random(seed), compile_prices()
    made = []
    for hour in range(n_days * 24):
        for provider, model in models:
            prices = book.find(provider, model)
            for k in range(n_per_hour):
                at = first + dt.timedelta(hours=hour, minutes=60 * k / n_per_hour)
                tokens = TokenBuckets(
                    draw.randint(200, 4000), draw.randint(0, 2000), 0, draw.randint(20, 900)
                )
                cost = request_cost_usd(prices, at, tokens)
                made.append((at, provider, model, tokens, cost))
    return made


def write_ledger(folder, made, tenant=lambda i: ("acme", "globex")[i % 2]):
    """Store made requests as a ledger."""
    empty = dict.fromkeys((c.name for c in COLUMNS), None)
    zero = dict.fromkeys((c.name for c in COLUMNS if c.name.endswith("_tokens")), 0)
    told = [
        {**empty, **zero, "status": "ok", "price_state": "priced", "import_id": "x"}
        | {"request_id": f"r{i}", "started_at": at, "provider": provider, "model": model}
        | {"model_requested": model, "tenant": tenant(i), "list_cost_usd": cost}
        | {bucket: getattr(tokens, bucket) for bucket in BUCKETS}
        for i, (at, provider, model, tokens, cost) in enumerate(made)
    ]
    columns = {c.name: [one[c.name] for one in told] for c in COLUMNS}
    columns["list_cost_usd"] = pa.array(columns["list_cost_usd"], pa.decimal128(18, 12))
    write_table(folder, pa.table(columns))
    return folder


def billed(made, factor=Decimal(1), digits=None):
    """What a provider would bill for them: (day, provider, model) to dollars."""
    sums = defaultdict(Decimal)
    for at, provider, model, _, cost in made:
        sums[at.date(), provider, model] += cost * factor
    if digits is not None:
        sums = {key: round(usd, digits) for key, usd in sums.items()}
    return dict(sums)


def write_bill(path, sums, extra=()):
    """A plain CSV bill."""
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["date", "model", "usd", "provider", "line_item"])
        for (day, provider, model), usd in sums.items():
            out.writerow([day, model, format(usd, "f"), provider, ""])
        out.writerows(extra)
    return path


def openai_pages(made, factors=None):
    """OpenAI's costs by line item, so that token types are told; factors by token type."""
    book, sums = compile_prices(), defaultdict(Decimal)
    words = dict(zip(TOKEN_TYPES, ("input", "cached input", "cache write", "output"), strict=True))
    for at, provider, model, tokens, _ in made:
        for bucket, name in zip(BUCKETS, TOKEN_TYPES, strict=True):
            if count := getattr(tokens, bucket):
                alone = TokenBuckets(**{**dict.fromkeys(BUCKETS, 0), bucket: count})
                cost = request_cost_usd(book.find(provider, model), at, alone)
                sums[at.date(), f"{model}, {words[name]}"] += cost * (factors or {}).get(name, 1)
    pages = []
    for day in sorted({day for day, _ in sums}):
        start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
        results = [
            {"amount": {"value": format(usd, "f"), "currency": "usd"}, "line_item": item}
            for (on, item), usd in sums.items()
            if on == day
        ]
        pages.append({"start_time": start, "end_time": start + 86400, "results": results})
    return {"object": "page", "data": pages, "has_more": False, "next_page": None}
