"""One dollar, 200 clients at once, three workers: what is spent, and by how much too much."""

from __future__ import annotations

from decimal import Decimal

import pytest

from weighbridge.ledger.lines import RequestLine
from weighbridge.rehearsal.provider_process import ProviderProcess
from weighbridge.rehearsal.provider_settings import Latency, Model, Settings

N_CLIENTS = 200
USD = 10**12
OUTPUT_USD_PER_TOKEN = Decimal(10) / 10**6
COSTLY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def talker():
    """A model that writes about 500 tokens, in about 50 ms."""
    model = Model(
        "gpt-4o",
        Decimal("2.5"),
        Decimal("1.25"),
        Decimal(0),
        Decimal(10),
        output_median_tokens=500,
        output_log_sd=0.2,
        latency=Latency(0.05, 0, 0, 0.1),
    )
    with ProviderProcess(Settings(models=(model,))) as one:
        yield one


@pytest.mark.parametrize("names_most", [True, False], ids=["bounded", "unbounded"])
def test_budget_of_a_dollar_holds_under_200_clients_over_three_workers(
    serving, talker, drive, run, names_most
) -> None:
    reserved_tokens = 1000 if names_most else 100

    def change(document) -> None:
        document["budgets"] = [{"scope": "tenant", "usd": 1, "period": "day"}]
        document["reserve_output_tokens"] = 100

    body = {**COSTLY, "max_tokens": 1000} if names_most else COSTLY
    talker.reset()
    with serving([talker.url], change, n_workers=3) as gateway:

        async def main():
            async with drive(gateway, N_CLIENTS, body) as load:
                await drive.until(lambda: load.statuses[429] > 1500, "the budget's end", 25.0)
                await load.stop()
                return load

        load = run(main)
        assert set(load.statuses) == {200, 429}
        assert gateway.stop() == 0
        lines = [line for line in gateway.lines() if isinstance(line, RequestLine)]
        assert {one.request_id for one in load.whole} == {line.request_id for line in lines}
        costs = [line.list_cost_pico_usd for line in lines if line.status == "ok"]
        spent = sum(costs)
        # What one request may cost beyond its reservation, for all that can be in flight.
        beyond = max(0, max(costs) - int(reserved_tokens * OUTPUT_USD_PER_TOKEN * USD))
        print("spent_usd", spent / USD)
        print("n_served", len(costs))
        assert 0.5 * USD < spent <= USD + N_CLIENTS * beyond
        bill = talker.bill()["total"]
        assert bill["n_requests"] == len(costs)
