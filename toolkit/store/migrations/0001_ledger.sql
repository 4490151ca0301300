-- The ledger. Times are UTC, ids UUIDv7 text, durations milliseconds, money USD.
-- NULL means unknown, never zero. No index and no primary key: ids are unique because
-- rows are moved in from the journal exactly once, by id.

-- One row: the version that this file was written for.
CREATE TABLE schema_version (
    version    INTEGER NOT NULL,     -- number of the last migration applied
    applied_at TIMESTAMPTZ NOT NULL  -- when
);

-- How far each journal has been moved in; committed together with the rows.
CREATE TABLE journal_marks (
    journal_id VARCHAR NOT NULL,     -- identity of one journal file
    high_water BIGINT NOT NULL,      -- last journal entry that is in the tables below
    moved_at   TIMESTAMPTZ NOT NULL  -- when
);

-- One row per attempt, never updated.
CREATE TABLE calls (
    call_id                      VARCHAR NOT NULL,       -- id of this attempt
    request_id                   VARCHAR,                -- shared by all attempts of one request
    attempt                      BIGINT,                 -- 1, 2, ... within the request
    attempt_kind                 VARCHAR,                -- first | retry | fallback
    origin                       VARCHAR,                -- api, chat, compare, eval, health, gateway, ...
    origin_id                    VARCHAR,                -- the board, eval run, ... it belongs to
    started_at                   TIMESTAMPTZ,            -- when the request was sent
    seq                          BIGINT,                 -- order within the process, for equal times
    provider                     VARCHAR,                -- provider's name in the registry
    model                        VARCHAR,                -- provider/model_id that was asked
    response_model               VARCHAR,                -- the model's name in the answer
    operation                    VARCHAR,                -- chat | embeddings
    stream                       BOOLEAN,                -- asked for piece by piece
    source                       VARCHAR,                -- live | record | replay | cache
    is_cold                      BOOLEAN,                -- first call of this process to this model
    status                       VARCHAR,                -- ok | error | cancelled
    error_code                   VARCHAR,                -- code of the error class
    error_cause                  VARCHAR,                -- finer name of the cause (dns, tls, not_api)
    blame                        VARCHAR,                -- provider | network | client | local | policy
    http_status                  BIGINT,                 -- status of the answer
    error_message                VARCHAR,                -- what happened, redacted
    retry_after_s                DOUBLE,                 -- wait that the provider asked for
    finish_reason                VARCHAR,                -- NULL where the provider gave none
    input_tokens                 BIGINT,                 -- all input, cached included
    output_tokens                BIGINT,                 -- all output, reasoning included
    cached_input_tokens          BIGINT,                 -- part of input read from a cache
    cache_write_tokens           BIGINT,                 -- part of input written to a cache
    reasoning_tokens             BIGINT,                 -- part of output spent on reasoning
    usage_source                 VARCHAR,                -- provider | estimated | none
    cost_usd                     DECIMAL(24, 12),        -- total of the receipt; NULL: unpriced
    price_id                     VARCHAR,                -- price that was used
    cost_reported_usd            DECIMAL(24, 12),        -- what the provider said it cost
    queue_ms                     DOUBLE,                 -- waited in our own queue
    connect_ms                   DOUBLE,                 -- DNS, TCP, TLS; NULL when reused
    headers_ms                   DOUBLE,                 -- sent to response headers
    first_byte_ms                DOUBLE,                 -- sent to first byte of the body
    ttft_ms                      DOUBLE,                 -- sent to first non-empty delta
    ttfo_ms                      DOUBLE,                 -- sent to first answer token
    last_token_ms                DOUBLE,                 -- sent to last content delta
    duration_ms                  DOUBLE,                 -- sent to end of the reply
    tpot_ms                      DOUBLE,                 -- (last - ttft) / (output_tokens - 1)
    output_tps                   DOUBLE,                 -- output tokens per second
    overhead_ms                  DOUBLE,                 -- spent in this process
    loop_lag_ms                  DOUBLE,                 -- worst delay of the event loop
    connection_reused            BOOLEAN,                -- an open connection was used
    chunk_offsets_us             BIGINT[],               -- arrival of each content chunk, microseconds
    stall_count                  BIGINT,                 -- long silences between chunks
    bytes_in                     BIGINT,                 -- bytes of the body on the wire
    provider_request_id          VARCHAR,                -- the provider's id of the request
    system_fingerprint           VARCHAR,                -- the provider's name of its configuration
    ratelimit_limit_requests     BIGINT,                 -- rate-limit headers, as they came
    ratelimit_remaining_requests BIGINT,                 -- requests left
    ratelimit_reset_requests_s   DOUBLE,                 -- seconds until that window ends
    ratelimit_limit_tokens       BIGINT,                 -- tokens allowed per window
    ratelimit_remaining_tokens   BIGINT,                 -- tokens left
    ratelimit_reset_tokens_s     DOUBLE,                 -- seconds until that window ends
    params                       JSON,                   -- sampling and other parameters
    messages                     JSON,                   -- the conversation; NULL when not recorded
    output_text                  VARCHAR,                -- the answer
    reasoning_text               VARCHAR,                -- the reasoning, where it is shown
    tool_calls                   JSON,                   -- tools the model wanted called
    tags                         MAP(VARCHAR, VARCHAR),  -- the caller's labels
    flags                        VARCHAR[],              -- oddities that were noticed
    key_fingerprint              VARCHAR,                -- which key, never the key
    recorded_by                  VARCHAR,                -- toolkit | callback
    toolkit_version              VARCHAR,                -- versions that made the row
    litellm_version              VARCHAR                 -- version that talked to the provider
);

