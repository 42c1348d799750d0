"""Synthetic traffic written as LiteLLM writes it: rows of LiteLLM_SpendLogs as gzipped JSON lines.

Field names are those of `model LiteLLM_SpendLogs` in LiteLLM's `schema.prisma` and of its
`SpendLogsMetadata`. As there, `prompt_tokens` holds cached tokens too, a call that was not streamed
has its first token at its end, and a failed call has no tokens. Feature and template stand in
`metadata.spend_logs_metadata`, where a client of LiteLLM may log what it likes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from weighbridge.catalog.prices import Rates
from weighbridge.rehearsal.mix import Mix, Template
from weighbridge.rehearsal.traffic import Traffic

ROWS_PER_BLOCK = 8192
GZIP = 31  # zlib's window bits for a gzip stream, whose header then holds no time and no name
COMPRESSION_LEVEL = 1  # three times faster than the default, a fifth larger

Progress = Callable[[int, int], None]  # rows written, rows in all


@dataclass(frozen=True, slots=True)
class LogLook:
    """What a row needs that the traffic does not hold: prices of each model, random names."""

    rates: Mapping[str, Rates]  # by model
    rng: np.random.Generator


def write_spend_log(
    path: Path, mix: Mix, traffic: Traffic, look: LogLook, progress: Progress | None = None
) -> None:
    """Write the log; it appears under its name when it is whole."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file, ThreadPoolExecutor(1) as press:
            _compress(file, spend_log_blocks(mix, traffic, look), press, len(traffic), progress)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _compress(
    file: BinaryIO,
    blocks: Iterator[bytes],
    press: ThreadPoolExecutor,
    n_rows: int,
    progress: Progress | None,
) -> None:
    """Compress each block in a thread of its own while the next one is written out as text."""
    stream = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, GZIP)
    pending: Future[bytes] | None = None
    for position, block in enumerate(blocks, start=1):
        if pending is not None:
            file.write(pending.result())
        pending = press.submit(stream.compress, block)
        if progress is not None:
            progress(min(position * ROWS_PER_BLOCK, n_rows), n_rows)
    if pending is not None:
        file.write(pending.result())
    file.write(stream.flush())


def spend_log_blocks(mix: Mix, traffic: Traffic, look: LogLook) -> Iterator[bytes]:
    """The lines of the log, some thousands at a time."""
    frames = _Frames(mix)
    for first in range(0, len(traffic), ROWS_PER_BLOCK):
        rows = traffic.taken(slice(first, first + ROWS_PER_BLOCK))
        yield "".join(_lines(frames, mix, rows, look)).encode()


