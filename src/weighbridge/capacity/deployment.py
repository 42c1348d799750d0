"""A way to serve one model: GPU, parallelism, number formats, engine."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.catalog.rows import Gpu, Model, Precision


@dataclass(frozen=True, slots=True)
class Deployment:
    """One replica's configuration.

    Attributes
    ----------
    model, gpu : Model, Gpu
        Rows of the catalog.
    n_tensor_parallel : int
        GPUs over which each rank splits every layer.
    n_data_parallel : int
        Ranks with a scheduler of their own; above 1 only with experts spread over all ranks,
        since independent copies are replicas of a fleet.
    expert_parallel : bool
        Experts are spread over all GPUs of the replica instead of split like other layers.
    precision : {"bf16", "fp8", "int8", "int4", "fp4"}
        Number format of the weights.
    kv_precision : {"bf16", "fp8", "int8", "int4", "fp4"}
        Number format of the cache.
    engine : str
        Id of an engine row of the catalog ("vllm", "sglang", "tensorrt-llm").
    """

    model: Model
    gpu: Gpu
    n_tensor_parallel: int
    precision: Precision
    n_data_parallel: int = 1
    expert_parallel: bool = False
    kv_precision: Precision = "bf16"
    engine: str = "vllm"

    @property
    def n_gpus(self) -> int:
        """GPUs of one replica."""
        return self.n_tensor_parallel * self.n_data_parallel
