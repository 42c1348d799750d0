"""What a request will be answered, drawn from the seed and the prompt before anything is sent.

The draw ignores what a gateway may change on the way (the model's name, streaming options,
metadata), so that the same prompt gets the same words with and without a gateway, streamed or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any, Literal

import msgspec

from weighbridge.rehearsal.provider_schema import SchemaExample
from weighbridge.rehearsal.provider_settings import Model, Settings

Endpoint = Literal["chat", "completions", "embeddings", "responses", "messages", "count_tokens"]
UsageShown = Literal["real", "missing", "zero"]

COMMON_WORDS = """
the a of to and in that it for on with as was at by from this have or one had not but what all were
when we there can an your which their said if do will each about how up out them then she many some
so these would other into has more her two like him see time could no make than first been its who
now people my made over did down only way find use may water long little very after words called
"""
WORDS = tuple(COMMON_WORDS.split())
CHARS_PER_TOKEN = 4
MESSAGE_TOKENS = 4  # what a message costs beside its text
MEDIA_TOKENS = 85
IGNORED = ("model", "stream", "stream_options", "metadata", "user", "safety_identifier")
PROMPT_FIELDS = ("messages", "system", "instructions", "input", "prompt", "suffix", "tools")
MOST_CHOICES = 16


class RefusedError(Exception):
    """A request that a provider answers with an error."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.code, self.param = code, param


@dataclass(slots=True)
class Choice:
    """One of the answers: its tokens as text, and how it ends."""

    pieces: list[str]
    finish: Literal["stop", "length", "tool"]
    tool: str | None = None
    call_id: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@dataclass(slots=True)
class Plan:
    """Everything that will be said and billed, if nothing comes in between."""

    endpoint: Endpoint
    id: str
    model: Model
    model_name: str
    uncached_input_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    choices: list[Choice] = field(default_factory=list)
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    usage: UsageShown = "real"
    service_tier: str | None = None
    ttft_s: float = 0.0
    s_per_token: float = 0.0
    vectors: list[list[float]] = field(default_factory=list)
    vectors_as_base64: bool = False

    @property
    def input_tokens(self) -> int:
        """All input."""
        return self.uncached_input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def output_tokens(self) -> int:
        """All output, reasoning included."""
        return self.reasoning_tokens + sum(len(choice.pieces) for choice in self.choices)

    def due_s(self, output_tokens: int) -> float:
        """Seconds after the request at which so much of the output is there."""
        return self.ttft_s + max(output_tokens - 1, 0) * self.s_per_token

    def made_by(self, elapsed_s: float) -> int:
        """Output that is there after so many seconds [tokens]."""
        if elapsed_s < self.ttft_s:
            return 0
        if self.s_per_token == 0:
            return self.output_tokens
        return min(int((elapsed_s - self.ttft_s) / self.s_per_token) + 1, self.output_tokens)


def prompt_digest(body: Mapping[str, Any]) -> bytes:
    """Digest of what determines the answer."""
    kept = {key: value for key, value in body.items() if key not in IGNORED}
    return blake2b(msgspec.json.encode(kept, order="sorted"), digest_size=8).digest()


