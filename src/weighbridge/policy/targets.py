"""Targets as a policy file writes them."""

from __future__ import annotations

import re
from dataclasses import fields as fields_of
from decimal import Decimal
from typing import Any, Literal, cast
from urllib.parse import urlencode

from weighbridge.policy.addresses import read_url
from weighbridge.policy.credentials import read_credential
from weighbridge.policy.faults import shown
from weighbridge.policy.fields import Fields
from weighbridge.policy.types import (
    DIALECTS,
    ActiveHealth,
    Dialect,
    Engine,
    ProviderCaps,
    Saturation,
    SelfHosted,
    Target,
    Timeouts,
)

TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}")
ENGINES: tuple[Engine, ...] = ("vllm", "sglang", "llamacpp")
TARGET_FIELDS = (
    "url", "dialect", "provider", "model", "price_model", "key", "credential", "timeouts", "caps",
    "self_hosted", "health", "on_client_leave", "service_tier", "proxy", "ca_file", "headers",
    "query",
)  # fmt: skip
_HINTS = {
    "api_key": "write `key: env:NAME`; a secret never stands in this file",
    "api_base": "write `url`",
    "base_url": "write `url`",
    "rpm": "write `caps: {requests_per_minute: …}`",
    "tpm": "write `caps: {input_tokens_per_minute: …}`",
    "timeout": "write `timeouts: {total_s: …}`",
    "weight": "give it where a rule names the target: `{target: …, weight: …}`",
    "api_version": "write `query: {api-version: …}`",
}
_URL_MEND = "give it up to the version part, as in https://api.openai.com/v1"
_SECRET_NAMES = ("authorization", "cookie", "x-api-key", "api-key", "proxy-authorization")
_WIRE_NAMES = (
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "expect",
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")
_SECRET_QUERY = re.compile(r"(?:^|&)(?:api[-_]?key|key|token|access_token|sig)=", re.IGNORECASE)


def read_target(name: str, path: str, raw: object, outer: Fields) -> Target:
    """One target; its faults are noted, and what could be read is returned."""
    if not TARGET_NAME.fullmatch(name):
        outer.faults.add(path, "is no name for a target", "use letters, digits and . _ : / @ + -")
    fields = Fields(raw, path, outer.faults, TARGET_FIELDS, _HINTS)
    dialect = cast("Dialect", fields.choice("dialect", DIALECTS) or "openai")
    provider = fields.text("provider")
    if not fields.has("url"):
        fields.fault("url", "is missing", _URL_MEND)
    return Target(
        name=name,
        url=read_url(fields, "url", _URL_MEND, ("https", "http")) or "",
        dialect=dialect,
        provider=provider,
        model=fields.text("model"),
        price_model=fields.text("price_model"),
        credential=read_credential(fields, dialect, provider),
        timeouts=_timeouts(fields),
        caps=_caps(fields),
        self_hosted=_self_hosted(fields),
        health=_health(fields),
        on_client_leave=cast(
            "Literal['cancel', 'drain']",
            fields.choice("on_client_leave", ("cancel", "drain")) or "cancel",
        ),
        service_tier=fields.text("service_tier"),
        proxy=read_url(fields, "proxy", "write it as http://host:port", ("http",)),
        ca_file=fields.text("ca_file"),
        headers=_headers(fields),
        query=_query(fields),
    )


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields_of(kind))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _timeouts(target: Fields) -> Timeouts:
    names = _names(Timeouts)
    fields = target.inner("timeouts", names)
    return Timeouts(**_given({name: fields.number(name) for name in names}))


def _caps(target: Fields) -> ProviderCaps:
    hints = {
        "tokens_per_minute": "give input_tokens_per_minute and output_tokens_per_minute",
        "rpm": "write requests_per_minute",
        "tpm": "write input_tokens_per_minute",
    }
    fields = target.inner("caps", _names(ProviderCaps), hints)
    limits = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
    values: dict[str, Any] = {name: fields.whole(name) for name in (*limits, "concurrency")}
    values["queue_size"] = fields.whole("queue_size", low=0, high=100_000)
    values["queue_wait_s"] = fields.number("queue_wait_s", or_low=True)
    return ProviderCaps(**_given(values))


