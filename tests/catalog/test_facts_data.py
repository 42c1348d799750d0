"""The packaged facts agree with each other and with what physics and the market allow."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date

import pytest

from weighbridge.catalog.facts import Catalog, load_catalog
from weighbridge.catalog.memory import KvDemand, n_gpus_to_fit

WRITTEN_ON = date(2026, 11, 21)
OLDEST_PRICE_ON = date(2026, 5, 21)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="module")
def rows(catalog: Catalog):
    return [
        *catalog.gpus.values(),
        *catalog.offers,
        *catalog.models.values(),
        *catalog.engines.values(),
        *catalog.throughput,
        *catalog.committed,
    ]


def test_every_kind_of_fact_has_rows(catalog):
    assert len(catalog.gpus) >= 15
    assert len(catalog.offers) >= 60
    assert len(catalog.models) >= 20
    assert len(catalog.engines) >= 6
    assert len(catalog.throughput) >= 40
    assert len(catalog.committed) >= 10


def test_every_row_names_a_document_and_a_day_that_has_passed(rows):
    for row in rows:
        assert len(row.source) > 20, row.id
        assert re.search(r"https://|PB-\d|documentation", row.source), row.id
        assert row.checked_on <= WRITTEN_ON, row.id


def test_prices_are_of_the_last_six_months(catalog):
    assert [o.id for o in catalog.offers if o.checked_on < OLDEST_PRICE_ON] == []


def test_no_fact_is_checked_after_the_day_of_a_study():
    assert load_catalog(as_of=WRITTEN_ON).digest == load_catalog().digest


def test_ids_are_short_words_that_a_command_line_takes(rows):
    assert [row.id for row in rows if not re.fullmatch(r"[a-z0-9][a-z0-9.\-]*", row.id)] == []


def test_newer_gpus_of_a_line_read_memory_faster(catalog):
    line = ["l4", "l40s", "a100-80gb-pcie", "a100-80gb-sxm", "h100-sxm", "h200-sxm", "b200-sxm"]
    bandwidths = [catalog.gpus[name].bandwidth_gb_per_s for name in line]
    assert bandwidths == sorted(bandwidths)
    amd = [catalog.gpus[name].bandwidth_gb_per_s for name in ("mi300x", "mi325x", "mi355x")]
    assert amd == sorted(amd)


def test_compute_is_dense_so_that_each_halving_of_the_format_about_doubles_it(catalog):
    for gpu in catalog.gpus.values():
        if gpu.dense_fp8_tflops is not None:
            assert 1.8 <= gpu.dense_fp8_tflops / gpu.dense_bf16_tflops <= 2.2, gpu.id
        if gpu.dense_fp4_tflops is not None:
            assert gpu.dense_fp8_tflops is not None, gpu.id
            # Consumer cards halve 8 and 16 bits where sums are in FP32, and leave 4 bits whole.
            most = 4.1 if "GeForce" in gpu.name else 3.2
            assert 1.8 <= gpu.dense_fp4_tflops / gpu.dense_fp8_tflops <= most, gpu.id


def test_no_gpu_is_beyond_what_is_sold_today(catalog):
    for gpu in catalog.gpus.values():
        assert 8 <= gpu.memory_gib <= 300, gpu.id
        assert 50 <= gpu.tdp_w <= 1500, gpu.id
        assert gpu.dense_bf16_tflops / gpu.tdp_w < 3, gpu.id
        assert gpu.purchase_usd is None or 500 <= gpu.purchase_usd <= 60_000, gpu.id


def test_links_are_told_in_one_direction_and_are_slower_than_memory(catalog):
    for gpu in catalog.gpus.values():
        if gpu.link_gb_per_s is not None:
            assert gpu.link_gb_per_s < gpu.bandwidth_gb_per_s / 2, gpu.id
            assert gpu.n_gpus_per_domain is not None, gpu.id
    nvlink = {gpu.id: gpu.link_gb_per_s for gpu in catalog.gpus.values()}
    assert nvlink["a100-80gb-sxm"] < nvlink["h100-sxm"] == nvlink["h200-sxm"] < nvlink["b200-sxm"]
    assert {g.id for g in catalog.gpus.values() if g.n_gpus_per_domain == 72} == {"gb200", "gb300"}
    only_pcie = [g for g in catalog.gpus.values() if g.n_gpus_per_domain == 1]
    assert all(g.link_gb_per_s is None or g.link_gb_per_s <= 64 for g in only_pcie)


def _price_by_plan(catalog):
    prices = defaultdict(lambda: defaultdict(list))
    for offer in catalog.offers:
        prices[offer.provider, offer.gpu][offer.plan].append(offer.usd_per_gpu_hour)
    return prices


@pytest.mark.parametrize("plan", ["spot", "reserved"])
def test_giving_up_freedom_is_never_dearer_than_on_demand(catalog, plan):
    compared = 0
    for place, by_plan in _price_by_plan(catalog).items():
        if by_plan[plan] and by_plan["on_demand"]:
            compared += 1
            assert max(by_plan[plan]) <= max(by_plan["on_demand"]), place
    assert compared >= 5


def test_prices_of_one_gpu_stay_within_a_market(catalog):
    for gpu_id in catalog.gpus:
        offers = catalog.offers_for(gpu_id, "on_demand")
        prices = [offer.usd_per_gpu_hour for offer in offers]
        if prices:
            assert max(prices) / min(prices) < 6, gpu_id


def test_the_gpus_that_people_rent_have_offers_of_more_than_one_kind(catalog):
    for gpu_id in ("h100-sxm", "h200-sxm", "a100-80gb-sxm"):
        kinds = {offer.kind for offer in catalog.offers_for(gpu_id, "on_demand")}
        assert {"hyperscaler", "specialist"} <= kinds, gpu_id


def test_every_measurement_fits_in_the_memory_of_its_gpus(catalog):
    for row in catalog.throughput:
        model, gpu = catalog.model(row.model), catalog.gpu(row.gpu)
        one_request = KvDemand(min_kv_tokens=row.input_tokens + row.output_tokens)
        assert n_gpus_to_fit(model, gpu, row.precision, 0.05, one_request) <= row.n_gpus, row.id


def test_every_measurement_is_below_what_the_memory_bus_and_the_cores_allow(catalog):
    for row in catalog.throughput:
        gpu, model = catalog.gpu(row.gpu), catalog.model(row.model)
        peak_tflops = {
            "bf16": gpu.dense_bf16_tflops,
            "fp8": gpu.dense_fp8_tflops,
            "fp4": gpu.dense_fp4_tflops,
        }[row.precision]
        tokens_per_s = row.output_tokens_per_s * (1 + row.input_tokens / row.output_tokens)
        needed_tflops = 2 * model.active_parameters_billions * tokens_per_s / 1e3
        assert needed_tflops < row.n_gpus * peak_tflops, row.id


def test_measurements_name_engines_of_the_catalog(catalog):
    assert {row.engine for row in catalog.throughput} <= set(catalog.engines)


def test_long_prompts_never_raise_the_output_of_a_replica(catalog):
    by_setup = defaultdict(dict)
    for row in catalog.throughput:
        setup = (row.model, row.gpu, row.n_gpus, row.precision, row.engine)
        by_setup[setup][row.input_tokens, row.output_tokens] = row.output_tokens_per_s
    compared = 0
    for setup, rates in by_setup.items():
        if {(1000, 1000), (5000, 500)} <= rates.keys():
            compared += 1
            assert rates[5000, 500] < rates[1000, 1000], setup
    assert compared >= 10


def test_engines_unfit_for_many_users_say_why(catalog):
    for engine in catalog.engines.values():
        if not engine.production_multi_user or engine.status != "active":
            assert engine.warning, engine.id
    assert catalog.engines["tgi"].status == "maintenance"
    assert not catalog.engines["ollama"].production_multi_user
    assert catalog.engines["vllm"].production_multi_user


def test_longer_commitments_cost_less_per_hour(catalog):
    by_unit = defaultdict(dict)
    for row in catalog.committed:
        by_unit[row.provider, row.model][row.commitment_months] = row.usd_per_hour
    for unit, prices in by_unit.items():
        ordered = [prices[months] for months in sorted(prices)]
        assert ordered == sorted(ordered, reverse=True), unit


def test_only_what_a_unit_serves_is_stated_and_output_weighs_more_than_input(catalog):
    for row in catalog.committed:
        if row.serves_output_tokens_per_min is not None:
            assert row.serves_input_tokens_per_min is not None, row.id
            assert row.serves_output_tokens_per_min < row.serves_input_tokens_per_min, row.id


def test_experts_are_more_than_what_one_token_passes(catalog):
    experts = [
        m for m in catalog.models.values() if m.active_parameters_billions < m.parameters_billions
    ]
    assert {"mixtral-8x7b", "deepseek-v3", "gpt-oss-120b"} <= {m.id for m in experts}
    latent = {m.id for m in catalog.models.values() if m.attention == "mla"}
    assert {"deepseek-v3", "deepseek-r1", "kimi-k2.5", "glm-5"} <= latent
    assert not any("llama" in name or "qwen" in name for name in latent)


def test_the_name_of_a_model_tells_its_size(catalog):
    for model in catalog.models.values():
        told = re.search(r"(?:^|[ -])(\d+(?:\.\d+)?)B\b", model.name)
        if told and "x" not in model.name:
            # A name has one or two figures: "1B" is 1.24 billion parameters.
            size = pytest.approx(float(told[1]), rel=0.1, abs=0.3)
            assert model.parameters_billions == size, model.id


def test_nothing_is_listed_twice(catalog):
    for rows in (catalog.offers, catalog.throughput, catalog.committed):
        ids = [row.id for row in rows]
        assert len(ids) == len(set(ids))
    names = [gpu.name for gpu in catalog.gpus.values()]
    assert len(names) == len(set(names))