-- A mirror of the registry, for joins; newest row per name.
CREATE TABLE providers (
    name           VARCHAR NOT NULL,  -- unique name
    display_name   VARCHAR,           -- name for people
    type           VARCHAR,           -- openai, anthropic, gemini, ollama, azure, custom, ...
    base_url       VARCHAR,           -- where it is
    origin         VARCHAR,           -- scheme, host, port that the key is bound to
    default_model  VARCHAR,           -- model when none is named
    source         VARCHAR,           -- preset | custom | environment | discovered
    is_local       BOOLEAN,           -- runs on this machine or network
    is_default     BOOLEAN,           -- the default provider
    is_active      BOOLEAN,           -- may be called
    needs_key      BOOLEAN,           -- refuses to answer without a key
    auto_sync      BOOLEAN,           -- its models are listed without asking
    timeout_s      DOUBLE,            -- total deadline of a call
    max_retries    BIGINT,            -- tries after the first
    rpm            BIGINT,            -- requests per minute
    tpm            BIGINT,            -- tokens per minute
    params         JSON,              -- default parameters
    tested_at      TIMESTAMPTZ,       -- last successful test
    created_at     TIMESTAMPTZ,       -- when it was made
    updated_at     TIMESTAMPTZ,       -- when it last changed
    deactivated_at TIMESTAMPTZ        -- soft removal
);

-- The catalog; newest row per provider and model_id.
CREATE TABLE models (
    provider                  VARCHAR NOT NULL,  -- who serves it
    model_id                  VARCHAR NOT NULL,  -- the provider's id
    model                     VARCHAR,           -- provider/model_id
    display_name              VARCHAR,           -- name for people
    description               VARCHAR,           -- the provider's words
    owner                     VARCHAR,           -- who made it
    family                    VARCHAR,           -- the model behind its names
    kind                      VARCHAR,           -- chat, embedding, image, audio, ...
    context_window            BIGINT,            -- most tokens in and out
    max_output_tokens         BIGINT,            -- most tokens out
    input_usd_per_mtok        DECIMAL(24, 12),   -- list prices per million tokens; NULL: unknown
    output_usd_per_mtok       DECIMAL(24, 12),   -- the same, output
    cached_input_usd_per_mtok DECIMAL(24, 12),   -- the same, input read from a cache
    cache_write_usd_per_mtok  DECIMAL(24, 12),   -- the same, input written to a cache
    reasoning_usd_per_mtok    DECIMAL(24, 12),   -- the same, reasoning
    price_id                  VARCHAR,           -- row of prices in force
    price_source              VARCHAR,           -- where the price is from
    price_date                DATE,              -- date of that price
    input_modalities          VARCHAR[],         -- text, image, audio, video, file
    output_modalities         VARCHAR[],         -- the same, out
    capabilities              VARCHAR[],         -- tools, vision, json, reasoning, ...
    status                    VARCHAR,           -- active | preview | deprecated | offline | gone
    is_enabled                BOOLEAN,           -- may be called
    is_local                  BOOLEAN,           -- served on this machine or network
    sync_status               VARCHAR,           -- ok | failed | stale
    sync_error                VARCHAR,           -- why the last listing failed
    synced_at                 TIMESTAMPTZ,       -- last listing that was read
    first_seen_at             TIMESTAMPTZ,       -- first listing that had it
    last_seen_at              TIMESTAMPTZ,       -- last listing that had it
    gone_at                   TIMESTAMPTZ,       -- first listing without it
    released_at               TIMESTAMPTZ,       -- when the model came out
    deprecation_date          DATE,              -- when it ends
    successor                 VARCHAR,           -- what the provider names instead
    size_bytes                BIGINT,            -- size of the weights (local)
    parameters                VARCHAR,           -- 135M, 8B, ...
    quantization              VARCHAR,           -- Q8_0, ...
    aliases                   VARCHAR[],         -- other ids of the same model
    flags                     VARCHAR[],         -- oddities of the listing
    facts                     JSON,              -- each fact with its source
    raw                       JSON               -- the provider's own entry
);

