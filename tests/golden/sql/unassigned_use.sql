SELECT
  "t1"."hour",
  SUM("t1"."n_requests") AS "n_requests",
  SUM("t1"."n_failed") AS "n_failed",
  SUM("t1"."uncached_input_tokens") AS "uncached_input_tokens",
  SUM("t1"."cache_read_tokens") AS "cache_read_tokens",
  SUM("t1"."cache_write_tokens") AS "cache_write_tokens",
  SUM("t1"."output_tokens") AS "output_tokens",
  SUM("t1"."reasoning_tokens") AS "reasoning_tokens",
  SUM("t1"."list_cost_usd") AS "list_cost_usd",
  SUM("t1"."n_unpriced") AS "n_unpriced",
  SUM("t1"."unpriced_tokens") AS "unpriced_tokens",
  SUM("t1"."n_self_hosted") AS "n_self_hosted",
  SUM("t1"."n_latency") AS "n_latency",
  SUM("t1"."n_ttft") AS "n_ttft",
  SUM("t1"."n_answered") AS "n_answered",
  SUM("t1"."sum_squared_tokens") AS "sum_squared_tokens",
  MIN("t1"."first_at") AS "first_at",
  MAX("t1"."last_at") AS "last_at"
FROM (
  SELECT
    *
  FROM "hourly" AS "t0"
  WHERE
    "t0"."feature" IS NULL AND "t0"."template" IS NULL
) AS "t1"
GROUP BY
  1
