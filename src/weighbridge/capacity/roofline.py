"""Time of an iteration from bytes, operations and collectives, under fitted efficiencies."""

from __future__ import annotations

import numpy as np

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import Efficiency, efficiency_of
from weighbridge.capacity.shape import Shape, shape_of
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.serving_fit import ServingFit


def step_time(deployment: Deployment, limits: EngineLimits, fit: ServingFit) -> StepTime:
    """Seconds of an iteration of one replica, from bytes, operations and fitted efficiencies.

    Parameters
    ----------
    deployment : Deployment
    limits : EngineLimits
        Sizes of the tables.
    fit : ServingFit
        `weighbridge.catalog.serving_fit.load_serving_fit()`, or one of your own.

    Returns
    -------
    StepTime
        With basis "roofline".
    """
    shape, efficiency = shape_of(deployment), efficiency_of(deployment, fit)
    n_requests = np.arange(limits.n_max_requests + 1, dtype=np.float64)
    n_tokens = np.arange(limits.n_max_batched_tokens + 1, dtype=np.float64)
    return StepTime(
        decode_s=decode_s(shape, efficiency, n_requests),
        mixed_s=mixed_s(shape, efficiency, n_tokens),
        kv_s_per_token=float(cache_s_per_token(shape, efficiency)),
        attention_s_per_pair=float(pair_s(shape, efficiency)),
        first_token_s=efficiency.first_token_s,
        basis="roofline",
    )


def distinct_experts(n_experts: Floats, n_active: Floats, n_tokens: Floats) -> Floats:
    """Expected experts of a layer that some token passes, all equally likely.

    `E * (1 - (1 - k/E)**n)`.

    Parameters
    ----------
    n_experts, n_active : float array
        E and k; 0 for dense models.
    n_tokens : float array

    Returns
    -------
    float array

    Examples
    --------
    >>> import numpy as np
    >>> distinct_experts(np.array(8.0), np.array(2.0), np.array(1.0)).round(3)
    np.float64(2.0)
    """
    share = n_active / np.maximum(n_experts, 1.0)
    return np.asarray(n_experts * -np.expm1(n_tokens * np.log1p(-np.minimum(share, 1 - 1e-9))))


def linear_s(shape: Shape, efficiency: Efficiency, n_tokens: Floats) -> Floats:
    """Linear layers of one iteration: weights streamed, products computed [s].

    `hypot(read, compute)`, since small matrices near the ridge neither stream nor compute at full
    rate, with the weights of dense layers and of every distinct
    expert that the tokens of all ranks pass.

    Parameters
    ----------
    shape : Shape
    efficiency : Efficiency
    n_tokens : float array
        Prompt and decode tokens of one rank.

    Returns
    -------
    float array
        [s]
    """
    experts = distinct_experts(
        np.asarray(shape.n_experts), np.asarray(shape.n_active_experts), n_tokens * shape.n_ranks
    )
    read_bytes = shape.dense_read_bytes + shape.expert_read_bytes * experts
    read = read_bytes / (shape.bandwidth_gb_per_s * 1e9 * efficiency.memory_frac)
    dense = shape.flop_per_token / efficiency.compute_frac
    routed = shape.expert_flop_per_token / efficiency.expert_frac
    compute = n_tokens * (dense + routed) / (shape.peak_tflops * 1e12)
    return np.asarray(np.hypot(read, compute))


def fixed_s(shape: Shape, efficiency: Efficiency) -> Floats:
    """Time of an iteration that no token adds to: launches and latencies of collectives [s]."""
    layers = efficiency.layer_s * shape.n_layers
    layers = layers + efficiency.expert_layer_s * shape.n_expert_layers
    layers = layers + efficiency.linear_layer_s * shape.n_linear_layers
    return np.asarray(efficiency.iteration_s + layers + efficiency.reduce_s * shape.n_all_reduces)


def collective_s(shape: Shape, efficiency: Efficiency, n_tokens: Floats) -> Floats:
    """Bytes of the collectives over the link [s]; their latencies are in `fixed_s`."""
    sent = shape.reduced_bytes_per_token / (shape.link_gb_per_s * 1e9 * efficiency.link_frac)
    return np.asarray(n_tokens * sent)


def activation_s(shape: Shape, efficiency: Efficiency, n_tokens: Floats) -> Floats:
    """Activations passed through memory between the products [s]."""
    passed = efficiency.n_activation_passes * shape.activation_bytes_per_token
    return np.asarray(n_tokens * passed / (shape.bandwidth_gb_per_s * 1e9))


def cache_s_per_token(shape: Shape, efficiency: Efficiency) -> Floats:
    """Reading the cache for each token of context of a decoding request [s/token]."""
    read = shape.kv_read_bytes_per_token / (shape.bandwidth_gb_per_s * 1e9 * efficiency.cache_frac)
    rate = shape.peak_bf16_tflops * 1e12 * efficiency.attention_frac
    return np.asarray(np.hypot(read, shape.kv_flop_per_token / rate))


def request_s(shape: Shape, efficiency: Efficiency) -> Floats:
    """What each decoding request adds whatever its context: bookkeeping, windows, states [s]."""
    rate = shape.bandwidth_gb_per_s * 1e9 * efficiency.cache_frac
    return np.asarray(efficiency.request_s + shape.request_read_bytes / rate)


def pair_s(shape: Shape, efficiency: Efficiency) -> Floats:
    """Attention of a prompt for each query-key pair [s]."""
    rate = shape.peak_bf16_tflops * 1e12 * efficiency.attention_frac
    return np.asarray(shape.flop_per_pair / rate)


def decode_s(shape: Shape, efficiency: Efficiency, n_requests: Floats) -> Floats:
    """Iteration of decoding requests alone, without what their contexts cost [s]."""
    return np.asarray(
        fixed_s(shape, efficiency)
        + linear_s(shape, efficiency, n_requests)
        + collective_s(shape, efficiency, n_requests)
        + activation_s(shape, efficiency, n_requests)
        + n_requests * request_s(shape, efficiency)
    )


def mixed_s(shape: Shape, efficiency: Efficiency, n_tokens: Floats) -> Floats:
    """Iteration with prompt tokens, without contexts and pairs, by all its tokens [s]."""
    n_launched = shape.n_layers + shape.n_expert_layers + shape.n_linear_layers
    return np.asarray(
        fixed_s(shape, efficiency)
        + efficiency.mixed_s
        + efficiency.mixed_layer_s * n_launched
        + linear_s(shape, efficiency, n_tokens)
        + collective_s(shape, efficiency, n_tokens)
        + activation_s(shape, efficiency, n_tokens)
    )
