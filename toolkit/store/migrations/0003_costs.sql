-- What else a call is charged for, which tier served it, and whose figure its cost is.

ALTER TABLE calls ADD COLUMN cache_write_1h_tokens BIGINT;      -- part of cache_write_tokens: kept for one hour
ALTER TABLE calls ADD COLUMN audio_input_tokens BIGINT;         -- part of input_tokens
ALTER TABLE calls ADD COLUMN cached_audio_input_tokens BIGINT;  -- part of cached_input_tokens and audio_input_tokens
ALTER TABLE calls ADD COLUMN audio_output_tokens BIGINT;        -- part of output_tokens
ALTER TABLE calls ADD COLUMN image_input_tokens BIGINT;         -- part of input_tokens
ALTER TABLE calls ADD COLUMN image_output_tokens BIGINT;        -- part of output_tokens
ALTER TABLE calls ADD COLUMN web_searches BIGINT;               -- searches made by the provider's own tool
ALTER TABLE calls ADD COLUMN service_tier VARCHAR;              -- tier that served the call, as the provider names it
ALTER TABLE calls ADD COLUMN cost_source VARCHAR;               -- whose figure cost_usd is: reported | computed
ALTER TABLE calls ADD COLUMN cost_computed_usd DECIMAL(24, 12); -- sum of the receipt's lines
ALTER TABLE calls ADD COLUMN unpriced_classes VARCHAR[];        -- classes that were used and have no price

-- In rows of earlier versions `cost_source` is NULL and `cost_usd` is the computed figure.

ALTER TABLE tariffs ADD COLUMN tier VARCHAR;                    -- service tier; NULL: standard