-- What a sync found different.
CREATE TABLE model_changes (
    change_id  VARCHAR NOT NULL,  -- id
    changed_at TIMESTAMPTZ,       -- when the sync saw it
    provider   VARCHAR,           -- provider's name in the registry
    model_id   VARCHAR,           -- the provider's id of the model
    model      VARCHAR,           -- provider/model_id
    kind       VARCHAR,           -- new | gone | back | price | context | capability | status
    field      VARCHAR,           -- column that changed
    old        VARCHAR,           -- as text; NULL: none before
    new        VARCHAR,           -- as text; NULL: none now
    source     VARCHAR,           -- source: listing, price file, user
    sync_id    VARCHAR            -- the sync that saw it
);

-- Dated prices by token class; never updated, a new price is a new row.
CREATE TABLE prices (
    price_id        VARCHAR NOT NULL,  -- id
    provider        VARCHAR,           -- provider's name in the registry
    model_id        VARCHAR,           -- the provider's id of the model
    model           VARCHAR,           -- provider/model_id
    token_class     VARCHAR,           -- input | cached_input | cache_write | output | reasoning | request
    usd_per_million DECIMAL(24, 12),   -- per million tokens (or units)
    tier            VARCHAR,           -- standard, batch, flex, ...
    above_tokens    BIGINT,            -- holds for inputs longer than this
    valid_from      DATE,              -- first day it holds
    valid_to        DATE,              -- last day; NULL: still holds
    source          VARCHAR,           -- litellm | genai-prices | listing | override
    source_date     DATE,              -- date of that source
    recorded_at     TIMESTAMPTZ,       -- when we learned it
    note            VARCHAR            -- a remark
);

-- One health check of a provider.
CREATE TABLE probes (
    probe_id       VARCHAR NOT NULL,  -- id
    probed_at      TIMESTAMPTZ,       -- when it began
    provider       VARCHAR,           -- provider's name in the registry
    model          VARCHAR,           -- model that was asked, where one was
    kind           VARCHAR,           -- address | reach | key | list | call
    status         VARCHAR,           -- ok | error | skipped
    outcome        VARCHAR,           -- good | slow | bad | auth | limited | neutral
    state          VARCHAR,           -- state of the provider after it
    previous_state VARCHAR,           -- and before
    reason         VARCHAR,           -- why, in words
    blame          VARCHAR,           -- whose fault: provider | network | client | local | policy
    error_code     VARCHAR,           -- code of the error class, where it failed
    error_cause    VARCHAR,           -- finer name of the cause
    error_message  VARCHAR,           -- redacted
    http_status    BIGINT,            -- status of the answer
    latency_ms     DOUBLE,            -- whole check
    ttft_ms        DOUBLE,            -- first token, where a model was asked
    retry_after_s  DOUBLE,            -- wait that the provider asked for
    cost_usd       DECIMAL(24, 12),   -- what it cost; NULL: unpriced
    call_id        VARCHAR,           -- row of calls, where a model was asked
    is_manual      BOOLEAN,           -- a person asked for it
    details        JSON               -- the steps, as they went
);

-- A span degraded or down; newest row per incident_id.
CREATE TABLE incidents (
    incident_id VARCHAR NOT NULL,  -- id
    provider    VARCHAR,           -- provider's name in the registry
    model       VARCHAR,           -- NULL: the whole provider
    state       VARCHAR,           -- worst state within the span
    opened_at   TIMESTAMPTZ,       -- began
    closed_at   TIMESTAMPTZ,       -- ended; NULL: still open
    reason      VARCHAR,           -- in words
    error_code  VARCHAR,           -- most frequent code
    probes      BIGINT,            -- probes and calls within
    failures    BIGINT,            -- failed ones
    evidence    JSON               -- ids of probes and calls that opened and closed it
);

