"""AWS Bedrock model-invocation logs: JSON lines from S3 (gzip), or events of CloudWatch Logs.

Names of fields: "Monitor model invocation using CloudWatch Logs and Amazon S3" in the user guide of
Amazon Bedrock (schemaType ModelInvocationLog, schemaVersion 1.0), and the schema
AWS.BedrockModelInvocation in the documentation of panther.com, which lists `errorCode` and the
counts of cached tokens. `aws logs filter-log-events` gives `{"events": [{"message": "..."}]}`, with
each record as text in `message`.

`inputTokenCount` is taken to leave out what was read from or written to a cache, as the makers of
the models cached there count; the guide does not say, and public readers of these logs add the
three up. `modelId` is a model, an inference profile or the ARN of one, of which the last part is
the model's name; the ARN of an application inference profile or of provisioned throughput names no
model. Only Converse without a stream says how long it took.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Envelope, Signature, Source, Take, take


def _take(quantity: str, *paths: str, required: bool = False, unit: str | None = None) -> Take:
    """From the record itself, or from the message of an event that wraps it."""
    both = [wrapped for path in paths for wrapped in (path, f"message.{path}")]
    return take(quantity, *both, required=required, unit=unit)


_NAMED = "requestMetadata"
_BODY = "output.outputBodyJson"

BEDROCK = Source(
    name="bedrock",
    title="AWS Bedrock model-invocation log (JSON lines)",
    formats=("json",),
    takes=(
        _take("request_id", "requestId", required=True),
        # An event of CloudWatch has a timestamp too, in milliseconds: the record's goes first.
        take("started_at", "message.timestamp", "timestamp", required=True),
        _take("latency_s", f"{_BODY}.metrics.latencyMs", unit="ms"),
        _take("status", "errorCode"),
        _take("tenant", f"{_NAMED}.tenant", f"{_NAMED}.Tenant", "identity.arn"),
        _take("feature", f"{_NAMED}.feature", f"{_NAMED}.Feature"),
        _take("template", f"{_NAMED}.template", f"{_NAMED}.Template"),
        _take("prompt", "input.inputBodyJson"),
        _take("model", "modelId", required=True),
        _take("input_tokens", "input.inputTokenCount"),
        _take("cache_read_tokens", "input.cacheReadInputTokenCount"),
        _take("cache_write_tokens", "input.cacheWriteInputTokenCount"),
        _take("output_tokens", "output.outputTokenCount"),
    ),
    constants={"provider": "aws"},
    input_includes_cache=False,
    answered_needs=("input_tokens", "output_tokens"),
    cannot_tell={
        "tenant": "tenant: requestMetadata.tenant, else who signed the request (identity.arn)",
        "feature": "feature: only known where the client sets requestMetadata.feature",
        "template": "template: only known where the client sets requestMetadata.template",
        "latency_s": "latency: only of Converse without a stream",
        "ttft_s": "time to first token: not read",
        "service_tier": "service tier: not recorded, so standard; batch jobs are not in the log",
        "reasoning_tokens": "reasoning tokens: inside the output tokens, not told apart",
        "model": "model: not named by application inference profiles and provisioned throughput",
        "reported_cost_usd": "cost: not recorded",
        "large": "prompts over 100 KB: kept in S3 beside the log, not in it",
    },
    assumptions=(
        "inputTokenCount excludes tokens read from and written to the cache",
        "a record with an errorCode failed, one without was answered",
        "the timestamp is the request's beginning",
    ),
    words={"status": {"*": "error"}},
    name_parts={"model": "/"},
    signature=Signature(
        ("schemaType", "requestId", "modelId", "operation", "input"),
        telling=("schemaVersion", "accountId", "identity.arn", "input.inputTokenCount"),
        others=(("message.schemaType", "message.requestId", "message.modelId"),),
    ),
    envelope=Envelope("events"),
)