def text_tokens(text: str) -> int:
    """Tokens of a text, by its length alone."""
    return -(-len(text) // CHARS_PER_TOKEN)


def input_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of a prompt: its texts by length, a little for each message, a flat sum for media."""
    return max(sum(_tokens_of(body[name]) for name in PROMPT_FIELDS if name in body), 1)


def _tokens_of(value: Any) -> int:
    if isinstance(value, str):
        return text_tokens(value)
    if isinstance(value, list):
        if value and all(isinstance(item, int) for item in value):
            return len(value)  # a prompt in tokens already
        return sum(_tokens_of(item) for item in value)
    if isinstance(value, Mapping):
        if value.get("type") in ("image", "image_url", "input_image", "input_audio", "document"):
            return MEDIA_TOKENS
        skipped = ("type", "role", "cache_control", "id", "tool_use_id", "tool_call_id")
        own = MESSAGE_TOKENS if "role" in value else 0
        return own + sum(_tokens_of(part) for key, part in value.items() if key not in skipped)
    return 1 if isinstance(value, int | float) else 0


class Planner:
    """Draws plans; equal seeds and prompts give equal plans."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._salt = settings.seed.to_bytes(16, "big", signed=True)

    def plan(self, endpoint: Endpoint, body: Mapping[str, Any], model: Model, number: str) -> Plan:
        """What will be answered; `number` makes the answer's id its own."""
        digest = prompt_digest(body)
        rng = Random(digest + self._salt)  # noqa: S311  # words of a rehearsal
        name = digest.hex() + number
        tokens = input_tokens(body)
        plan = Plan(endpoint, name, model, str(body.get("model", "")), tokens)
        self._time(plan, rng)
        if endpoint == "embeddings":
            self._embed(plan, body, rng)
        elif endpoint != "count_tokens":
            self._cache(plan, body, rng)
            _shape(plan, body)
            self._answer(plan, body, rng)
        return plan

    def _time(self, plan: Plan, rng: Random) -> None:
        latency = plan.model.latency
        jitter = [math.exp(latency.jitter_log_sd * rng.gauss(0, 1)) for _ in range(2)]
        if self._settings.speed > 0:
            first_s = latency.ttft_base_s + plan.input_tokens * latency.input_s_per_token
            plan.ttft_s = first_s * jitter[0] / self._settings.speed
            plan.s_per_token = latency.output_s_per_token * jitter[1] / self._settings.speed

    def _embed(self, plan: Plan, body: Mapping[str, Any], rng: Random) -> None:
        given = body.get("input", "")
        single = isinstance(given, str) or (given and isinstance(given[0], int))
        n = 1 if single else len(given)
        dimensions = int(body.get("dimensions") or self._settings.embedding_dimensions)
        for _ in range(n):
            raw = [rng.gauss(0, 1) for _ in range(dimensions)]
            length = math.sqrt(sum(x * x for x in raw))
            plan.vectors.append([x / length for x in raw])
        plan.vectors_as_base64 = body.get("encoding_format") == "base64"

    @staticmethod
    def _cache(plan: Plan, body: Mapping[str, Any], rng: Random) -> None:
        cache, luck = plan.model.cache, rng.random()
        prefix = int(plan.input_tokens * cache.prefix_frac)
        prefix -= prefix % cache.block_tokens
        marked = plan.endpoint != "messages" or _has_cache_control(body)
        if prefix == 0 or prefix < cache.least_tokens or not marked:
            return
        if luck < cache.hit_probability:
            plan.cache_read_tokens = prefix
        elif plan.endpoint == "messages":
            plan.cache_write_tokens = prefix
        else:
            return
        plan.uncached_input_tokens -= prefix

    def _answer(self, plan: Plan, body: Mapping[str, Any], rng: Random) -> None:
        wanted = _drawn_tokens(plan.model, rng)
        most = _max_output_tokens(plan.endpoint, body)
        least = body.get("min_tokens")  # as vLLM takes it
        wanted = max(wanted, least) if isinstance(least, int) else wanted
        bound = min(plan.model.output_max_tokens, most or plan.model.output_max_tokens)
        plan.reasoning_tokens = int(min(wanted, bound) * plan.model.reasoning_frac)
        room = bound - plan.reasoning_tokens
        tool, schema = _forced_tool(body), _schema(body)
        n = body.get("n", 1) if plan.endpoint in ("chat", "completions") else 1
        for _ in range(n):
            if tool is not None or schema is not None:
                parameters = tool[1] if tool is not None else schema
                value = SchemaExample(parameters or {}, rng).value()
                pieces = _split(msgspec.json.encode(value).decode())
            else:
                pieces = rng.choices(WORDS, k=max(wanted - plan.reasoning_tokens, 1))
                pieces = [" " + word for word in pieces]
                pieces[0] = pieces[0].strip().capitalize()
            cut = len(pieces) > room
            finish: Literal["stop", "length", "tool"] = "length" if cut else "stop"
            choice = Choice(pieces[:room], finish)
            if tool is not None:
                choice.tool, choice.call_id = tool[0], f"{rng.getrandbits(64):016x}"
                choice.finish = "length" if cut else "tool"
            plan.choices.append(choice)


def _drawn_tokens(model: Model, rng: Random) -> int:
    drawn = model.output_median_tokens * math.exp(model.output_log_sd * rng.gauss(0, 1))
    return max(int(drawn), 1)


def _split(text: str) -> list[str]:
    return [text[at : at + CHARS_PER_TOKEN] for at in range(0, len(text), CHARS_PER_TOKEN)]


def _has_cache_control(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "cache_control" in value or any(map(_has_cache_control, value.values()))
    return isinstance(value, list) and any(map(_has_cache_control, value))


def _shape(plan: Plan, body: Mapping[str, Any]) -> None:
    plan.stream = bool(body.get("stream"))
    options = body.get("stream_options") or {}
    plan.include_usage = bool(options.get("include_usage"))
    plan.continuous_usage = bool(options.get("continuous_usage_stats"))
    plan.service_tier = {"auto": "default"}.get(
        str(body.get("service_tier")), body.get("service_tier")
    )


def _max_output_tokens(endpoint: Endpoint, body: Mapping[str, Any]) -> int | None:
    names = ("max_output_tokens",) if endpoint == "responses" else _MAX_NAMES
    return next((body[name] for name in names if body.get(name) is not None), None)


_MAX_NAMES = ("max_completion_tokens", "max_tokens")


def _forced_tool(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Name and parameters of the tool that must be called, or None."""
    choice, tools = body.get("tool_choice"), body.get("tools") or []
    name = None
    if isinstance(choice, Mapping):
        name = choice.get("name") or (choice.get("function") or {}).get("name")
        if name is None and choice.get("type") != "any":
            return None
    elif choice != "required":
        return None
    for tool in tools:
        told = tool.get("function") or tool
        if name is None or told.get("name") == name:
            return str(told.get("name")), told.get("parameters") or told.get("input_schema") or {}
    raise RefusedError(
        400, "invalid_request_error", "tool_choice names no tool", param="tool_choice"
    )


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must satisfy, or None."""
    for holder in ("response_format", "output_format"):
        if isinstance(body.get(holder), Mapping):
            return _schema_of(body[holder])
    for holder in ("text", "output_config"):
        if isinstance(body.get(holder), Mapping) and body[holder].get("format"):
            return _schema_of(body[holder]["format"])
    return None


def _schema_of(told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if told.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if told.get("type") != "json_schema":
        return None
    found: Mapping[str, Any] = (told.get("json_schema") or told).get("schema") or {}
    return found


def checked(endpoint: Endpoint, body: Mapping[str, Any]) -> None:
    """Refuse a body as a provider would; raises `RefusedError`."""
    needed = {
        "chat": ("messages",),
        "messages": ("messages", "max_tokens"),
        "count_tokens": ("messages",),
        "completions": ("prompt",),
        "embeddings": ("input",),
        "responses": (),
    }[endpoint]
    for name in ("model", *needed):
        if not body.get(name):
            text = f"Missing required parameter: '{name}'."
            raise RefusedError(
                400, "invalid_request_error", text, "missing_required_parameter", name
            )
    most = _max_output_tokens(endpoint, body)
    for name, n in (("max_tokens", most), ("n", body.get("n", 1))):
        if n is not None and (not isinstance(n, int) or n < 1):
            text = f"{name} is not a positive whole number."
            raise RefusedError(400, "invalid_request_error", text, "invalid_value", name)
    if body.get("n", 1) > MOST_CHOICES:
        raise RefusedError(400, "invalid_request_error", "n is too large.", "invalid_value", "n")
