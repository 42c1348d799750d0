SELECT
  *
FROM "requests" AS "t0"
WHERE
  "t0"."model" IS NULL AND "t0"."price_state" = 'unpriced'
