"""What a gateway adds to a request: the same call direct and through it, turn by turn."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from weighbridge.cli.demo_gateway import Fleet, GatewayProcess, make_keys, write_config
from weighbridge.cli.demo_place import Place

N_PAIRS = 1000
N_WARM_PAIRS = 40
TENANT = "probe"


@dataclass(frozen=True, slots=True)
class Added:
    """Latency through the gateway less latency without it, at equal quantiles."""

    p50_s: float
    p99_s: float


def measure_added(place: Place, tell: Callable[[str, float], None]) -> Added:
    """Time pairs of requests, one at a time, to a stand-in that answers at once."""
    from weighbridge.rehearsal.provider_process import ProviderProcess
    from weighbridge.rehearsal.provider_settings import Settings

    stage = "time the gateway"
    tell(stage, 0.0)
    place.probe.mkdir()
    with ProviderProcess(Settings(speed=0)) as provider:
        fleet = Fleet(provider.url, "any", "vllm", 2, "not asked here", False)
        config = write_config(place.probe, provider.url, fleet)
        key = make_keys(place.probe, (TENANT,))[TENANT]
        with GatewayProcess(config) as gateway:
            direct, through = _Caller(provider.url, key), _Caller(gateway.url, key)
            for _ in range(N_WARM_PAIRS):
                direct.call_s()
                through.call_s()
            pairs = []
            for number in range(N_PAIRS):
                pairs.append((direct.call_s(), through.call_s()))
                tell(stage, (number + 1) / N_PAIRS)
            direct.close()
            through.close()
    return _added(pairs)


def _added(pairs: list[tuple[float, float]]) -> Added:
    import numpy as np

    without, through = np.array(pairs).T
    p50_s, p99_s = np.quantile(through, (0.5, 0.99)) - np.quantile(without, (0.5, 0.99))
    return Added(float(p50_s), float(p99_s))


class _Caller:
    """One kept connection."""

    def __init__(self, url: str, key: str) -> None:
        place = urlsplit(url)
        self._wire = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
        talk = [{"role": "user", "content": "How heavy is a request? " * 40}]
        self._body = msgspec.json.encode(
            {"model": "gpt-4o-mini", "max_tokens": 20, "messages": talk}
        )
        self._headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {key}",
            "x-weighbridge-feature": "probe",
            "x-weighbridge-template": "probe",
        }

    def call_s(self) -> float:
        """Send, read the whole answer: the time it took."""
        began_s = time.perf_counter()
        self._wire.request("POST", "/v1/chat/completions", self._body, self._headers)
        answer = self._wire.getresponse()
        answer.read()
        took_s = time.perf_counter() - began_s
        if answer.status != 200:
            raise RuntimeError(f"the probe was answered {answer.status}")
        return took_s

    def close(self) -> None:
        """Hang up."""
        self._wire.close()
