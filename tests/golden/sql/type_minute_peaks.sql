SELECT
  "t1"."type_index",
  MAX("t1"."requests") AS "peak_requests",
  MAX("t1"."tokens") AS "peak_tokens",
  MAX("t1"."output_tokens") AS "peak_output_tokens",
  SUM(
    CASE
      WHEN (
        "t1"."minute" >= MAKE_TIMESTAMP(2026, 10, 5, 6, 30, 0.0)
      )
      AND (
        "t1"."minute" <= MAKE_TIMESTAMP(2026, 10, 12, 6, 30, 0.0)
      )
      THEN "t1"."requests"
      ELSE 0
    END
  ) AS "sum_requests",
  SUM(
    CASE
      WHEN (
        "t1"."minute" >= MAKE_TIMESTAMP(2026, 10, 5, 6, 30, 0.0)
      )
      AND (
        "t1"."minute" <= MAKE_TIMESTAMP(2026, 10, 12, 6, 30, 0.0)
      )
      THEN "t1"."tokens"
      ELSE 0
    END
  ) AS "sum_tokens",
  SUM(
    CASE
      WHEN (
        "t1"."minute" >= MAKE_TIMESTAMP(2026, 10, 5, 6, 30, 0.0)
      )
      AND (
        "t1"."minute" <= MAKE_TIMESTAMP(2026, 10, 12, 6, 30, 0.0)
      )
      THEN "t1"."output_tokens"
      ELSE 0
    END
  ) AS "sum_output_tokens"
FROM (
  SELECT
    "t0"."minute",
    "t0"."type_index",
    "t0"."requests",
    "t0"."input_tokens",
    "t0"."output_tokens",
    "t0"."input_tokens" + "t0"."output_tokens" AS "tokens"
  FROM "type_minutes" AS "t0"
) AS "t1"
GROUP BY
  1
