-- People who administer Weir in a browser, their sessions, and the record of every change they or their programs make.

CREATE TABLE administrator (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    role        TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    password    TEXT NOT NULL,                  -- argon2id, in its own notation
    must_change INTEGER NOT NULL,               -- 1: the password was given by somebody else
    created     INTEGER NOT NULL,
    disabled    INTEGER,
    last_login  INTEGER
) STRICT;

CREATE TABLE admin_session (
    hash          BLOB PRIMARY KEY,             -- keyed BLAKE2b of the cookie
    administrator INTEGER NOT NULL REFERENCES administrator(id) ON DELETE CASCADE,
    created       INTEGER NOT NULL,
    seen          INTEGER NOT NULL,             -- kept to the minute
    ip            TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX admin_session_of ON admin_session (administrator);

-- Failed log-ins, by name, by address and by both together; what slows down the next.
CREATE TABLE login_failure (
    who   TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    last  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every change of configuration, keys, limits and administrators.
CREATE TABLE admin_change (
    id         INTEGER PRIMARY KEY,
    time       INTEGER NOT NULL,
    who        TEXT NOT NULL,                   -- name of the administrator or of the administrator's key
    via        TEXT NOT NULL,                   -- page key command
    request_id TEXT,
    action     TEXT NOT NULL,                   -- 'limit set', 'key revoked' ...
    subject    TEXT NOT NULL,                   -- whose: 'team/data', a key's name ...
    before     TEXT,                            -- JSON; NULL: there was none
    after      TEXT                             -- JSON; NULL: there is none any more
) STRICT;

-- What the audit page asks for: one request by its id, and what went wrong lately.
CREATE INDEX audit_request ON audit (request_id);
CREATE INDEX audit_trouble ON audit (outcome, id) WHERE outcome <> 'ok';
CREATE INDEX client_key_user ON client_key (user, name);
CREATE INDEX client_key_team ON client_key (team, name);

-- The rollup without callers: what the overview reads. A large site has a hundred thousand rows of rollup a day.
CREATE TABLE rollup_route (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    hour              INTEGER NOT NULL,     -- milliseconds since 1970 UTC, a whole hour
    alias             TEXT NOT NULL,
    provider          TEXT NOT NULL,
    requests          INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost              INTEGER NOT NULL,
    unpriced          INTEGER NOT NULL,
    errors            INTEGER NOT NULL,
    l0 INTEGER NOT NULL, l1 INTEGER NOT NULL, l2 INTEGER NOT NULL, l3 INTEGER NOT NULL, l4 INTEGER NOT NULL,
    l5 INTEGER NOT NULL, l6 INTEGER NOT NULL, l7 INTEGER NOT NULL, l8 INTEGER NOT NULL, l9 INTEGER NOT NULL,
    UNIQUE (hour, alias, provider)
) STRICT;
INSERT INTO rollup_route (hour, alias, provider, requests, prompt_tokens, cached_tokens, completion_tokens, cost, unpriced,
                          errors, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9)
SELECT hour, alias, provider, sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       sum(unpriced), sum(errors), sum(l0), sum(l1), sum(l2), sum(l3), sum(l4), sum(l5), sum(l6), sum(l7), sum(l8), sum(l9)
FROM rollup GROUP BY hour, alias, provider;
