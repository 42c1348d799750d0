SELECT
  *
FROM (
  SELECT
    "t5"."type_index",
    "t5"."member",
    SUM("t5"."n_requests") AS "n_requests"
  FROM (
    SELECT
      "t4"."n_requests",
      "t4"."member",
      COALESCE("t2"."type_index", -1) AS "type_index"
    FROM (
      SELECT
        "t0"."feature",
        "t0"."template",
        "t0"."n_requests",
        "t0"."model" AS "member"
      FROM "hourly" AS "t0"
    ) AS "t4"
    LEFT OUTER JOIN "query_types" AS "t2"
      ON "t4"."feature" IS NOT DISTINCT FROM "t2"."of_feature"
      AND "t4"."template" IS NOT DISTINCT FROM "t2"."of_template"
  ) AS "t5"
  GROUP BY
    1,
    2
) AS "t6"
WHERE
  "t6"."member" IS NOT NULL
