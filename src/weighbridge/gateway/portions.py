"""Providers' caps in portions: each worker of a machine holds its own part of every target's."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

from weighbridge.gateway.config import Config
from weighbridge.policy.types import ProviderCaps

CAPS = (
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "concurrency",
    "queue_size",
)


def portioned(config: Config, worker: int, n_workers: int) -> Config:
    """The same with one worker's part of each cap; all parts together are the whole."""
    if n_workers == 1:
        return config
    targets = {
        name: replace(target, caps=_portion(target.caps, name, worker, n_workers))
        for name, target in config.policy.targets.items()
    }
    return replace(config, policy=replace(config.policy, targets=targets))


def _portion(caps: ProviderCaps, target: str, worker: int, n_workers: int) -> ProviderCaps:
    parts = {}
    for name in CAPS:
        amount = getattr(caps, name)
        if amount:  # neither without a cap, nor a queue of none
            # What is left over goes to other workers for each target and cap.
            turn = (worker + crc32(f"{target}/{name}".encode())) % n_workers
            parts[name] = max(1, amount // n_workers + (turn < amount % n_workers))
    return replace(caps, **parts)
