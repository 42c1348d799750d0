SELECT
  *
FROM (
  SELECT
    *
  FROM "requests" AS "t1"
  WHERE
    (
      "t1"."model" IS NOT NULL
    ) OR (
      "t1"."price_state" <> 'unpriced'
    )
) AS "t2"
UNION ALL
SELECT
  *
FROM "assumed" AS "t0"
