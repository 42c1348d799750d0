"""One deployment of a LiteLLM `model_list` as a target of ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from weighbridge.policy.addresses import split
from weighbridge.policy.fields import MOST
from weighbridge.policy.litellm_providers import (
    NEEDS_SIGNING,
    OWN_FLEETS,
    PROVIDERS,
    Provider,
    provider_of,
)
from weighbridge.policy.types import Timeouts

ENV = "os.environ/"
READ_PARAMS = frozenset(
    {
        *("model", "api_base", "base_url", "api_key", "api_version", "rpm", "tpm", "itpm", "otpm"),
        *("max_parallel_requests", "weight", "order", "timeout", "stream_timeout"),
        *("custom_llm_provider", "organization", "extra_headers"),
    }
)
_READ_INFO = frozenset({"id", "mode", "base_model"})
_NAME = re.compile(r"[^A-Za-z0-9._:/@+-]+")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_TO_LEAVE = re.compile(
    r"auth|key|token|secret|cookie|[^!#$%&'*+.^_`|~0-9a-z-]"
    r"|^(?:host|content-length|connection|transfer-encoding|te|upgrade|expect|)$",
    re.IGNORECASE,
)
_NO_KEY = frozenset({"", "none", "empty", "na", "n/a", "dummy", "fake-key", "not-needed"})


@dataclass(slots=True)
class Notes:
    """What could not be carried over, by dotted path."""

    lines: list[str] = field(default_factory=list)

    def add(self, path: str, why: str) -> None:
        """Note one thing; never its value, which may be a secret."""
        self.lines.append(f"{path}: {why}")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A target as it is written out, and how LiteLLM chose it."""

    group: str
    wanted_name: str
    target: dict[str, Any]
    prefix: str
    weights: dict[str, float]  # weight, rpm, tpm as far as they are given
    order: int | None

    @property
    def dialect(self) -> str:
        """API that the target speaks."""
        return str(self.target.get("dialect", "openai"))


@dataclass(slots=True)
class _Entry:
    """One `litellm_params` on its way through the readers below."""

    params: Mapping[str, Any]
    at: str
    prefix: str
    name: str  # of the model, without the prefix
    provider: Provider
    notes: Notes

    def note(self, field: str, why: str) -> None:
        self.notes.add(f"{self.at}.{field}" if field else self.at, why)


def read_deployment(
    raw: object, path: str, environ: Mapping[str, str], timeouts: Mapping[str, object], notes: Notes
) -> Deployment | None:
    """A deployment, or None with a note of why it cannot be carried."""
    whole = raw if isinstance(raw, dict) else {}
    group, params = whole.get("model_name"), whole.get("litellm_params")
    model = params.get("model") if isinstance(params, dict) else None
    if not (
        isinstance(group, str) and group and isinstance(params, dict) and isinstance(model, str)
    ):
        notes.add(path, "has no model_name, or no litellm_params.model")
        return None
    prefix, name = provider_of(model, params.get("custom_llm_provider"))
    provider = PROVIDERS.get(prefix or "", Provider())
    entry = _Entry(params, f"{path}.litellm_params", prefix or "", name, provider, notes)
    why = _why_not(prefix, name, group)
    if why:
        entry.note("model", f"{model}: {why}")
        return None
    url = _url(entry, environ)
    if url is None:
        return None
    _check_home(entry, url)
    wanted = _NAME.sub("-", group).strip("-.:/@+_") or "any"
    asked = {**timeouts, **_given(params, "timeout", "stream_timeout")}
    target = _target(entry, url) | _caps(entry) | _timeouts(entry, asked)
    target |= _model_info(whole, path, notes) | _credential(entry, f"{wanted}-{prefix}")
    for field_name in params:
        if field_name not in READ_PARAMS:
            entry.note(field_name, _why(field_name))
    given = {kind: _amount(params.get(kind)) for kind in ("weight", "rpm", "tpm")}
    weights = {kind: float(value) for kind, value in given.items() if value is not None}
    order = params.get("order")
    order = order if isinstance(order, int) else None
    return Deployment(group, wanted, target, entry.prefix, weights, order)


def _check_home(entry: _Entry, url: str) -> None:
    """Whose server it is, where the prefix alone does not tell."""
    if entry.prefix not in PROVIDERS:
        entry.note("model", f"{entry.prefix} is taken for an OpenAI-compatible server: check it")
    elif entry.provider.name == "openai" and urlsplit(url).hostname != "api.openai.com":
        entry.provider = Provider()  # somebody's own server that speaks OpenAI's API: other prices
    if entry.prefix in OWN_FLEETS:
        why = "is self-hosted: add self_hosted (gpu, n_gpus, usd_per_gpu_hour) for its cost"
        entry.note("", why)


def _given(params: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: params[name] for name in names if params.get(name) is not None}


def _why_not(prefix: str | None, name: str, group: str) -> str:
    if prefix is None:
        return "the provider cannot be told from the name: write provider/name"
    if prefix in NEEDS_SIGNING:
        return f"{prefix} needs {NEEDS_SIGNING[prefix]}, which the gateway does not do"
    if not all(text.strip() and text.isprintable() for text in (name, group)):
        return "names no model, or the group has no name"
    if "*" in group[:-1]:
        return "model_name has a star within it: list the models one by one"
    if "*" in name and (name != "*" or "/" in group):
        return "a star within a name would need the prefix cut off: list the models one by one"
    return ""


