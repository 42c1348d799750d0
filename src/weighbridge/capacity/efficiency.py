"""How far a deployment stays from its data sheet: global coefficients and shrunken effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.shape import hidden_size
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.rows import Gpu, Model
from weighbridge.catalog.serving_fit import ServingFit


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How far from the data sheet a deployment is; every field a number or an array.

    Attributes
    ----------
    memory_frac, cache_frac : float
        Share of the memory's bandwidth that reading weights, and the KV cache, reaches.
    compute_frac, expert_frac, attention_frac : float
        Share of the dense rate that linear layers, experts, and attention over prompts reach.
    n_activation_passes : float
        Times that activations are read or written in a layer, as if from memory.
    link_frac : float
        Share of the link's bandwidth that collectives reach.
    iteration_s : float
        Fixed time of an iteration: scheduling, sampling, launching [s].
    layer_s, expert_layer_s, linear_layer_s : float
        Fixed time of a layer, and more of one with experts or with linear attention [s].
    reduce_s : float
        Fixed time of one collective [s].
    request_s : float
        For each decoding request of an iteration [s].
    mixed_s, mixed_layer_s : float
        More of an iteration with prompt tokens, which runs outside captured graphs, and more of
        each layer of it; layers with experts or linear attention count twice [s].
    first_token_s : float
        Outside the engine's iterations, for each request [s].
    burst_ratio : float
        Share of a benchmark's requests, halved, that wait for the prompts of all that started
        with them: load generators start every slot at once.
    wait_ratio : float
        Prompts of those that end in the same iterations, which a new prompt waits for.
    """

    memory_frac: float
    cache_frac: float
    compute_frac: float
    expert_frac: float
    attention_frac: float
    n_activation_passes: float
    link_frac: float
    iteration_s: float
    layer_s: float
    expert_layer_s: float
    linear_layer_s: float
    reduce_s: float
    request_s: float
    mixed_s: float
    mixed_layer_s: float
    first_token_s: float
    burst_ratio: float
    wait_ratio: float


EFFICIENCY_FIELDS = tuple(field.name for field in fields(Efficiency))
# Shares of what a data sheet promises: never above 1.
FRACTIONS = tuple(name for name in EFFICIENCY_FIELDS if name.endswith("_frac"))
_SHARPNESS = 8.0
# Graphics memory of the catalog ends at 1,792 GB/s (GDDR7 on 512 wires); the modules' chips on PCIe
# boards, with memory on the package, start at 1,935.
_MOST_CARD_GB_PER_S = 1_900.0


def bounded(frac: Floats) -> Floats:
    """A share that effects multiplied, kept below 1: `x / (1 + x**8)**(1/8)`.

    Below 0.6 it is as good as x; products of effects that no measurement had together end below
    the data sheet. It keeps order: what was larger stays larger.

    Parameters
    ----------
    frac : float array
        Above 0 [1].

    Examples
    --------
    >>> [round(float(bounded(np.array(x))), 3) for x in (0.5, 0.9, 1.3, 4.0)]
    [0.5, 0.861, 0.986, 1.0]
    """
    # Rounding takes what is far above 1 to 1 itself.
    return np.asarray(np.minimum(frac * (1.0 + frac**_SHARPNESS) ** (-1 / _SHARPNESS), 1 - 1e-9))


def bounded_slope(bounded_frac: Floats) -> Floats:
    """Slope of the logarithm of `bounded` by that of its argument, from its value.

    Parameters
    ----------
    bounded_frac : float array
        [1]
    """
    return np.asarray(1.0 - bounded_frac**_SHARPNESS)


def efficiency_at(log_ratios: Mapping[str, Floats]) -> Efficiency:
    """Efficiencies from natural logarithms by field, fractions kept below 1.

    Parameters
    ----------
    log_ratios : mapping of str to float array
    """
    columns = {name: np.exp(log_ratios[name]) for name in EFFICIENCY_FIELDS}
    columns |= {name: bounded(columns[name]) for name in FRACTIONS}
    return Efficiency(**columns)  # type: ignore[arg-type]


