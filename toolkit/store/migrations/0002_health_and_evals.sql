-- Where an incident sits, and whether it was told; what an evaluation asked and who judged it.

ALTER TABLE incidents ADD COLUMN scope VARCHAR;           -- key | model | provider | network
ALTER TABLE incidents ADD COLUMN alerted_at TIMESTAMPTZ;  -- when its opening was told; NULL: not
ALTER TABLE incidents ADD COLUMN end_alerted_at TIMESTAMPTZ;  -- when its end was told; NULL: not

ALTER TABLE eval_samples ADD COLUMN variant VARCHAR;        -- which prompt and parameters, by name
ALTER TABLE eval_samples ADD COLUMN params JSON;            -- parameters that were sent
ALTER TABLE eval_samples ADD COLUMN ttft_ms DOUBLE;         -- first token, where it streamed
ALTER TABLE eval_samples ADD COLUMN is_cached BOOLEAN;      -- an earlier answer was taken again
ALTER TABLE eval_samples ADD COLUMN judge_model VARCHAR;    -- who judged, where a model did
ALTER TABLE eval_samples ADD COLUMN judge_call_id VARCHAR;  -- row of calls of that judgement
ALTER TABLE eval_samples ADD COLUMN judge_cost_usd DECIMAL(24, 12);  -- what judging cost
