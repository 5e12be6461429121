-- What is known of providers, targets and keys (sql/health.h). Written on transitions; counts and latencies in batches.
CREATE TABLE health (
    kind       INTEGER NOT NULL,           -- 0 a provider, 1 a target, 2 a key
    provider   TEXT NOT NULL,
    name       TEXT NOT NULL,              -- '', the provider's model, the key's name
    state      INTEGER NOT NULL DEFAULT 0, -- breaker: 0 closed, 1 open, 2 half-open
    failures   INTEGER NOT NULL DEFAULT 0, -- in a row
    recent1    INTEGER NOT NULL DEFAULT 0, -- when the last of them were; 0: none
    recent2    INTEGER NOT NULL DEFAULT 0,
    recent3    INTEGER NOT NULL DEFAULT 0,
    recent4    INTEGER NOT NULL DEFAULT 0,
    until      INTEGER NOT NULL DEFAULT 0,
    opens      INTEGER NOT NULL DEFAULT 0,
    unreached  INTEGER NOT NULL DEFAULT 0,
    forced     INTEGER NOT NULL DEFAULT 0, -- 1 open, 2 closed
    cool_until INTEGER NOT NULL DEFAULT 0,
    cool_model TEXT,                       -- NULL: every model
    disabled   TEXT,
    error      TEXT,
    error_at   INTEGER NOT NULL DEFAULT 0,
    requests   INTEGER NOT NULL DEFAULT 0,
    failed     INTEGER NOT NULL DEFAULT 0,
    latency_ms INTEGER NOT NULL DEFAULT -1,
    seen       INTEGER NOT NULL DEFAULT 0, -- 1 connected, 2 slow, 3 disconnected
    probed     INTEGER NOT NULL DEFAULT 0,
    updated    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, provider, name)
) STRICT, WITHOUT ROWID;

-- Work that one process does for all.
CREATE TABLE lease (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