def generation_of(gpu: Gpu) -> str:
    """Vendor and narrowest format with units of its own, which tells generations apart.

    Cards with graphics memory are generations of their own: their chips, clocks and memory are
    others than those of the modules with which they share a format.

    >>> from weighbridge.catalog.facts import load_catalog
    >>> generation_of(load_catalog().gpu("h200-sxm"))
    'nvidia-fp8'
    >>> generation_of(load_catalog().gpu("rtx-4090"))
    'nvidia-fp8-card'
    """
    if gpu.dense_fp4_tflops is not None:
        narrowest = "fp4"
    else:
        narrowest = "bf16" if gpu.dense_fp8_tflops is None else "fp8"
    return f"{gpu.vendor.lower()}-{narrowest}{'-card' if is_card(gpu) else ''}"


def is_card(gpu: Gpu) -> bool:
    """Whether it is a card with graphics memory: consumer, workstation, small server cards.

    >>> from weighbridge.catalog.facts import load_catalog
    >>> [is_card(load_catalog().gpu(name)) for name in ("rtx-5090", "l40s", "h100-pcie")]
    [True, True, False]
    """
    return gpu.n_gpus_per_domain == 1 and gpu.bandwidth_gb_per_s < _MOST_CARD_GB_PER_S


def kind_of(model: Model) -> str:
    """ "dense", or of mixtures of experts "latent", "hybrid" or "grouped" by their attention."""
    if not model.n_experts:
        return "dense"
    if model.kv_lora_rank is not None:
        return "latent"
    hybrid = model.n_linear_attention_layers or model.n_sliding_layers
    return "hybrid" if hybrid else "grouped"


def architecture_of(model: Model) -> str:
    """Layers, width and experts: fine-tunes and later training share them.

    >>> from weighbridge.catalog.facts import load_catalog
    >>> catalog = load_catalog()
    >>> architecture_of(catalog.model("deepseek-r1"))
    '61x7168x256'
    """
    return f"{model.n_layers}x{hidden_size(model):.0f}x{model.n_experts or 0}"


def levels_of(deployment: Deployment) -> Mapping[str, str]:
    """Level of every factor that an effect may hang on.

    Parameters
    ----------
    deployment : Deployment

    Returns
    -------
    mapping of str to str
    """
    generation = generation_of(deployment.gpu)
    architecture = architecture_of(deployment.model)
    return {
        "engine": deployment.engine,
        "generation": generation,
        "precision": deployment.precision,
        "units": f"{generation}:{deployment.precision}",
        "kind": kind_of(deployment.model),
        "engine_kind": f"{deployment.engine}:{kind_of(deployment.model)}",
        "architecture": architecture,
        "pair": f"{architecture}:{generation}",
        "setup": f"{architecture}:{deployment.gpu.id}:{deployment.engine}",
    }


def efficiency_of(deployment: Deployment, fit: ServingFit) -> Efficiency:
    """Efficiencies of one deployment: coefficients times the effects of its levels.

    Parameters
    ----------
    deployment : Deployment
    fit : ServingFit
        A level that the fit never saw has no effect.

    Returns
    -------
    Efficiency
    """
    levels = levels_of(deployment)
    logs = {name: float(np.log(fit.coefficients[name])) for name in EFFICIENCY_FIELDS}
    for effect in fit.effects:
        if levels[effect.factor] == effect.level:
            for name in effect.fields:
                logs[name] += effect.log_ratio
    found = efficiency_at({name: np.asarray(log) for name, log in logs.items()})
    return Efficiency(**{name: float(getattr(found, name)) for name in EFFICIENCY_FIELDS})


def stacked_efficiencies(efficiencies: Sequence[Efficiency]) -> Efficiency:
    """One whose fields are arrays over the given ones.

    Parameters
    ----------
    efficiencies : sequence of Efficiency
    """
    columns: dict[str, Floats] = {
        name: np.array([getattr(one, name) for one in efficiencies]) for name in EFFICIENCY_FIELDS
    }
    return Efficiency(**columns)  # type: ignore[arg-type]
