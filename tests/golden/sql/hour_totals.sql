SELECT
  "t0"."hour",
  SUM("t0"."n_requests") AS "n_requests",
  SUM("t0"."n_failed") AS "n_failed",
  SUM("t0"."uncached_input_tokens") AS "uncached_input_tokens",
  SUM("t0"."cache_read_tokens") AS "cache_read_tokens",
  SUM("t0"."cache_write_tokens") AS "cache_write_tokens",
  SUM("t0"."output_tokens") AS "output_tokens",
  SUM("t0"."reasoning_tokens") AS "reasoning_tokens",
  SUM("t0"."list_cost_usd") AS "list_cost_usd",
  SUM("t0"."n_unpriced") AS "n_unpriced",
  SUM("t0"."unpriced_tokens") AS "unpriced_tokens",
  SUM("t0"."n_self_hosted") AS "n_self_hosted",
  SUM("t0"."n_latency") AS "n_latency",
  SUM("t0"."n_ttft") AS "n_ttft",
  SUM("t0"."n_answered") AS "n_answered",
  SUM("t0"."sum_squared_tokens") AS "sum_squared_tokens",
  MIN("t0"."first_at") AS "first_at",
  MAX("t0"."last_at") AS "last_at"
FROM "hourly" AS "t0"
GROUP BY
  1
