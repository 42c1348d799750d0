SELECT
  "t1"."hour",
  "t1"."tenant",
  "t1"."feature",
  "t1"."template",
  "t1"."model",
  "t1"."provider",
  "t1"."data_class",
  COUNT(*) AS "n_requests",
  SUM(CASE WHEN "t1"."status" <> 'ok' THEN 1 ELSE 0 END) AS "n_failed",
  SUM("t1"."uncached_input_tokens") AS "uncached_input_tokens",
  SUM("t1"."cache_read_tokens") AS "cache_read_tokens",
  SUM("t1"."cache_write_tokens") AS "cache_write_tokens",
  SUM("t1"."output_tokens") AS "output_tokens",
  SUM("t1"."reasoning_tokens") AS "reasoning_tokens",
  SUM("t1"."list_cost_usd") AS "list_cost_usd",
  SUM(CASE WHEN "t1"."unpriced" THEN 1 ELSE 0 END) AS "n_unpriced",
  SUM(CASE WHEN "t1"."unpriced" THEN "t1"."total" ELSE 0 END) AS "unpriced_tokens",
  SUM(CASE WHEN "t1"."price_state" = 'self_hosted' THEN 1 ELSE 0 END) AS "n_self_hosted",
  SUM(
    CASE WHEN (
      "t1"."latency_s" IS NOT NULL
    ) AND "t1"."answered" THEN 1 ELSE 0 END
  ) AS "n_latency",
  SUM(CASE WHEN (
    "t1"."ttft_s" IS NOT NULL
  ) AND "t1"."answered" THEN 1 ELSE 0 END) AS "n_ttft",
  SUM(CASE WHEN "t1"."answered" THEN 1 ELSE 0 END) AS "n_answered",
  SUM("t1"."weight" * "t1"."weight") AS "sum_squared_tokens",
  MIN("t1"."started_at") AS "first_at",
  MAX("t1"."started_at") AS "last_at"
FROM (
  SELECT
    "t0"."started_at",
    "t0"."tenant",
    "t0"."feature",
    "t0"."template",
    "t0"."model",
    "t0"."provider",
    "t0"."data_class",
    "t0"."target",
    "t0"."service_tier",
    "t0"."status",
    "t0"."uncached_input_tokens",
    "t0"."cache_read_tokens",
    "t0"."cache_write_tokens",
    "t0"."output_tokens",
    "t0"."reasoning_tokens",
    "t0"."latency_s",
    "t0"."ttft_s",
    "t0"."price_state",
    "t0"."list_cost_usd",
    DATE_TRUNC('HOUR', "t0"."started_at") AS "hour",
    "t0"."uncached_input_tokens" + "t0"."cache_read_tokens" + "t0"."cache_write_tokens" + "t0"."output_tokens" AS "total",
    CAST("t0"."uncached_input_tokens" + "t0"."cache_read_tokens" + "t0"."cache_write_tokens" + "t0"."output_tokens" AS DOUBLE) AS "weight",
    "t0"."price_state" = 'unpriced' AS "unpriced",
    "t0"."status" = 'ok' AS "answered"
  FROM "requests" AS "t0"
) AS "t1"
GROUP BY
  1,
  2,
  3,
  4,
  5,
  6,
  7