def _lines(frames: _Frames, mix: Mix, rows: Traffic, look: LogLook) -> Iterator[str]:
    end_us = rows.started_at_us + (rows.latency_s * 1e6).astype(np.int64)
    streamed = ~np.isnan(rows.ttft_s)
    ttft_us = (np.where(streamed, rows.ttft_s, 0.0) * 1e6).astype(np.int64)
    first_us = np.where(streamed, rows.started_at_us + ttft_us, end_us)
    names = look.rng.bytes(16 * len(rows)).hex()
    columns = zip(
        range(0, 32 * len(rows), 32),
        rows.template.tolist(),
        rows.tenant.tolist(),
        _spend_usd(mix, rows, look.rates).tolist(),
        rows.input_tokens.tolist(),
        rows.output_tokens.tolist(),
        rows.cache_read_tokens.tolist(),
        rows.cache_write_tokens.tolist(),
        rows.reasoning_tokens.tolist(),
        _instants(rows.started_at_us),
        _instants(end_us),
        _instants(first_us),
        ((end_us - rows.started_at_us) // 1000).tolist(),
        rows.attempts.tolist(),
        rows.failed.tolist(),
        strict=True,
    )
    for (
        at,
        template,
        tenant,
        spend,
        i,
        o,
        read,
        write,
        think,
        start,
        end,
        first,
        ms,
        n,
        bad,
    ) in columns:
        head, middle, tail = frames.of(template, tenant, bad)
        yield (
            f'{{"request_id":"chatcmpl-{names[at : at + 32]}",{head}"spend":{spend!r},'
            f'"total_tokens":{i + o},"prompt_tokens":{i},"completion_tokens":{o},'
            f'"startTime":"{start}Z","endTime":"{end}Z","completionStartTime":"{first}Z",'
            f'"request_duration_ms":{ms},{middle}"attempted_retries":{n - 1},"usage_object":'
            f'{{"prompt_tokens":{i},"completion_tokens":{o},"total_tokens":{i + o},'
            f'"prompt_tokens_details":{{"cached_tokens":{read}}},'
            f'"completion_tokens_details":{{"reasoning_tokens":{think}}},'
            f'"cache_read_input_tokens":{read},"cache_creation_input_tokens":{write}}}{tail}'
        )


def _instants(at_us: NDArray[np.int64]) -> list[str]:
    text: list[str] = np.datetime_as_string(at_us.astype("datetime64[us]"), unit="ms").tolist()
    return text


def _spend_usd(mix: Mix, rows: Traffic, rates: Mapping[str, Rates]) -> NDArray[np.float64]:
    """What LiteLLM would have logged as spend, by prices of the day [USD]."""
    table = np.array([_four_rates(rates[t.service.model]) for t in mix.templates])[rows.template]
    fresh = rows.input_tokens - rows.cache_read_tokens - rows.cache_write_tokens
    tokens = (fresh, rows.cache_read_tokens, rows.cache_write_tokens, rows.output_tokens)
    return np.asarray(sum(t * table[:, k] for k, t in enumerate(tokens)) / 1e6).round(12)


def _four_rates(rates: Rates) -> tuple[float, float, float, float]:
    return (
        rates.input_usd_per_mtok,
        rates.cache_read_usd_per_mtok,
        rates.cache_write_usd_per_mtok,
        rates.output_usd_per_mtok,
    )


class _Frames:
    """The parts of a line that all requests of one template, tenant and outcome share."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._made: dict[tuple[int, int, bool], tuple[str, str, str]] = {}

    def of(self, template: int, tenant: int, failed: bool) -> tuple[str, str, str]:
        """Text before the spend, between the instants and the retries, and to the line's end."""
        key = (template, tenant, failed)
        if key not in self._made:
            self._made[key] = _frame(
                self._mix.templates[template], self._mix.tenants[tenant], failed
            )
        return self._made[key]


def _frame(template: Template, tenant: str, failed: bool) -> tuple[str, str, str]:
    key, team = _digest(f"key {tenant}"), _digest(f"team {tenant}")[:12]
    status = "failure" if failed else "success"
    service = template.service
    named = {"feature": template.feature, "template": template.template}
    head = {"call_type": "acompletion", "api_key": key}
    middle: dict[str, object] = {
        "model": service.model,
        "model_id": _digest(f"model {service.model}"),
        "model_group": service.model,
        "custom_llm_provider": service.provider,
        "api_base": "",
        "user": f"{tenant}-service",
        "cache_hit": "False",
        "cache_key": "Cache OFF",
        "request_tags": [tenant],
        "team_id": team,
        "organization_id": None,
        "end_user": "",
        "requester_ip_address": None,
        "session_id": None,
        "status": status,
        "messages": {},
        "response": {},
        "proxy_server_request": {},
    }
    metadata: dict[str, object] = {
        "status": status,
        "user_api_key": key,
        "user_api_key_alias": f"{tenant}-production",
        "user_api_key_team_id": team,
        "user_api_key_team_alias": tenant,
        "spend_logs_metadata": named if template.feature else None,
        "additional_usage_values": {},
        "error_information": {"error_code": "503", "error_class": "ServiceUnavailableError"}
        if failed
        else None,
    }
    opened = f'{_inner(middle)},"metadata":{{{_inner(metadata)},'
    return f"{_inner(head)},", opened, "}}\n"


def _inner(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, separators=(",", ":"))[1:-1]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
