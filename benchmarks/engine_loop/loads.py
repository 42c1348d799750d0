"""The loads: which a calibration sees, which are predicted, and in what order they are run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["training", "unseen", "repeat"]
GRACE_S = 90  # for requests in flight when a load's time is over


@dataclass(frozen=True)
class Mix:
    """Lengths: normal, cut off at 1; the server's chat template comes on top of the prompt."""

    name: str
    input_tokens: tuple[int, int]  # mean and standard deviation
    output_tokens: tuple[int, int]


@dataclass(frozen=True)
class Load:
    """One load: a closed loop, or Poisson arrivals at a share of the rate of `RATE_OF`."""

    name: str
    role: Role
    n_concurrent: int | None = None
    rate_frac: float | None = None
    repeats: str | None = None


@dataclass(frozen=True)
class Sitting:
    """Loads of one mix that one start of the tool runs, one after the other."""

    mix: Mix
    loads: tuple[Load, ...]


SHORT = Mix("short", (64, 16), (24, 6))
PROMPTS = Mix("long prompts", (192, 48), (10, 3))
ANSWERS = Mix("long answers", (32, 8), (64, 16))
BETWEEN = Mix("between", (128, 64), (40, 12))

RATE_OF = "short_c4"  # the load whose throughput the open loops are shares of

# Training and unseen loads take turns, so that drift of the machine does not fall between them.
SITTINGS = (
    Sitting(
        SHORT,
        (
            Load("short_c1", "training", 1),
            Load("short_c3", "unseen", 3),
            Load("short_c4", "training", 4),
            Load("short_c7", "unseen", 7),
        ),
    ),
    Sitting(PROMPTS, (Load("prompts_c1", "training", 1), Load("prompts_c4", "training", 4))),
    Sitting(BETWEEN, (Load("between_c2", "unseen", 2), Load("between_c4", "unseen", 4))),
    Sitting(ANSWERS, (Load("answers_c2", "training", 2), Load("answers_c6", "training", 6))),
    Sitting(
        SHORT,
        (
            Load("short_poisson_60", "unseen", rate_frac=0.6),
            Load("short_c4_again", "repeat", 4, repeats="short_c4"),
            Load("short_poisson_85", "unseen", rate_frac=0.85),
            Load("short_c1_again", "repeat", 1, repeats="short_c1"),
        ),
    ),
)


@dataclass(frozen=True)
class Endpoint:
    """Where the loads go, under which name, and the tokenizer that makes prompts for it."""

    url: str
    model: str
    tokenizer: str
    extra: dict[str, Any]


def aiperf_config(  # noqa: PLR0913, PLR0917
    sitting: Sitting,
    endpoint: Endpoint,
    seconds: float,
    requests_per_s: float | None,
    folder: str,
    seed: int,
) -> dict[str, Any]:
    """What aiperf 0.13 reads as YAML (docs.nvidia.com/aiperf, "YAML configuration")."""
    lengths = {"isl": sitting.mix.input_tokens, "osl": sitting.mix.output_tokens}
    prompts = {name: {"mean": one[0], "stddev": one[1]} for name, one in lengths.items()}
    dataset = {"name": "main", "type": "synthetic", "entries": 200, "random_seed": seed}
    warm_up = {"name": "warm_up", "kind": "warmup", "type": "concurrency"}
    return {
        "benchmark": {
            "models": {"items": [{"name": endpoint.model}]},
            "endpoint": {
                "urls": [endpoint.url],
                "type": "chat",
                "streaming": True,
                "use_server_token_count": True,
                "extra": {"ignore_eos": True, **endpoint.extra},
            },
            "datasets": [{**dataset, "prompts": prompts}],
            "phases": [
                {**warm_up, "requests": 2, "concurrency": 1},
                *(_phase(load, seconds, requests_per_s) for load in sitting.loads),
            ],
            "artifacts": {"dir": folder},
            "tokenizer": {"name": endpoint.tokenizer},
            "runtime": {"ui": "none", "workers": 1, "record_processors": 1},
        }
    }


def _phase(load: Load, seconds: float, requests_per_s: float | None) -> dict[str, Any]:
    phase: dict[str, Any] = {
        "name": load.name,
        "kind": "profiling",
        "duration": seconds,
        "grace_period": GRACE_S,
    }
    if load.n_concurrent is not None:
        return {**phase, "type": "concurrency", "concurrency": load.n_concurrent}
    assert load.rate_frac is not None
    assert requests_per_s is not None
    return {**phase, "type": "poisson", "rate": round(load.rate_frac * requests_per_s, 4)}
