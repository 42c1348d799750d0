"""What the stand-in makes of a request before it answers: who asks, and for what."""

from __future__ import annotations

from typing import Any

import msgspec

from weighbridge.rehearsal.provider_bill import BillLine
from weighbridge.rehearsal.provider_plan import Endpoint, Plan, RefusedError
from weighbridge.rehearsal.provider_settings import Model
from weighbridge.rehearsal.provider_wire import Connection, Headers, Received

PATHS: dict[str, Endpoint] = {
    "/chat/completions": "chat",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/responses": "responses",
    "/messages": "messages",
    "/messages/count_tokens": "count_tokens",
}
AZURE = "/openai/deployments/"


class Call:
    """What is known of a request while it is looked at."""

    __slots__ = (
        "connection",
        "is_anthropic",
        "key",
        "line",
        "model",
        "number",
        "plan",
        "received",
        "request_id",
        "wait_s",
    )

    def __init__(
        self, connection: Connection, received: Received, is_anthropic: bool, number: str
    ) -> None:
        self.connection, self.received = connection, received
        self.is_anthropic, self.number = is_anthropic, number
        self.request_id = f"req_{number}"
        headers = received.headers
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        self.key = headers.get("x-api-key") or headers.get("api-key") or bearer
        self.line: BillLine | None = None
        self.plan: Plan | None = None
        self.model: Model | None = None
        self.wait_s: float | None = None

    def id_header(self) -> Headers:
        """The header in which the dialect gives a request's id."""
        return [("request-id" if self.is_anthropic else "x-request-id", self.request_id)]


def endpoint_of(received: Received) -> tuple[Endpoint, str]:
    """What a path asks for, and the deployment that an Azure path names."""
    path, deployment = received.path, ""
    if path.startswith(AZURE):
        deployment, _, rest = path.removeprefix(AZURE).partition("/")
        path = "/" + rest
    elif path.startswith(("/v1/", "/openai/v1/")):
        path = path[path.index("/v1") + 3 :]
    endpoint = PATHS.get(path)
    if endpoint is None:
        text = f"Invalid URL ({received.method} {received.path})"
        raise RefusedError(404, "invalid_request_error", text)
    if received.method != "POST":
        raise RefusedError(405, "invalid_request_error", "Only POST is taken here.")
    return endpoint, deployment


def decoded(body: bytes) -> dict[str, Any]:
    """The body as an object; raises `RefusedError`."""
    text = "We could not parse the JSON body of your request."
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as bad:
        raise RefusedError(400, "invalid_request_error", text) from bad
    if not isinstance(decoded, dict):
        raise RefusedError(400, "invalid_request_error", text)
    return decoded


def answer_id(plan: Plan) -> str:
    """The answer's id as its body gives it."""
    prefix = {"chat": "chatcmpl-", "completions": "cmpl-", "messages": "msg_", "responses": "resp_"}
    return prefix.get(plan.endpoint, "") + plan.id
