SELECT
  "t6"."type_index",
  MIN(
    CASE
      WHEN "t6"."requests" = "t6"."peak_requests"
      THEN "t6"."minute"
      ELSE CAST(NULL AS TIMESTAMP(6))
    END
  ) AS "requests_at",
  MIN(
    CASE
      WHEN "t6"."tokens" = "t6"."peak_tokens"
      THEN "t6"."minute"
      ELSE CAST(NULL AS TIMESTAMP(6))
    END
  ) AS "tokens_at",
  MIN(
    CASE
      WHEN "t6"."output_tokens" = "t6"."peak_output_tokens"
      THEN "t6"."minute"
      ELSE CAST(NULL AS TIMESTAMP(6))
    END
  ) AS "output_tokens_at"
FROM (
  SELECT
    "t5"."minute",
    "t5"."type_index",
    "t5"."requests",
    "t5"."input_tokens",
    "t5"."output_tokens",
    "t5"."tokens",
    "t4"."peak_requests",
    "t4"."peak_tokens",
    "t4"."peak_output_tokens",
    "t4"."peak_type"
  FROM (
    SELECT
      "t0"."minute",
      "t0"."type_index",
      "t0"."requests",
      "t0"."input_tokens",
      "t0"."output_tokens",
      "t0"."input_tokens" + "t0"."output_tokens" AS "tokens"
    FROM "type_minutes" AS "t0"
  ) AS "t5"
  INNER JOIN (
    SELECT
      "t1"."peak_requests",
      "t1"."peak_tokens",
      "t1"."peak_output_tokens",
      "t1"."type_index" AS "peak_type"
    FROM "type_peaks" AS "t1"
  ) AS "t4"
    ON "t5"."type_index" = "t4"."peak_type"
) AS "t6"
GROUP BY
  1
