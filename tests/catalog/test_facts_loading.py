"""A user's own file of facts: what it may add, and how its faults are told."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from weighbridge.catalog.facts import load_catalog, price_band
from weighbridge.units import CatalogError, InputError

OWN_GPU = """
gpus:
  - id: lab-gpu
    name: Lab GPU
    vendor: Lab
    memory_gib: 32
    bandwidth_gb_per_s: 1000
    dense_bf16_tflops: 100
    tdp_w: 250
    source: our own measurement
    checked_on: 2026-11-01
"""
OWN_OFFER = """
offers:
  - id: lab-offer
    provider: Lab
    kind: specialist
    gpu: lab-gpu
    n_gpus: 1
    plan: on_demand
    usd_per_gpu_hour: 0.5
    source: our own invoice
    checked_on: 2026-11-01
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> Path:
        path = tmp_path / "own.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def fault_of(path: Path, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        load_catalog(path, **options)
    return caught.value


def test_rows_of_a_users_file_stand_beside_those_of_the_package(write):
    catalog = load_catalog(write(OWN_GPU + OWN_OFFER))
    assert catalog.gpus["lab-gpu"].memory_gib == 32
    assert catalog.offers_for("lab-gpu", "on_demand")[0].usd_per_gpu_hour == 0.5
    assert len(catalog.gpus) == len(load_catalog().gpus) + 1


def test_a_users_row_takes_the_place_of_the_packaged_row_of_the_same_id(write):
    catalog = load_catalog(write(OWN_GPU.replace("lab-gpu", "h100-sxm")))
    assert catalog.gpus["h100-sxm"].name == "Lab GPU"
    assert len(catalog.gpus) == len(load_catalog().gpus)


def test_the_digest_changes_with_a_users_file_and_with_nothing_else(write):
    own = write(OWN_GPU)
    assert load_catalog().digest == load_catalog().digest
    assert load_catalog(own).digest == load_catalog(own).digest
    assert load_catalog(own).digest != load_catalog().digest


def test_an_empty_file_adds_nothing(write):
    assert load_catalog(write("")).gpus == load_catalog().gpus


def test_sources_may_be_named_once_and_referred_to(write):
    text = OWN_GPU.replace("our own measurement", "*ours")
    catalog = load_catalog(write('sources:\n  - &ours "Bench of 1 November"\n' + text))
    assert catalog.gpus["lab-gpu"].source == "Bench of 1 November"


@pytest.mark.parametrize(
    ("old", "new", "field", "problem"),
    [
        ("memory_gib: 32", "memory_gb: 32", "memory_gb", "not a field"),
        ("    source: our own measurement\n", "", "source", "missing"),
        ("source: our own measurement", "source: ''", "source", "''"),
        ("source: our own measurement", "source: '  '", "source", "blank"),
        ("memory_gib: 32", "memory_gib: lots", "memory_gib", "lots"),
        ("memory_gib: 32", "memory_gib: '32'", "memory_gib", "'32'"),
        ("memory_gib: 32", "memory_gib: -32", "memory_gib", "-32"),
        ("memory_gib: 32", "memory_gib: 0", "memory_gib", "is 0"),
        ("memory_gib: 32", "memory_gib: .nan", "memory_gib", "nan"),
        ("memory_gib: 32", "memory_gib: .inf", "memory_gib", "inf"),
        ("memory_gib: 32", "memory_gib: true", "memory_gib", "True"),
        ("checked_on: 2026-11-01", "checked_on: soon", "checked_on", "soon"),
        ("name: Lab GPU", "name: 7", "name", "is 7"),
        ("tdp_w: 250", "tdp_w: 250\n    purchase_usd: 900", "purchase_source", "together"),
    ],
)
def test_a_faulty_field_is_told_with_its_row_and_its_mend(write, old, new, field, problem):
    assert old in OWN_GPU
    fault = fault_of(write(OWN_GPU.replace(old, new)))
    assert fault.where.endswith("own.yaml: gpus lab-gpu")
    assert fault.field == field
    assert problem in fault.problem
    assert fault.mend


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("gpu: lab-gpu", "gpu: h100-sxn", "gpu"),
        ("kind: specialist", "kind: friend", "kind"),
        ("plan: on_demand", "plan: on_demand\n    commitment_months: 12", "commitment_months"),
        ("n_gpus: 1", "n_gpus: 0", "n_gpus"),
        ("n_gpus: 1", "n_gpus: 1.5", "n_gpus"),
        ("usd_per_gpu_hour: 0.5", "usd_per_gpu_hour: -0.5", "usd_per_gpu_hour"),
    ],
)
def test_a_faulty_offer_is_told_with_its_field(write, old, new, field):
    assert old in OWN_OFFER
    fault = fault_of(write(OWN_GPU + OWN_OFFER.replace(old, new)))
    assert (fault.where.endswith("offers lab-offer"), fault.field) == (True, field)


