SELECT
  "t5"."minute",
  "t5"."type_index",
  COUNT(*) AS "requests",
  SUM("t5"."all_input") AS "input_tokens",
  SUM("t5"."all_output") AS "output_tokens"
FROM (
  SELECT
    "t4"."minute",
    "t4"."all_input",
    "t4"."all_output",
    COALESCE("t2"."type_index", -1) AS "type_index"
  FROM (
    SELECT
      "t0"."feature",
      "t0"."template",
      DATE_TRUNC('MINUTE', "t0"."started_at") AS "minute",
      "t0"."uncached_input_tokens" + "t0"."cache_read_tokens" + "t0"."cache_write_tokens" AS "all_input",
      "t0"."output_tokens" AS "all_output"
    FROM "requests" AS "t0"
  ) AS "t4"
  LEFT OUTER JOIN "query_types" AS "t2"
    ON "t4"."feature" IS NOT DISTINCT FROM "t2"."of_feature"
    AND "t4"."template" IS NOT DISTINCT FROM "t2"."of_template"
) AS "t5"
GROUP BY
  1,
  2
