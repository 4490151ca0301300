-- Where an incident sits, and whether it was told; what an evaluation asked and who judged it;
-- the prices that a call was charged at.

ALTER TABLE incidents ADD COLUMN scope VARCHAR;           -- key | model | provider | network
ALTER TABLE incidents ADD COLUMN alerted_at TIMESTAMPTZ;  -- when the alert for its opening was sent; NULL: not
ALTER TABLE incidents ADD COLUMN end_alerted_at TIMESTAMPTZ;  -- when the alert for its end was sent; NULL: not

ALTER TABLE eval_samples ADD COLUMN variant VARCHAR;        -- which prompt and parameters, by name
ALTER TABLE eval_samples ADD COLUMN params JSON;            -- parameters that were sent
ALTER TABLE eval_samples ADD COLUMN ttft_ms DOUBLE;         -- first token, where it streamed
ALTER TABLE eval_samples ADD COLUMN is_cached BOOLEAN;      -- an earlier answer was taken again
ALTER TABLE eval_samples ADD COLUMN judge_model VARCHAR;    -- who judged, where a model did
ALTER TABLE eval_samples ADD COLUMN judge_call_id VARCHAR;  -- row of calls of that judgement
ALTER TABLE eval_samples ADD COLUMN judge_cost_usd DECIMAL(24, 12);  -- what judging cost

-- What a call was charged at: all rows of one price_id are the standard prices of one model as they
-- were in force together. Its name ends with a digest of them, so that other prices have another.
CREATE TABLE tariffs (
    rate_id         VARCHAR NOT NULL,  -- price_id:token_class:above_tokens
    price_id        VARCHAR NOT NULL,  -- the same as in calls: source:model:as_of:digest
    token_class     VARCHAR NOT NULL,  -- input | cached_input | cache_write | output | reasoning | request
    above_tokens    BIGINT NOT NULL,   -- holds where the whole input is longer than this
    usd_per_million DECIMAL(24, 12),   -- per million tokens (or requests)
    provider        VARCHAR,           -- provider's name in the registry
    model_id        VARCHAR,           -- the provider's id of the model
    model           VARCHAR,           -- provider/model_id
    source          VARCHAR,           -- override | provider | litellm | genai-prices
    as_of           VARCHAR,           -- date or edition of that source
    recorded_at     TIMESTAMPTZ        -- when a call first needed it
);
