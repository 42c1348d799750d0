"""What GPUs and engines cannot do: formats without units or kernels, splits, machines too small."""

from __future__ import annotations

from collections.abc import Mapping

from weighbridge.capacity.deployment import Deployment
from weighbridge.catalog.rows import Gpu, Precision

# Cache formats that engines take: --kv-cache-dtype of vLLM, SGLang and TGI, the quantisation of the
# cache of TensorRT-LLM, quant_policy of LMDeploy, --cache-type-k of llama.cpp. An engine of a
# person's own rows is not in this table and is taken at their word.
KV_FORMATS: Mapping[str, frozenset[Precision]] = {
    "vllm": frozenset({"bf16", "fp8"}),
    "sglang": frozenset({"bf16", "fp8", "fp4"}),
    "tensorrt-llm": frozenset({"bf16", "fp8", "int8", "fp4"}),
    "tgi": frozenset({"bf16", "fp8"}),
    "lmdeploy": frozenset({"bf16", "int8", "int4"}),
    "llama.cpp": frozenset({"bf16", "int8", "int4"}),
    "ollama": frozenset({"bf16", "int8", "int4"}),
}
N_GPUS_OF_SERVER = 8  # most that one server joins where no domain of links is larger
NVIDIA_ONLY = ("tensorrt-llm",)


def has_units(gpu: Gpu, precision: Precision) -> bool:
    """Whether the GPU computes in this format, so that data sheets give a rate of it."""
    if precision == "bf16":
        return gpu.has_bf16
    rates = {"fp8": gpu.dense_fp8_tflops, "fp4": gpu.dense_fp4_tflops}
    # Integer weights are unpacked to 16 bits by every engine here.
    return rates.get(precision, gpu.dense_bf16_tflops) is not None


def why_impossible(deployment: Deployment, is_chosen_format: bool) -> str:
    """Why no engine would start this, with what would; empty where nothing speaks against it."""
    found = (
        _unsplit(deployment),
        _too_wide(deployment),
        _unkept(deployment),
        _uncomputed(deployment, is_chosen_format),
    )
    return next((why for why in found if why), "")


def doubts(deployment: Deployment) -> tuple[str, ...]:
    """What runs otherwise than its name says, to be told beside the answer."""
    gpu, told = deployment.gpu, []
    if deployment.precision == "bf16" and not gpu.has_bf16:
        told.append(f"{gpu.name} has no BF16: taken in FP16, which not every model bears")
    elif not has_units(gpu, deployment.precision):
        told.append(
            f"{gpu.name} has no {deployment.precision} units: weights are unpacked to 16 bits"
        )
    if deployment.expert_parallel and deployment.n_data_parallel == 1:
        told.append("the fit tells no difference between experts spread and split in one rank")
    domain = gpu.n_gpus_per_domain or 1
    if 1 < domain < deployment.n_gpus:
        told.append(
            f"{deployment.n_gpus} GPUs span {-(-deployment.n_gpus // domain)} groups of {domain} "
            "linked ones; between groups PCIe is slower than the link that is taken"
        )
    return tuple(told)


def _unsplit(deployment: Deployment) -> str:
    model, n = deployment.model, deployment.n_tensor_parallel
    if model.n_heads is not None and model.n_heads % n:
        return (
            f"{n} GPUs cannot split the {model.n_heads} attention heads of {model.name}: "
            f"use a number that divides them"
        )
    if deployment.expert_parallel and model.n_experts and model.n_experts % deployment.n_gpus:
        return f"{deployment.n_gpus} GPUs cannot share {model.n_experts} experts evenly"
    return ""


def _too_wide(deployment: Deployment) -> str:
    gpu = deployment.gpu
    most = max(gpu.n_gpus_per_domain or 1, N_GPUS_OF_SERVER)
    if deployment.n_gpus <= most:
        return ""
    return (
        f"{deployment.n_gpus} GPUs span servers of {most}: the network between servers is not in "
        f"the step time; use at most {most} GPUs a replica"
    )


def _unkept(deployment: Deployment) -> str:
    gpu, engine, kv = deployment.gpu, deployment.engine, deployment.kv_precision
    takes = KV_FORMATS.get(engine)
    if takes is not None and kv not in takes:
        return f"{engine} keeps no cache in {kv}: use --kv-precision {' or '.join(sorted(takes))}"
    if kv in ("fp8", "fp4") and not has_units(gpu, kv):
        return f"{gpu.name} has no {kv} units for a cache in {kv}: use --kv-precision bf16"
    if engine in NVIDIA_ONLY and gpu.vendor != "NVIDIA":
        return f"{engine} runs on NVIDIA's GPUs only"
    return ""


def _uncomputed(deployment: Deployment, is_chosen_format: bool) -> str:
    gpu = deployment.gpu
    if deployment.precision != "bf16" or gpu.has_bf16 or is_chosen_format:
        return ""
    return f"{gpu.name} has no BF16: ask for --precision fp16 where the model bears FP16"