def _self_hosted(target: Fields) -> SelfHosted | None:
    if not target.has("self_hosted"):
        return None
    fields = target.inner("self_hosted", _names(SelfHosted))
    gpu = fields.required_text("gpu", "name the GPU, as in h100-sxm")
    for name, mend in (("n_gpus", "count all GPUs"), ("usd_per_gpu_hour", "give what one costs")):
        if not fields.has(name):
            fields.fault(name, "is missing", mend)
    usd = fields.number("usd_per_gpu_hour")
    engine = cast("Engine | None", fields.choice("engine", ENGINES))
    metrics_url = read_url(fields, "metrics_url", "give its whole address", ("http", "https"))
    saturation = _saturation(fields)
    accrue = fields.choice("accrue", ("configured", "metrics_answer")) or "configured"
    if fields.has("metrics_url") and not fields.has("engine"):
        fields.fault("engine", "is missing beside metrics_url", f"use one of {', '.join(ENGINES)}")
    if accrue == "metrics_answer" and not fields.has("metrics_url"):
        fields.fault("accrue", "is metrics_answer without metrics", "give metrics_url and engine")
    return SelfHosted(
        gpu=gpu,
        n_gpus=fields.whole("n_gpus") or 1,
        usd_per_gpu_hour=_plain(Decimal(str(usd))) if usd else Decimal(0),
        engine=engine,
        metrics_url=metrics_url,
        saturation=saturation,
        accrue=cast("Literal['configured', 'metrics_answer']", accrue),
    )


def _plain(value: Decimal) -> Decimal:
    """The shortest form without an exponent, so that 2 and 2.0 give one version."""
    whole = value.to_integral_value()
    return whole if value == whole else value.normalize()


def _saturation(self_hosted: Fields) -> Saturation:
    fields = self_hosted.inner("saturation", _names(Saturation))
    of_metrics = ("waiting_requests", "running_requests", "kv_usage_frac")
    if fields.has(*of_metrics) and not self_hosted.has("metrics_url"):
        mend = "give metrics_url and engine, or use ttft_s, which the gateway observes itself"
        self_hosted.fault("saturation", "is read from the engine, whose address is missing", mend)
    return Saturation(
        waiting_requests=fields.whole("waiting_requests"),
        running_requests=fields.whole("running_requests"),
        kv_usage_frac=fields.number("kv_usage_frac", high=1.0),
        ttft_s=fields.number("ttft_s"),
    )


def _health(target: Fields) -> ActiveHealth | None:
    if not target.has("health"):
        return None
    fields = target.inner("health", _names(ActiveHealth))
    path = fields.required_text("path", "give a path that answers 2xx, as in /health")
    if path and not (path.startswith("/") and path.isascii() and " " not in path):
        fields.fault("path", f"is {shown(path)}", "begin it with /, without spaces")
    values = {name: fields.number(name) for name in ("interval_s", "timeout_s")}
    return ActiveHealth(path=path, **_given(values))


def _headers(target: Fields) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for name, path, value in target.entries("headers", "write `name: value`"):
        lower = name.lower()
        if lower in _SECRET_NAMES:
            target.faults.add(path, "carries a secret", "write `key: env:NAME` on the target")
        elif lower in _WIRE_NAMES or not _TOKEN.fullmatch(name):
            target.faults.add(path, "is not a header to set here", "remove it")
        elif not isinstance(value, str) or not value.isascii() or not value.isprintable():
            target.faults.add(path, "is not a line of plain text", "give ASCII text, in quotes")
        else:
            found.append((lower, value.strip()))
    return tuple(found)


def _query(target: Fields) -> str:
    raw = target.raw("query")
    if isinstance(raw, dict):
        raw = urlencode({str(name): value for name, value in raw.items()}) or None
    if raw is None:
        return ""
    if not isinstance(raw, str) or not _QUERY.fullmatch(raw) or raw.startswith(("?", "&")):
        target.fault("query", "is no query", "write `name=value`, or `{name: value}`")
        return ""
    if _SECRET_QUERY.search(raw):
        target.fault("query", "carries a secret", "write `key: env:NAME` on the target")
        return ""
    return raw
