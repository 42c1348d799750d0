"""Input that no simulation can be run with, told in the words of whoever gave it."""

from __future__ import annotations

import numpy as np

from weighbridge.capacity.fleet import Autoscaling, FleetPlan
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Floats, Requests
from weighbridge.units import InputError


def check(requests: Requests, step: StepTime, limits: EngineLimits, fleet: FleetPlan) -> None:
    """Raise `InputError` where the inputs contradict each other."""
    _check_limits(limits)
    _check_step_time(step, limits)
    _check_fleet(fleet)
    _check_prefix(requests, limits)
    _check_fit(requests, limits)


def _check_limits(limits: EngineLimits) -> None:
    for name in ("kv_tokens", "n_max_requests", "n_max_batched_tokens", "n_block_tokens"):
        if getattr(limits, name) < 1:
            raise InputError("EngineLimits", name, "is below 1", "give a whole number from 1 on")
    if limits.n_ranks < 1:
        raise InputError("EngineLimits", "n_ranks", "is below 1", "give 1 without data parallelism")
    if limits.kv_tokens % limits.n_block_tokens:
        raise InputError(
            "EngineLimits",
            "kv_tokens",
            f"{limits.kv_tokens} is no whole number of blocks of {limits.n_block_tokens} tokens",
            f"give {limits.kv_tokens // limits.n_block_tokens * limits.n_block_tokens}",
        )
    if limits.n_max_requests > limits.n_max_batched_tokens:
        raise InputError(
            "EngineLimits",
            "n_max_requests",
            f"{limits.n_max_requests} requests cannot all decode in an iteration of "
            f"{limits.n_max_batched_tokens} tokens",
            "lower it, or raise n_max_batched_tokens",
        )


def _check_step_time(step: StepTime, limits: EngineLimits) -> None:
    _check_table("decode_s", step.decode_s, limits.n_max_requests)
    _check_table("mixed_s", step.mixed_s, limits.n_max_batched_tokens)
    for name in ("kv_s_per_token", "attention_s_per_pair", "first_token_s"):
        value = getattr(step, name)
        if not (np.isfinite(value) and value >= 0.0):
            raise InputError("StepTime", name, f"{value} is no time", "give seconds, 0 or more")


def _check_table(name: str, table_s: Floats, n_needed: int) -> None:
    if len(table_s) < n_needed + 1:
        raise InputError(
            "StepTime",
            name,
            f"ends at {len(table_s) - 1}, but the limits allow {n_needed}",
            f"give {n_needed + 1} values, the first of them not used",
        )
    used = np.asarray(table_s[1 : n_needed + 1])
    if not (np.isfinite(used).all() and (used >= 0.0).all()):
        raise InputError("StepTime", name, "has a value that is no time", "give seconds")


def _check_fleet(fleet: FleetPlan) -> None:
    if fleet.n_replicas < 1:
        raise InputError("FleetPlan", "n_replicas", "is below 1", "give at least one replica")
    bound = fleet.overflow_above_requests
    if bound is not None and bound < 0:
        raise InputError(
            "FleetPlan", "overflow_above_requests", "is negative", "give 0 or more, or nothing"
        )
    n_most = fleet.n_replicas
    if fleet.autoscaling is not None:
        _check_autoscaling(fleet.autoscaling, fleet.n_replicas)
        n_most = fleet.autoscaling.n_max_replicas
    for loss in fleet.losses:
        if not 0 <= loss.replica < n_most:
            raise InputError(
                "FleetPlan",
                "losses",
                f"name replica {loss.replica} of {n_most}",
                f"give a number from 0 to {n_most - 1}",
            )
        if not 0.0 <= loss.from_s < loss.to_s:
            raise InputError(
                "FleetPlan",
                "losses",
                f"from {loss.from_s} s to {loss.to_s} s is no stretch of time",
                "let it begin at 0 or later, and end after it began",
            )


def _check_autoscaling(scaling: Autoscaling, n_at_start: int) -> None:
    if not 1 <= scaling.n_min_replicas <= n_at_start <= scaling.n_max_replicas:
        raise InputError(
            "FleetPlan",
            "autoscaling",
            f"{n_at_start} replicas at the start are not within {scaling.n_min_replicas} to "
            f"{scaling.n_max_replicas}",
            "let 1 <= n_min_replicas <= n_replicas <= n_max_replicas",
        )
    for from_s, n_replicas in scaling.schedule:
        if not scaling.n_min_replicas <= n_replicas <= scaling.n_max_replicas:
            raise InputError(
                "Autoscaling",
                "schedule",
                f"asks for {n_replicas} replicas at {from_s} s, outside "
                f"{scaling.n_min_replicas} to {scaling.n_max_replicas}",
                "widen the bounds or mend the timetable",
            )
    starts = [from_s for from_s, _ in scaling.schedule]
    if starts != sorted(starts) or (starts and starts[0] < 0.0):
        raise InputError("Autoscaling", "schedule", "does not rise from 0", "sort it by time")
    if scaling.start_up_s < 0.0 or scaling.scale_down_after_s < 0.0:
        raise InputError("Autoscaling", "start_up_s", "is negative", "give seconds, 0 or more")
    if not scaling.schedule and not (scaling.period_s > 0.0 and scaling.target_requests > 0.0):
        raise InputError(
            "Autoscaling",
            "period_s",
            "or target_requests is not above 0",
            "say how often to look and how many requests a replica is to hold",
        )


def _check_prefix(requests: Requests, limits: EngineLimits) -> None:
    prefix = requests.prefix
    if prefix is None:
        return
    if len(prefix.offsets) != requests.n_requests + 1:
        raise InputError(
            "Requests", "prefix", "has not one offset per request and one more", "give offsets"
        )
    if limits.prefix_caching and prefix.n_tokens_per_block % limits.n_block_tokens:
        raise InputError(
            "EngineLimits",
            "n_block_tokens",
            f"blocks of {limits.n_block_tokens} tokens do not fill the traffic's prefix blocks of "
            f"{prefix.n_tokens_per_block}",
            f"give a divisor of {prefix.n_tokens_per_block}",
        )


def _check_fit(requests: Requests, limits: EngineLimits) -> None:
    if requests.n_requests == 0:
        return
    tokens = requests.input_tokens + requests.output_tokens
    worst = int(tokens.argmax())
    most = int(tokens[worst])
    if most > limits.kv_tokens:
        raise InputError(
            "Requests",
            f"request {worst}",
            f"its {most} tokens (prompt {requests.input_tokens[worst]}, answer "
            f"{requests.output_tokens[worst]}) never fit a cache of {limits.kv_tokens}",
            f"leave out requests above {limits.kv_tokens} tokens, or give the cache {most}",
        )
    if not limits.chunked_prefill and most > limits.n_max_batched_tokens:
        raise InputError(
            "Requests",
            f"request {worst}",
            f"its {most} tokens never fit an iteration of {limits.n_max_batched_tokens}, and "
            "prompts are not computed in parts",
            f"set chunked_prefill, or n_max_batched_tokens to {most}",
        )
