-- One load test. Its requests are rows of calls with origin load_test; their tags hold the rest.
CREATE TABLE load_tests (
    run_id     VARCHAR NOT NULL,      -- id; origin_id of its calls
    name       VARCHAR,               -- name for people
    model      VARCHAR,               -- provider/model_id
    config     JSON,                  -- schedule, steps, prompts, objectives and bounds
    status     VARCHAR,               -- running | done | stopped
    requests   BIGINT,                -- planned, warm-up included; NULL: bounded by time only
    done       BIGINT,                -- requests that have ended so far
    cost_usd   DECIMAL(24, 12),       -- what they cost; NULL: unpriced
    started_at TIMESTAMPTZ,           -- began
    ended_at   TIMESTAMPTZ,           -- ended; NULL: still running
    summary    JSON,                  -- figures of every step
    tags       MAP(VARCHAR, VARCHAR)  -- the caller's labels
);
