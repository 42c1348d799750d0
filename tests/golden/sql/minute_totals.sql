SELECT
  "t0"."minute",
  SUM("t0"."requests") AS "requests",
  SUM("t0"."input_tokens") AS "input_tokens",
  SUM("t0"."output_tokens") AS "output_tokens"
FROM "type_minutes" AS "t0"
GROUP BY
  1
