-- What Weir keeps in weir.db: configuration, client keys, the audit log. Times are milliseconds since 1970 UTC,
-- money is nano-dollars, prices are nano-dollars per million tokens. Never edited once shipped.

-- One row: read once a request. Every change of configuration or keys adds 1 in its own transaction.
CREATE TABLE config_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO config_version VALUES (1, 1);

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL             -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE provider (
    id               INTEGER PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    dialect          TEXT NOT NULL,
    base_url         TEXT NOT NULL,         -- empty for mock
    allow_plain_http INTEGER NOT NULL DEFAULT 0,
    key_strategy     TEXT NOT NULL DEFAULT 'priority',
    connect_ms       INTEGER,               -- NULL: the default
    first_byte_ms    INTEGER,
    idle_ms          INTEGER,
    total_ms         INTEGER,
    headers          TEXT NOT NULL DEFAULT '{}'  -- JSON object of strings
) STRICT;

CREATE TABLE provider_key (
    id          INTEGER PRIMARY KEY,
    provider_id INTEGER NOT NULL REFERENCES provider(id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    priority    INTEGER NOT NULL DEFAULT 1,     -- lowest first
    sealed      BLOB NOT NULL,                  -- bound to 'provider_key/PROVIDER/NAME'
    UNIQUE (provider_id, name)
) STRICT;

CREATE TABLE model (
    id             INTEGER PRIMARY KEY,
    alias          TEXT NOT NULL UNIQUE,
    strategy       TEXT NOT NULL DEFAULT 'priority',
    cache_ttl      INTEGER NOT NULL DEFAULT 0,  -- seconds
    context_window INTEGER,
    max_output     INTEGER,
    fallback       TEXT,                        -- another alias
    price_input        INTEGER,                 -- all four NULL: unpriced
    price_cached_input INTEGER,
    price_cache_write  INTEGER,
    price_output       INTEGER,
    created        INTEGER NOT NULL
) STRICT;

CREATE TABLE target (
    model_id    INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,               -- 0 first
    provider_id INTEGER NOT NULL REFERENCES provider(id),
    model       TEXT NOT NULL,                  -- the provider's name for it
    weight      INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (model_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX target_provider ON target (provider_id);

CREATE TABLE client_key (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    user       TEXT,
    team       TEXT,
    role       TEXT,
    rolegroup  TEXT,
    models     TEXT,                            -- JSON array of aliases; NULL: all
    allow_ip   TEXT,                            -- JSON array of ranges; NULL: all
    may_assert INTEGER NOT NULL DEFAULT 0,      -- may speak for others (x-user-id ...)
    created    INTEGER NOT NULL,
    expires    INTEGER,
    revoked    INTEGER,
    last_used  INTEGER                          -- kept to the minute
) STRICT;

-- A key has one secret, and for a while two when it was rotated with an overlap.
CREATE TABLE client_secret (
    hash    BLOB PRIMARY KEY,                   -- keyed BLAKE2b of the whole key
    key_id  INTEGER NOT NULL REFERENCES client_key(id) ON DELETE CASCADE,
    expires INTEGER                             -- NULL: with the key
) STRICT, WITHOUT ROWID;
CREATE INDEX client_secret_key ON client_secret (key_id);

-- Limits as they are configured.
CREATE TABLE limit_rule (
    id             INTEGER PRIMARY KEY,
    scope          TEXT NOT NULL,               -- 'global', 'team/data', 'user/*'
    metric         TEXT NOT NULL,
    shape          TEXT NOT NULL,               -- 'none' for concurrency
    period         TEXT NOT NULL DEFAULT '',
    seconds        INTEGER NOT NULL DEFAULT 0,
    mode           TEXT NOT NULL DEFAULT 'hard',
    amount         INTEGER NOT NULL,            -- capacity of a bucket, else the amount; cost in nano-dollars
    refill_nano    INTEGER NOT NULL DEFAULT 0,  -- bucket: a billionth of a unit a second (cost: of a dollar)
    utc_offset_min INTEGER NOT NULL DEFAULT 0,
    warn_percent   INTEGER NOT NULL DEFAULT 80,
    created        INTEGER NOT NULL,
    UNIQUE (scope, metric, shape, period, seconds)
) STRICT;

-- Token verifiers as they are configured.
CREATE TABLE jwt_verifier (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    body     TEXT NOT NULL,                     -- the document's entry without its secret
    sealed   BLOB                               -- the secret, bound to 'jwt/NAME'
) STRICT;

-- One row for every authenticated POST to a model endpoint.
CREATE TABLE audit (
    id                 INTEGER PRIMARY KEY,
    time               INTEGER NOT NULL,
    request_id         TEXT NOT NULL,
    user               TEXT,
    team               TEXT,
    role               TEXT,
    rolegroup          TEXT,
    key                TEXT,
    ip                 TEXT,
    endpoint           TEXT NOT NULL,           -- '/v1/chat/completions'
    alias              TEXT,
    provider           TEXT,
    model              TEXT,
    stream             INTEGER NOT NULL,
    status             INTEGER NOT NULL,        -- what the caller was told
    outcome            TEXT NOT NULL,           -- ok refused failed cancelled truncated orphaned
    attempts           INTEGER NOT NULL,        -- calls sent upstream
    cache              TEXT NOT NULL,           -- hit miss stale bypass joined
    prompt_tokens      INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    completion_tokens  INTEGER NOT NULL,
    cost               INTEGER,                 -- NULL: unpriced
    usage_source       TEXT NOT NULL,           -- provider estimated none
    first_byte_ms      INTEGER,                 -- NULL: nothing was sent
    latency_ms         INTEGER NOT NULL,
    error              TEXT                     -- code or short reason
) STRICT;
CREATE INDEX audit_time ON audit (time);
