SELECT
  "t5"."type_index",
  "t5"."hour",
  SUM("t5"."n_requests") AS "requests",
  SUM("t5"."uncached_input_tokens") AS "uncached_input_tokens",
  SUM("t5"."output_tokens") AS "output_tokens",
  SUM("t5"."total_tokens") AS "tokens"
FROM (
  SELECT
    "t4"."hour",
    "t4"."n_requests",
    "t4"."uncached_input_tokens",
    "t4"."output_tokens",
    "t4"."total_tokens",
    COALESCE("t2"."type_index", -1) AS "type_index"
  FROM (
    SELECT
      "t0"."hour",
      "t0"."feature",
      "t0"."template",
      "t0"."n_requests",
      "t0"."uncached_input_tokens",
      "t0"."output_tokens",
      "t0"."uncached_input_tokens" + "t0"."cache_read_tokens" + "t0"."cache_write_tokens" + "t0"."output_tokens" AS "total_tokens"
    FROM "hourly" AS "t0"
  ) AS "t4"
  LEFT OUTER JOIN "query_types" AS "t2"
    ON "t4"."feature" IS NOT DISTINCT FROM "t2"."of_feature"
    AND "t4"."template" IS NOT DISTINCT FROM "t2"."of_template"
) AS "t5"
GROUP BY
  1,
  2
