"""Every spelling that people and benchmarks use comes to one id of the catalog, or is refused."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.catalog.canonical import (
    _aliases,
    canonical_engine,
    canonical_gpu,
    canonical_model,
    canonical_precision,
)
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.memory import BYTES_PER_PARAMETER
from weighbridge.units import InputError

CATALOG = load_catalog()

MODELS = {
    "MiniMaxAI/MiniMax-M2.5": "minimax-m2.5",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "Qwen/Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    "Qwen3-235B-A22B": "qwen3-235b-a22b",
    "bloom-176b": "bloom-176b",
    "deepseek-ai/DeepSeek-R1": "deepseek-r1",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-r1",
    "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-v3.1",
    "nvidia/Qwen3-32B-NVFP4": "qwen3-32b",
    "llama2-70b": "llama-2-70b",
    "llama2-70b-99": "llama-2-70b",
    "llama2-70b-99.9": "llama-2-70b",
    "llama3.1-405b": "llama-3.1-405b",
    "llama3.1-8b": "llama-3.1-8b",
    "Llama 3.1 405B": "llama-3.1-405b",
    "Llama 3.3 70B": "llama-3.3-70b",
    "Llama 4 Scout": "llama-4-scout",
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "mixtral-8x7b": "mixtral-8x7b",
    "moonshotai/Kimi-K2.5": "kimi-k2.5",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "zai-org/GLM-5-FP8": "glm-5",
    "zhipuai/GLM-5": "glm-5",
    "meta-llama/Llama-3.1-70B-Instruct": "llama-3.1-70b",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama/Llama-2-70b-chat-hf": "llama-2-70b",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": "llama-4-scout",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8": "llama-4-maverick",
    "Qwen/Qwen3-30B-A3B-Instruct-2507": "qwen3-30b-a3b",
    "Qwen/Qwen3-32B-FP8-Static-PerTensor": "qwen3-32b",
    "Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8": "qwen2.5-72b",
    "unsloth/Llama-3.3-70B-Instruct-bnb-4bit": "llama-3.3-70b",
    "unsloth/Qwen3-32B-GGUF": "qwen3-32b",
    "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4": "llama-3.1-70b",
    "RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w4a16": "llama-3.1-70b",
    "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic": "llama-3.3-70b",
    "llama3.1:70b": "llama-3.1-70b",
    "qwen3:30b-a3b-q4_K_M": "qwen3-30b-a3b",
    "gpt-oss:120b": "gpt-oss-120b",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "mixtral-8x7b",
    "mistralai/Mixtral-8x22B-v0.1": "mixtral-8x22b",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral-7b-v0.3",
    "mistralai/Mistral-Small-24B-Instruct-2501": "mistral-small-24b",
    "google/gemma-3-27b-it": "gemma-3-27b",
    "deepseek-ai/DeepSeek-R1-0528": "deepseek-r1",
    "deepseek-ai/DeepSeek-V3-0324": "deepseek-v3",
    "deepseek-ai/DeepSeek-V3.2-Exp": "deepseek-v3.2",
    "moonshotai/Kimi-K2-Instruct-0905": "kimi-k2",
    "bigscience/bloom": "bloom-176b",
    "/models/Qwen3-8B/": "qwen3-8b",
    "microsoft/phi-4": "phi-4",
}
# Of another shape or weights than any row, whatever their names contain.
OTHER_MODELS = [
    "NousResearch/Hermes-3-Llama-3.1-70B",
    "someone/Llama-3.1-70B-Instruct-abliterated",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF",
    "zai-org/GLM-4.5-Air",
    "Qwen/Qwen3-VL-32B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.2",
    "mistralai/Mistral-Small-Instruct-2409",
    "microsoft/phi-4-mini",
    "bigscience/bloomz",
    "nonsense",
    "",
]
GPUS = {
    "AMD Instinct MI300X 192GB HBM3": "mi300x",
    "AMD Instinct MI325X 256GB HBM3e": "mi325x",
    "MI300X": "mi300x",
    "B200": "b200-sxm",
    "b200_sxm": "b200-sxm",
    "NVIDIA B200-SXM-180GB": "b200-sxm",
    "b300_sxm": "b300-sxm",
    "GB200": "gb200",
    "NVIDIA GB200": "gb200",
    "NVIDIA GB300": "gb300",
    "gb300": "gb300",
    "H100": "h100-sxm",
    "h100-80gb": "h100-sxm",
    "h100-80gb-pcap": "h100-sxm",
    "h100_sxm": "h100-sxm",
    "NVIDIA H100-SXM-80GB": "h100-sxm",
    "H200": "h200-sxm",
    "h200_sxm": "h200-sxm",
    "H200 (slurm partition h200)": "h200-sxm",
    "NVIDIA H200-SXM-141GB": "h200-sxm",
    "Virtualized NVIDIA H200-SXM-141GB": "h200-sxm",
    "NVIDIA H200-NVL-141GB": "h200-nvl",
    "NVIDIA L40S": "l40s",
    "a100-80gb": "a100-80gb-sxm",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx-pro-6000",
    "RTX PRO 6000 Blackwell": "rtx-pro-6000",
    "[MAXSUN] MS-Intel Arc Pro B60 Dual 48G Turbo": "b60",
    "NVIDIA GeForce RTX 4090": "rtx-4090",
    "NVIDIA GeForce RTX 5090": "rtx-5090",
    "NVIDIA RTX 6000 Ada Generation": "rtx-6000-ada",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie",
    "NVIDIA H100 NVL": "h100-nvl",
    "NVIDIA A100-SXM4-80GB": "a100-80gb-sxm",
    "NVIDIA A100-SXM4-40GB": "a100-40gb-sxm",
    "NVIDIA A100 80GB PCIe": "a100-80gb-pcie",
    "NVIDIA L4": "l4",
    "NVIDIA L40": "l40",
    "NVIDIA A10G": "a10g",
    "NVIDIA H20": "h20",
    "Tesla T4": "t4",
    "AMD Instinct MI355X": "mi355x",
    "8x H100": "h100-sxm",
    "MI300X (x8)": "mi300x",
    "H100, H100": "h100-sxm",
    "p5.48xlarge": "h100-sxm",
    "p5en.48xlarge": "h200-sxm",
    "p4d.24xlarge": "a100-40gb-sxm",
    "g5.12xlarge": "a10g",
    "g6e.xlarge": "l40s",
    "nvidia-h100-mega-80gb": "h100-sxm",
    "a3-highgpu-8g": "h100-sxm",
    "Standard_ND96isr_H100_v5": "h100-sxm",
    "Standard_NC24ads_A100_v4": "a100-80gb-pcie",
}
OTHER_GPUS = [
    "unknown 8-GPU node",
    "A100",
    "NVIDIA A100-PCIE-40GB",
    "NVIDIA GeForce RTX 4090 D",
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
    "H20-141GB",
    "V100",
    "",
]
PRECISIONS = {
    "fp8": "fp8",
    "FP8_E4M3": "fp8",
    "fp4": "fp4",
    "NVFP4": "fp4",
    "MXFP4": "fp4",
    "fp16": "bf16",
    "bf16": "bf16",
    "bfloat16": "bf16",
    "torch.bfloat16".removeprefix("torch."): "bf16",
    "int4": "int4",
    "UINT4": "int4",
    "AWQ": "int4",
    "w8a8": "int8",
}
ENGINES = {
    "vllm": "vllm",
    "vllm (2024) benchmark_latency.py": "vllm",
    "vllm nightly-5b8c30d62b754b57": "vllm",
    "vLLM 0.6.5.dev964+mlperf50, Pytorch 2.7.0a0+git3a58512, ROCm 6.3.1": "vllm",
    "Mango LLMBoost AI Enterprise Platform, ROCm 6.12.12": "vllm",
    "sglang nightly-dev-20260216-d3bae71e": "sglang",
    "trtllm 0.5.1-rc0.pre3": "tensorrt-llm",
    "tensorrt-llm 1.0 pytorch backend": "tensorrt-llm",
    "TensorRT 10.11, CUDA 12.9": "tensorrt-llm",
    "TGI": "tgi",
    "text-generation-inference 3.0": "tgi",
    "llama-server": "llama.cpp",
    "llama.cpp b4321": "llama.cpp",
    "Ollama": "ollama",
}


@pytest.mark.parametrize(("name", "model"), MODELS.items())
def test_a_models_spelling_comes_to_its_row(name, model):
    assert canonical_model(name, CATALOG) == model


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_a_model_of_another_shape_is_refused_and_no_parent_is_guessed(name):
    with pytest.raises(InputError) as caught:
        canonical_model(name, CATALOG)
    assert caught.value.field == "model"
    assert repr(name) in caught.value.problem


def test_a_fine_tune_is_told_whose_id_to_give_if_the_shape_is_the_same():
    with pytest.raises(InputError) as caught:
        canonical_model("NousResearch/Hermes-3-Llama-3.1-70B", CATALOG)
    assert caught.value.mend == (
        "if it has the shape of llama-3.1-70b, give that id; "
        "else add a row of your own under models"
    )


def test_a_misspelt_model_is_told_the_nearest_rows():
    with pytest.raises(InputError, match=r"lama 3.1 70b") as caught:
        canonical_model("lama 3.1 70b", CATALOG)
    assert caught.value.mend.startswith("use llama-3.1-70b or llama-3.3-70b")


@pytest.mark.parametrize(("name", "gpu"), GPUS.items())
def test_a_gpus_spelling_comes_to_its_row(name, gpu):
    assert canonical_gpu(name, CATALOG) == gpu


@pytest.mark.parametrize("name", OTHER_GPUS)
def test_a_gpu_without_a_row_is_refused(name):
    with pytest.raises(InputError) as caught:
        canonical_gpu(name, CATALOG)
    assert caught.value.field == "gpu"
    assert caught.value.mend


def test_a_name_that_leaves_the_memory_open_is_told_the_forms_to_choose_from():
    with pytest.raises(InputError) as caught:
        canonical_gpu("NVIDIA A100", CATALOG)
    for form in ("a100-40gb-sxm", "a100-80gb-sxm", "a100-80gb-pcie"):
        assert form in caught.value.mend


@pytest.mark.parametrize(
    "name",
    [
        "AMD Instinct MI325X 256GB HBM3E (x16), AMD Instinct MI300X 192GB HBM3 (x8)",
        "AMD Instinct MI300X 192GB HBM3 (x32), AMD Instinct MI325X 256GB HBM3e (x16)",
    ],
)
def test_a_machine_of_two_kinds_of_gpu_is_refused(name):
    with pytest.raises(InputError, match="mi300x and mi325x") as caught:
        canonical_gpu(name, CATALOG)
    assert "mixed" in caught.value.mend


@pytest.mark.parametrize(("name", "precision"), PRECISIONS.items())
def test_a_number_formats_spelling_comes_to_ours(name, precision):
    assert canonical_precision(name) == precision


@pytest.mark.parametrize(("name", "engine"), ENGINES.items())
def test_an_engines_spelling_comes_to_its_row(name, engine):
    assert canonical_engine(name) == engine


@pytest.mark.parametrize("name", ["", "auto", "fp6", "int3"])
def test_a_number_format_that_is_not_told_is_refused(name):
    with pytest.raises(InputError, match="bf16, fp8, int8, int4, fp4"):
        canonical_precision(name)


@pytest.mark.parametrize("name", ["", "my engine", "aphrodite", "not vllm"])
def test_an_engine_without_a_row_is_refused(name):
    with pytest.raises(InputError, match=r"llama\.cpp"):
        canonical_engine(name)


def test_a_canonical_id_is_its_own_canonical_id():
    for model in CATALOG.models:
        assert canonical_model(model, CATALOG) == model
    for gpu in CATALOG.gpus:
        assert canonical_gpu(gpu, CATALOG) == gpu
    for precision in BYTES_PER_PARAMETER:
        assert canonical_precision(precision) == precision
    for engine in CATALOG.engines:
        assert canonical_engine(engine) == engine


def test_the_name_that_a_row_shows_comes_to_that_row():
    for model in CATALOG.models.values():
        assert canonical_model(model.name, CATALOG) == model.id
    for gpu in CATALOG.gpus.values():
        assert canonical_gpu(gpu.name.split(",")[0], CATALOG) == gpu.id


@given(
    model=st.sampled_from(sorted(CATALOG.models)),
    organisation=st.sampled_from(["", "unsloth/", "nvidia/", "/data/models/"]),
    tuning=st.sampled_from(["", "-Instruct", "-it", "-Thinking", "-Instruct-2507", "-chat-hf"]),
    number_format=st.sampled_from(["", "-FP8", "-NVFP4", "-AWQ", "-GPTQ-Int4", "-GGUF", "-w4a16"]),
    written=st.sampled_from([str.upper, str.title, lambda s: s.replace("-", "_")]),
)
def test_what_only_tells_format_and_tuning_never_changes_the_model(
    model, organisation, tuning, number_format, written
):
    spelling = organisation + written(model + tuning + number_format)
    assert canonical_model(spelling, CATALOG) == model


@given(name=st.text(max_size=40))
def test_any_text_is_answered_by_an_id_or_by_a_fault_with_a_mend(name):
    for ask, known in (
        (lambda: canonical_model(name, CATALOG), CATALOG.models),
        (lambda: canonical_gpu(name, CATALOG), CATALOG.gpus),
        (lambda: canonical_precision(name), BYTES_PER_PARAMETER),
        (lambda: canonical_engine(name), CATALOG.engines),
    ):
        try:
            answer = ask()
        except InputError as fault:
            answer = None
            mend = fault.mend
        assert answer in known if answer is not None else mend


def test_aliases_name_rows_that_exist_and_no_two_models_share_a_spelling():
    aliases = _aliases()
    assert set(aliases.model_names.values()) <= set(CATALOG.models)
    assert {gpu for _, gpu in aliases.gpu_names} <= set(CATALOG.gpus)
    assert {engine for _, engine in aliases.engines} == set(CATALOG.engines)
    keys = [re.sub(r"[-\s]", "", model) for model in CATALOG.models]
    assert len(keys) == len(set(keys))


def test_a_users_own_row_is_found_by_its_name(tmp_path: Path):
    own = tmp_path / "own.yaml"
    own.write_text(
        "models:\n  - {id: acme-7b, name: Acme Lab 7B, parameters_billions: 7, "
        "active_parameters_billions: 7, n_layers: 32, n_kv_heads: 8, head_size: 128, "
        "attention: gqa, context_tokens: 8192, licence: own, source: our own training, "
        "checked_on: 2026-11-01}\n",
        encoding="utf-8",
    )
    catalog = load_catalog(own)
    assert canonical_model("acme/Acme_Lab-7B-Instruct-FP8", catalog) == "acme-7b"


def test_every_spelling_of_the_measured_points_comes_to_a_row_or_is_told_apart(checkout):
    table = checkout.parent / "shared" / "measured" / "measured_points.csv"
    if not table.is_file():
        pytest.skip("no ../shared/measured beside this checkout")
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {canonical_model(row["model"], CATALOG) for row in rows} <= set(CATALOG.models)
    assert {canonical_engine(row["engine"]) for row in rows} == {"vllm", "sglang", "tensorrt-llm"}
    assert {canonical_precision(row["precision"]) for row in rows if row["precision"]} == {
        "bf16",
        "fp8",
        "fp4",
        "int4",
    }
    refused = set()
    for gpu in {row["gpu"] for row in rows}:
        try:
            canonical_gpu(gpu, CATALOG)
        except InputError:
            refused.add(gpu)
    assert all(gpu == "unknown 8-GPU node" or "), " in gpu for gpu in refused), refused


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("RTXPRO6000", "rtx-pro-6000"),
        ("RTX PRO6000", "rtx-pro-6000"),
        ("RTXPRO6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("RTX6000Ada", "rtx-6000-ada"),
        ("RTX4090", "rtx-4090"),
        ("RTX5090", "rtx-5090"),
        ("H100SXM", "h100-sxm"),
        ("H100NVL", "h100-nvl"),
        ("A100SXM80GB", "a100-80gb-sxm"),
    ],
)
def test_names_written_without_spaces_are_the_same_gpus(name: str, gpu: str) -> None:
    assert canonical_gpu(name, CATALOG) == gpu


@pytest.mark.parametrize("gpu", sorted(CATALOG.gpus))
def test_an_id_is_known_with_its_hyphens_left_out(gpu: str) -> None:
    assert canonical_gpu(gpu.replace("-", "").upper(), CATALOG) == gpu
