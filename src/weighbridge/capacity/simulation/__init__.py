"""Iteration-level simulation of engines that batch continuously, behind a router.

The scheduler is that of vLLM V1 (vllm/v1/core/sched/scheduler.py): in every iteration the running
requests come first (one token for each that decodes, the rest of the token budget for a prompt
that is computed in parts), then waiting requests are admitted while budget, places and cache
blocks last. Where blocks run out, the request admitted last (or of the lowest priority) is
preempted and computed again later.
"""

from weighbridge.capacity.simulation.simulating import simulate, simulate_closed_loop

__all__ = ["simulate", "simulate_closed_loop"]
