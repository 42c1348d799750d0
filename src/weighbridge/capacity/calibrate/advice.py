"""Which run would tell what the data do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.calibrate.certainty import FittedParameter
from weighbridge.capacity.calibrate.evidence import Evidence, in_flight_requests
from weighbridge.capacity.step_time import EngineLimits


@dataclass(frozen=True, slots=True)
class SuggestedRun:
    """A closed-loop run in which one parameter stands out.

    Attributes
    ----------
    parameter : str
        What it would tell.
    n_concurrent : int
    input_tokens, output_tokens : int
        Of every request.
    why : str
        What of the cost it makes large, in words.
    """

    parameter: str
    n_concurrent: int
    input_tokens: int
    output_tokens: int
    why: str


def suggested_runs(
    parameters: Sequence[FittedParameter], evidence: Sequence[Evidence], limits: EngineLimits
) -> tuple[SuggestedRun, ...]:
    """One run for each parameter that the data leave open.

    Parameters
    ----------
    parameters : sequence of FittedParameter
    evidence : sequence of Evidence
    limits : EngineLimits

    Returns
    -------
    tuple of SuggestedRun
        Empty where everything is identified.
    """
    inputs = np.concatenate([one.requests.input_tokens for one in evidence])
    flights = np.concatenate([in_flight_requests(one) for one in evidence])
    middle_tokens = int(np.median(inputs))
    n_middle = max(1, int(np.median(flights))) if len(flights) else 8
    seen = _Seen(middle_tokens, int(inputs.max()), n_middle, limits)
    open_ones = [one.name for one in parameters if not one.is_identified]
    return tuple(seen.run_for(name) for name in open_ones)


@dataclass(frozen=True, slots=True)
class _Seen:
    middle_tokens: int
    longest_tokens: int
    n_middle: int
    limits: EngineLimits

    def run_for(self, name: str) -> SuggestedRun:
        n_most = self.limits.n_max_requests * self.limits.n_ranks
        budget_tokens = self.limits.n_max_batched_tokens
        room_tokens = max(self.limits.kv_tokens // 2, 16)
        long_tokens = min(8 * self.longest_tokens, room_tokens)
        n_long = max(1, min(self.n_middle, room_tokens // max(long_tokens, 1)))
        runs = {
            "decode_base_s": (1, self.middle_tokens, 256, "one request decodes alone"),
            "decode_s_per_request": (n_most, 32, 256, "as many as fit decode short contexts"),
            "saturating_s": (4, 32, 256, "few requests decode, where a mixture's cost still grows"),
            "saturating_requests": (16, 32, 256, "the batch is between few and many"),
            "kv_s_per_token": (n_long, long_tokens, 256, "contexts are far longer than before"),
            "mixed_extra_s": (1, 16, 2, "prompts so short that only the iteration itself counts"),
            "mixed_s_per_token": (1, budget_tokens, 2, "prompts fill whole iterations"),
            "attention_s_per_pair": (1, long_tokens, 2, "one prompt is far longer than before"),
            "first_token_s": (1, 16, 1, "answers of one token to prompts of a few"),
        }
        n_concurrent, input_tokens, output_tokens, why = runs[name]
        return SuggestedRun(name, n_concurrent, input_tokens, output_tokens, why)
