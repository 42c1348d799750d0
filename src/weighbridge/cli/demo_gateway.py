"""The demo's gateway: its configuration, its clients' keys, and its process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from weighbridge.units import WeighbridgeError

READY_WAIT_S = 30.0
DRAIN_WAIT_S = 40.0
ADDRESS = re.compile(r"on (http://\S+)/v1")
UPSTREAM_KEY = "DEMO_UPSTREAM_KEY"
STRICT_TENANT = "legal"

CONFIG = """\
# Configuration of the demo's gateway. Check it:  weighbridge config check {here}/gateway.yaml
# Ask it:  weighbridge policy explain {here}/gateway.yaml --request BODY.json
listen: 127.0.0.1:0            # a demo takes any free port
admin: {{listen: "127.0.0.1:0"}}
keys: keys.json                # virtual keys: digests only
spool: {{path: spool}}
state_path: state
ledger: null                   # the demo itself calls `weighbridge compact`

targets:
  openai:                      # a stand-in on this machine, as is the next one
    url: {api}/v1
    provider: openai
    key: env:DEMO_UPSTREAM_KEY
  anthropic:
    url: {api}/v1
    dialect: anthropic
    provider: anthropic
    key: env:DEMO_UPSTREAM_KEY
  fleet:                       # {fleet_is}
    url: {fleet}/v1
    model: {fleet_model}
    self_hosted:               # what such a fleet would cost: made up
      gpu: l4
      n_gpus: 1
      usd_per_gpu_hour: 0.80
      engine: {engine}
      metrics_url: {fleet}/metrics
    caps: {{concurrency: {n_slots}, queue_size: 4, queue_wait_s: 0.5}}

rules:
  - name: search to our own fleet
    match: {{feature: search, template: rewrite-query}}
    targets: [fleet]
    fallback: [openai]         # when the fleet is full or fails
models:
  claude-*: anthropic
  "*": openai

data_classes:                  # contracts may reach one provider only, in failover too
  confidential: [anthropic]
  internal: "*"

limits:                        # minutes are real ones, whatever the rehearsal's clock says
  - {{scope: tenant, requests_per_minute: 60000, tokens_per_minute: 4000000000}}
  - {{scope: feature, name: code-assist, concurrency: 400}}
budgets:
  - {{scope: tenant, usd: 4000, period: day, kind: soft}}
  - {{scope: tenant, name: growth, usd: 0.60, period: day, kind: hard}}
"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What plays the self-hosted side."""

    url: str
    model: str
    engine: str
    n_slots: int
    words: str  # what it is, for people
    is_real: bool


def write_config(folder: Path, api: str, fleet: Fleet) -> Path:
    """Write the configuration, to be read by people too."""
    path = folder / "gateway.yaml"
    text = CONFIG.format(
        here=folder,
        api=api,
        fleet=fleet.url,
        fleet_is=fleet.words,
        fleet_model=fleet.model,
        engine=fleet.engine,
        n_slots=fleet.n_slots,
    )
    path.write_text(text, encoding="utf-8")
    return path


def make_keys(folder: Path, tenants: tuple[str, ...]) -> dict[str | None, str]:
    """A virtual key for each tenant; their texts stay in this process."""
    from weighbridge.gateway.key_store import KeyStore, KeyTerms

    store, texts = KeyStore(folder / "keys.json"), dict[str | None, str]()
    for tenant in tenants:
        data_class = "confidential" if tenant == STRICT_TENANT else "internal"
        terms = KeyTerms(tenant=tenant, data_class=data_class)
        texts[tenant] = store.create(terms, time.time(), tenant)[1]
    return texts


@dataclass(slots=True)
class GatewayProcess:
    """`with GatewayProcess(config) as g` runs `weighbridge serve` and gives its address."""

    config: Path
    clock: str | None = None  # START,SPEED of a rehearsal's clock
    url: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """What the gateway says."""
        return self.config.with_name("gateway.log")

    def __enter__(self) -> GatewayProcess:
        command = [sys.executable, "-m", "weighbridge", "serve", str(self.config)]
        if self.clock is not None:
            command += ["--rehearsal-clock", self.clock]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, UPSTREAM_KEY: "sk-demo"},
                start_new_session=True,  # Ctrl-C is for the demo, which then ends this one in order
            )
        try:
            self.url = self._address()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _address(self) -> str:
        assert self._process is not None
        until_s = time.monotonic() + READY_WAIT_S
        while time.monotonic() < until_s:
            found = ADDRESS.search(self.log.read_text(errors="replace"))
            if found is not None:
                return found.group(1)
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        said = self.log.read_text(errors="replace").strip()[-400:]
        raise WeighbridgeError(f"the gateway did not start: {said or 'it said nothing'}")

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(DRAIN_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None