def _url(entry: _Entry, environ: Mapping[str, str]) -> str | None:
    params, provider = entry.params, entry.provider
    key = "api_base" if params.get("api_base") else "base_url"
    base = params.get(key) or provider.url
    if isinstance(base, str) and base.startswith(ENV):
        variable = base.removeprefix(ENV)
        base = environ.get(variable)
        if not base:
            entry.note(key, f"the variable {variable} is not set: set it and convert again")
            return None
    if not isinstance(base, str):
        entry.note("api_base", "is missing, and the provider has no one address")
        return None
    url = base.rstrip("/").removesuffix("/chat/completions")
    parts = split(url)
    plain = parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname)
    if parts is None or not plain or parts.username or parts.query or parts.fragment:
        entry.note(key, "is no plain http(s) address")
        return None
    if provider.azure:
        return url if url.endswith("/v1") else _azure_url(url, entry.name)
    if provider.version_path and not re.search(r"/v\d+$", url):
        url += provider.version_path
    return url


def _azure_url(url: str, deployment: str) -> str:
    return url if "/openai/deployments/" in url else f"{url}/openai/deployments/{deployment}"


def _target(entry: _Entry, url: str) -> dict[str, Any]:
    provider = entry.provider
    target: dict[str, Any] = {"url": url}
    if provider.dialect != "openai":
        target["dialect"] = provider.dialect
    if provider.name:
        target["provider"] = provider.name
    if entry.name != "*":
        target["model"] = entry.name
    version = entry.params.get("api_version")
    if provider.azure and isinstance(version, str) and re.fullmatch(r"[\w.-]+", version):
        target["query"] = f"api-version={version}"
    elif version is not None or (provider.azure and not url.endswith("/v1")):
        entry.note("api_version", "write it as query: {api-version: …} on the target")
    headers = _headers(entry)
    return target | ({"headers": headers} if headers else {})


def _headers(entry: _Entry) -> dict[str, str]:
    found: dict[str, str] = {}
    extra = entry.params.get("extra_headers")
    named = dict(extra) if isinstance(extra, dict) else {}
    if entry.params.get("organization") is not None:
        named["openai-organization"] = entry.params["organization"]
    for name, value in named.items():
        plain = isinstance(value, str) and value.isprintable() and value.isascii()
        if not plain or value.startswith(ENV) or _HEADER_TO_LEAVE.search(str(name)):
            entry.note(f"extra_headers.{name}", "only plain text that is no secret can stand here")
        else:
            found[str(name).lower()] = value
    return found


def _amount(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _caps(entry: _Entry) -> dict[str, Any]:
    caps: dict[str, int] = {}
    for theirs, ours in (
        ("rpm", "requests_per_minute"),
        ("tpm", "input_tokens_per_minute"),
        ("itpm", "input_tokens_per_minute"),
        ("otpm", "output_tokens_per_minute"),
        ("max_parallel_requests", "concurrency"),
    ):
        value = entry.params.get(theirs)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST:
            caps[ours] = value
        elif value is not None:
            entry.note(theirs, "is no whole number above 0")
    if "input_tokens_per_minute" in caps and entry.params.get("itpm") is None:
        entry.note("tpm", "counts input and output; carried as a cap on input tokens alone")
    return {"caps": caps} if caps else {}


def _timeouts(entry: _Entry, asked: Mapping[str, object]) -> dict[str, Any]:
    """LiteLLM's timeout holds for each wait on the connection, not for the whole answer."""
    limits: dict[str, float] = {}
    for theirs, names in (
        ("timeout", ("first_byte_s", "first_token_s", "stall_s")),
        ("stream_timeout", ("first_token_s", "stall_s")),
    ):
        value = _amount(asked.get(theirs))
        if value is not None and value > 0:
            limits |= dict.fromkeys(names, float(value))
        elif asked.get(theirs) is not None:
            entry.note(theirs, "is no number of seconds above 0")
    longest_s = max(limits.values(), default=0.0)
    if longest_s > Timeouts().total_s:
        limits["total_s"] = longest_s
    return {"timeouts": limits} if limits else {}


def _model_info(raw: Mapping[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    info = raw.get("model_info")
    if not isinstance(info, dict):
        return {}
    for name in info:
        if name not in _READ_INFO:
            notes.add(f"{path}.model_info.{name}", "is not used")
    base = info.get("base_model")
    return {"price_model": base.rpartition("/")[2]} if isinstance(base, str) and base else {}


def _credential(entry: _Entry, label: str) -> dict[str, Any]:
    key, variable = entry.params.get("api_key"), entry.provider.env
    if isinstance(key, str) and key.startswith(ENV) and _ENV_NAME.fullmatch(key[len(ENV) :]):
        variable = key[len(ENV) :]
    elif key is not None and not (variable is None and str(key).lower() in _NO_KEY):
        variable = f"{re.sub('[^A-Za-z0-9]+', '_', label).strip('_').upper()}_API_KEY"
        variable = variable if variable[0].isalpha() else f"KEY_{variable}"
        entry.note("api_key", f"a literal key is never copied: put it into {variable}")
    return {"key": f"env:{variable}"} if variable else {}


_REASONS = (
    (r".*cost_per.*", "prices come from the price list: write a row of your own for `prices`"),
    (r"num_retries|max_retries|cooldown_time", "retries are set for all targets under `retry`"),
    (r"(?:aws|vertex|azure|client)_.*|tenant_id", "cloud sign-in is not supported"),
    (r"litellm_credential_name", "write `key: env:NAME` on the target"),
    (r"tags|tag_regex", "write a rule that matches the tenant or feature"),
    (r"max_budget|budget_duration", "write `budgets` for a key, tenant, feature or model"),
    (r".*", "is not carried: requests go out as the client wrote them"),
)


def _why(name: str) -> str:
    return next(why for pattern, why in _REASONS if re.fullmatch(pattern, name, re.DOTALL))
