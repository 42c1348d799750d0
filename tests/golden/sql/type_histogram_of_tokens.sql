SELECT
  "t6"."type_index",
  "t6"."bin",
  COUNT(*) AS "n",
  MIN("t6"."measured") AS "least",
  MAX("t6"."measured") AS "greatest",
  SUM("t6"."measured") AS "total"
FROM (
  SELECT
    "t5"."measured",
    "t5"."type_index",
    CASE
      WHEN "t5"."measured" < 128
      THEN "t5"."measured"
      ELSE CAST(FLOOR(LOG(2, "t5"."measured") * 64.0) AS BIGINT)
    END AS "bin"
  FROM (
    SELECT
      "t4"."measured",
      COALESCE("t2"."type_index", -1) AS "type_index"
    FROM (
      SELECT
        "t0"."feature",
        "t0"."template",
        "t0"."uncached_input_tokens" + "t0"."cache_read_tokens" + "t0"."cache_write_tokens" AS "measured"
      FROM "requests" AS "t0"
      WHERE
        "t0"."status" = 'ok'
        AND (
          "t0"."uncached_input_tokens" + "t0"."cache_read_tokens" + "t0"."cache_write_tokens"
        ) IS NOT NULL
    ) AS "t4"
    LEFT OUTER JOIN "query_types" AS "t2"
      ON "t4"."feature" IS NOT DISTINCT FROM "t2"."of_feature"
      AND "t4"."template" IS NOT DISTINCT FROM "t2"."of_template"
  ) AS "t5"
) AS "t6"
GROUP BY
  1,
  2