-- One side-by-side comparison; newest row per board_id.
CREATE TABLE boards (
    board_id   VARCHAR NOT NULL,      -- id; origin_id of its calls
    created_at TIMESTAMPTZ,           -- when it was asked
    title      VARCHAR,               -- name for people
    messages   JSON,                  -- the conversation; NULL when not recorded
    params     JSON,                  -- parameters common to all panes
    is_blind   BOOLEAN,               -- names were hidden while voting
    tags       MAP(VARCHAR, VARCHAR)  -- the caller's labels
);

-- One pane of a board that is over.
CREATE TABLE panes (
    pane_id    VARCHAR NOT NULL,  -- id
    board_id   VARCHAR,           -- the board
    position   BIGINT,            -- place on the board, 0 first
    label      VARCHAR,           -- what the person called it
    model      VARCHAR,           -- provider/model_id
    params     JSON,              -- parameters of this pane
    state      VARCHAR,           -- done | failed | stopped
    error_code VARCHAR,           -- why it failed
    call_id    VARCHAR,           -- the attempt that answered
    ended_at   TIMESTAMPTZ        -- ended; NULL: still running
);

-- One vote on two panes; a is the left one.
CREATE TABLE votes (
    vote_id  VARCHAR NOT NULL,  -- id
    board_id VARCHAR,           -- the board
    voted_at TIMESTAMPTZ,       -- when
    pane_a   VARCHAR,           -- pane_id
    pane_b   VARCHAR,           -- the other pane_id
    model_a  VARCHAR,           -- provider/model_id
    model_b  VARCHAR,           -- the model of pane_b
    outcome  VARCHAR,           -- a | b | tie | both_bad
    is_blind BOOLEAN,           -- names were hidden
    voter    VARCHAR,           -- NULL: a person; else the judge model
    note     VARCHAR            -- a remark of the voter
);

-- A dataset; newest row per dataset_id.
CREATE TABLE datasets (
    dataset_id VARCHAR NOT NULL,  -- id
    name       VARCHAR,           -- name for people
    path       VARCHAR,           -- file it came from
    sha256     VARCHAR,           -- digest of its samples
    samples    BIGINT,            -- how many
    columns    VARCHAR[],         -- columns of its samples
    created_at TIMESTAMPTZ,       -- when it was made
    updated_at TIMESTAMPTZ,       -- when it last changed
    details    JSON               -- whatever else belongs to it
);

-- One evaluation of models on a dataset; newest row per run_id.
CREATE TABLE eval_runs (
    run_id         VARCHAR NOT NULL,      -- id; origin_id of its calls
    name           VARCHAR,               -- name for people
    dataset_id     VARCHAR,               -- the dataset
    dataset        VARCHAR,               -- its name
    dataset_sha256 VARCHAR,                -- digest of its samples
    models         VARCHAR[],             -- provider/model_id
    scorers        VARCHAR[],             -- who judged
    epochs         BIGINT,                -- times each sample is asked
    params         JSON,                  -- parameters of the model
    config         JSON,                  -- all that is needed to run it again
    seed           BIGINT,                -- order of the samples; NULL: the dataset's
    status         VARCHAR,               -- running | done | stopped | failed
    samples        BIGINT,                -- planned
    done           BIGINT,                -- samples asked so far
    errors         BIGINT,                -- of them failed
    cost_usd       DECIMAL(24, 12),       -- what it cost; NULL: unpriced
    started_at     TIMESTAMPTZ,           -- began
    ended_at       TIMESTAMPTZ,           -- ended; NULL: still running
    summary        JSON,                  -- scores with their intervals
    tags           MAP(VARCHAR, VARCHAR)  -- the caller's labels
);