def test_an_unknown_gpu_is_answered_with_the_nearest_ids(write):
    fault = fault_of(write(OWN_OFFER.replace("lab-gpu", "h100-sxn")))
    assert "h100-sxm" in fault.mend


def test_an_id_that_stands_twice_is_refused(write):
    row = OWN_GPU.replace("\ngpus:\n", "")
    assert "stands twice" in fault_of(write(OWN_GPU + row)).problem


def test_a_key_written_twice_in_a_row_is_refused_with_its_line(write):
    fault = fault_of(write(OWN_GPU.replace("tdp_w: 250", "tdp_w: 250\n    tdp_w: 300")))
    assert "'tdp_w' is written twice" in fault.problem
    assert fault.where.endswith("line 10")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gpus: [", "not valid YAML"),
        ("- 1", "not a mapping"),
        ("cards: []", "not a kind of fact"),
        ("gpus: {a: 1}", "not a list"),
        ("gpus:\n  - name: no id", "missing"),
        ("gpus:\n  - 7", "missing"),
        ("gpus: !!python/object:os.system {}", "not valid YAML"),
        ("gpus: 2026-13-45", "not valid YAML"),
    ],
)
def test_a_file_of_another_shape_is_refused(write, text, problem):
    assert problem in fault_of(write(text)).problem


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path):
    (tmp_path / "latin.yaml").write_bytes(b"gpus: \xe9")
    assert "not UTF-8" in fault_of(tmp_path / "latin.yaml").problem
    assert "directory" in fault_of(tmp_path).problem
    assert "cannot be read" in fault_of(tmp_path / "none.yaml").problem
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    assert fault_of(tmp_path / "loop.yaml").where.endswith("loop.yaml")


def test_a_row_checked_after_the_day_of_the_study_is_refused(write):
    own = write(OWN_GPU)
    fault = fault_of(own, as_of=date(2026, 10, 1))
    assert fault.field == "checked_on"
    assert load_catalog(own, as_of=date(2026, 11, 21)).gpus["lab-gpu"]


def test_a_model_with_half_of_its_latent_attention_is_refused(write):
    row = """
models:
  - {id: m, name: M, parameters_billions: 8, active_parameters_billions: 9, n_layers: 4,
     n_kv_heads: 2, head_size: 64, attention: gqa, context_tokens: 4096, licence: MIT,
     source: ours, checked_on: 2026-11-01}
"""
    assert fault_of(write(row)).field == "active_parameters_billions"
    mended = row.replace("active_parameters_billions: 9", "active_parameters_billions: 8")
    assert fault_of(write(mended.replace("gqa", "mla"))).field == "kv_lora_rank"
    windowed = mended.replace("licence: MIT", "licence: MIT, sliding_window_tokens: 128")
    assert fault_of(write(windowed)).field == "n_sliding_layers"
    many = windowed.replace("licence: MIT", "licence: MIT, n_sliding_layers: 9")
    assert fault_of(write(many)).field == "n_sliding_layers"
    assert load_catalog(write(mended)).models["m"].n_layers == 4


def test_looking_for_what_is_not_there_names_what_is():
    catalog = load_catalog()
    with pytest.raises(CatalogError, match="h100-sxm"):
        catalog.offers_for("h100-sx", "on_demand")
    with pytest.raises(CatalogError, match=r"llama-3\.1-8b"):
        catalog.throughput_for("llama-3.1-8")
    with pytest.raises(CatalogError, match="no offer"):
        price_band(())


def test_offers_come_cheapest_first_and_the_band_is_theirs():
    offers = load_catalog().offers_for("h100-sxm", "on_demand")
    prices = [offer.usd_per_gpu_hour for offer in offers]
    low, middle, high = price_band(offers)
    assert prices == sorted(prices)
    assert (low, high) == (prices[0], prices[-1])
    assert sum(price <= middle for price in prices) * 2 >= len(prices)
    hyperscalers = load_catalog().offers_for("h100-sxm", "on_demand", "hyperscaler")
    assert {offer.kind for offer in hyperscalers} == {"hyperscaler"}
