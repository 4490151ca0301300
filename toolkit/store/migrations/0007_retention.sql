-- What `toolkit store prune` has removed. The roll-ups keep the counts and costs of removed calls.
CREATE TABLE retention (
    pruned_at        TIMESTAMPTZ NOT NULL,  -- when
    bodies_before_at TIMESTAMPTZ,           -- calls that began before lost prompt and answer
    calls_before_at  TIMESTAMPTZ,           -- calls that began before were removed
    bodies           BIGINT,                -- how many calls lost prompt and answer
    calls            BIGINT                 -- how many calls were removed
);