-- One sample, asked of one model and scored.
CREATE TABLE eval_samples (
    result_id     VARCHAR NOT NULL,  -- id
    run_id        VARCHAR,           -- the run
    sample_id     VARCHAR,           -- id within the dataset
    epoch         BIGINT,            -- 1, 2, ...
    provider      VARCHAR,           -- provider's name in the registry
    model         VARCHAR,           -- provider/model_id
    scorer        VARCHAR,           -- who judged
    input         JSON,              -- what was asked
    target        JSON,              -- what was wanted
    output        VARCHAR,           -- what the model answered
    score         DOUBLE,            -- NULL: not scored
    is_pass       BOOLEAN,         -- good enough
    explanation   VARCHAR,           -- the scorer's words
    scores        JSON,              -- by scorer, where several
    metadata      JSON,              -- columns of the sample
    status        VARCHAR,           -- ok | error | skipped
    error_code    VARCHAR,           -- code of the error class, where it failed
    error_message VARCHAR,           -- what happened, redacted
    call_id       VARCHAR,           -- row of calls
    request_id    VARCHAR,           -- request of that call
    input_tokens  BIGINT,            -- tokens in
    output_tokens BIGINT,            -- tokens out
    cost_usd      DECIMAL(24, 12),   -- what it cost; NULL: unpriced
    duration_ms   DOUBLE,            -- time it took
    scored_at     TIMESTAMPTZ        -- when it was judged
);

-- One verdict of a regression suite over one case.
CREATE TABLE regressions (
    verdict_id  VARCHAR NOT NULL,  -- id
    run_id      VARCHAR,           -- one run of the suite
    judged_at   TIMESTAMPTZ,       -- when the verdict was made
    suite       VARCHAR,           -- folder of the suite
    case_name   VARCHAR,           -- name of the case
    verdict     VARCHAR,           -- pass | regressed | fixed | flaky | new | error
    mode        VARCHAR,           -- replay | live
    provider    VARCHAR,           -- provider's name in the registry
    model       VARCHAR,           -- provider/model_id
    call_id     VARCHAR,           -- row of calls
    expected    JSON,              -- what the cassette holds
    actual      JSON,              -- what came
    difference  VARCHAR,           -- in words
    duration_ms DOUBLE,            -- time it took
    repeats     BIGINT,            -- times it was tried
    passes      BIGINT,            -- times it passed
    error_code  VARCHAR,           -- code of the error class, where it failed
    details     JSON               -- whatever else belongs to it
);

-- Counts and sums of live calls by hour; kept up to date whenever calls move in.
CREATE TABLE rollup_hourly (
    hour_at             TIMESTAMPTZ NOT NULL,      -- begin of the hour, UTC
    provider            VARCHAR NOT NULL,          -- '' where the call names none
    model               VARCHAR NOT NULL,          -- the provider's id of the model
    operation           VARCHAR NOT NULL,          -- chat | embeddings
    origin              VARCHAR NOT NULL,          -- what made the calls
    status              VARCHAR NOT NULL,          -- ok | error | cancelled
    error_code          VARCHAR NOT NULL,          -- '' for none
    blame               VARCHAR NOT NULL,          -- '' for none
    calls               BIGINT NOT NULL,           -- attempts
    requests            BIGINT NOT NULL,           -- first attempts
    unpriced            BIGINT NOT NULL,           -- attempts without a price
    input_tokens        BIGINT NOT NULL,           -- sum of what is known, at most 2^63 - 1
    output_tokens       BIGINT NOT NULL,           -- sum of what is known
    cached_input_tokens BIGINT NOT NULL,           -- sum of what is known
    reasoning_tokens    BIGINT NOT NULL,           -- sum of what is known
    cost_usd            DECIMAL(38, 12) NOT NULL   -- sum of what is known
);

-- Distribution of durations of successful live calls by day: bucket b holds values in
-- (1.02^(b-1), 1.02^b] ms, so that its middle is within 1 % of each of them. By day and not by
-- hour: with many models an hour has hardly more calls than buckets.
CREATE TABLE rollup_daily_histogram (
    day_at    TIMESTAMPTZ NOT NULL,  -- begin of the day, UTC
    provider  VARCHAR NOT NULL,      -- '' where the call names none
    model     VARCHAR NOT NULL,      -- the provider's id of the model
    operation VARCHAR NOT NULL,      -- chat | embeddings
    origin    VARCHAR NOT NULL,      -- what made the calls
    metric    VARCHAR NOT NULL,      -- ttft_ms | ttfo_ms | duration_ms | tpot_ms
    bucket    INTEGER NOT NULL,      -- number of the bucket
    n         BIGINT NOT NULL,       -- values in the bucket
    highest   DOUBLE NOT NULL        -- largest value in it
);
