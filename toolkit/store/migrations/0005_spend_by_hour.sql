-- What spend is made of, by hour, so that sums over millions of calls read few rows. From here on
-- `cost_usd` of the roll-up is what was charged: the provider's own figure wherever it gave one.

ALTER TABLE rollup_hourly ADD COLUMN reported_usd DECIMAL(38, 12);  -- sum of the providers' own figures; NULL: none
ALTER TABLE rollup_hourly ADD COLUMN computed_usd DECIMAL(38, 12);  -- sum of the receipts; NULL: none
ALTER TABLE rollup_hourly ADD COLUMN unpriced_answers BIGINT;       -- answered and without any cost
ALTER TABLE rollup_hourly ADD COLUMN partial BIGINT;                -- something they used has no price
ALTER TABLE rollup_hourly ADD COLUMN mismatched BIGINT;             -- the two figures differ by more than 1 %

DELETE FROM rollup_hourly;
INSERT INTO rollup_hourly BY NAME
SELECT date_trunc('hour', started_at) AS hour_at, coalesce(provider, '') AS provider,
       coalesce(model, '') AS model, coalesce(operation, '') AS operation,
       coalesce(origin, '') AS origin, coalesce(status, '') AS status,
       coalesce(error_code, '') AS error_code, coalesce(blame, '') AS blame,
       count(*) AS calls, count(*) FILTER (attempt = 1) AS requests,
       count(*) FILTER (charged IS NULL) AS unpriced,
       CAST(greatest(least(coalesce(sum(input_tokens), 0), 9223372036854775807), -9223372036854775807) AS BIGINT)
           AS input_tokens,
       CAST(greatest(least(coalesce(sum(output_tokens), 0), 9223372036854775807), -9223372036854775807) AS BIGINT)
           AS output_tokens,
       CAST(greatest(least(coalesce(sum(cached_input_tokens), 0), 9223372036854775807), -9223372036854775807)
           AS BIGINT) AS cached_input_tokens,
       CAST(greatest(least(coalesce(sum(reasoning_tokens), 0), 9223372036854775807), -9223372036854775807)
           AS BIGINT) AS reasoning_tokens,
       coalesce(sum(charged), 0) AS cost_usd, sum(cost_reported_usd) AS reported_usd,
       sum(computed) AS computed_usd,
       count(*) FILTER (charged IS NULL AND (status = 'ok' OR output_tokens IS NOT NULL)) AS unpriced_answers,
       count(*) FILTER (len(unpriced_classes) > 0 AND cost_reported_usd IS NULL) AS partial,
       count(*) FILTER (abs(cost_reported_usd - computed) > 0.01 * greatest(abs(cost_reported_usd), abs(computed)))
           AS mismatched
FROM (SELECT *, coalesce(cost_reported_usd, cost_usd) AS charged,
             coalesce(cost_computed_usd, CASE WHEN cost_source IS NULL THEN cost_usd END) AS computed
      FROM calls WHERE source = 'live' AND started_at IS NOT NULL)
GROUP BY ALL;
