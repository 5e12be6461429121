-- The ledger: what limits have counted, what is held for requests in flight, and what was charged where.

-- One row. `time`: the last stamp given, milliseconds; never goes back. `ticket`: the last ticket's number; tickets are
-- numbered in the order of their admission and a number is never given twice. `token`: new with every write of the
-- ledger, and never the same twice: whoever knows the token of its own last write and finds it here knows that nothing
-- was written, or undone, since.
CREATE TABLE ledger_state (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    time   INTEGER NOT NULL,
    ticket INTEGER NOT NULL,
    token  INTEGER NOT NULL
) STRICT;
INSERT INTO ledger_state VALUES (1, 0, 0, 0);

-- What one limit has counted for one member: the scope itself, or under KIND/* the member ("user/alice"). Ids are never
-- given twice, for tickets and audit rows keep them.
CREATE TABLE counter (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    rule   INTEGER NOT NULL REFERENCES limit_rule(id) ON DELETE CASCADE,
    member TEXT NOT NULL,
    first  INTEGER NOT NULL,          -- counts only tickets from this number on: creation, reset, calendar period
    used   INTEGER NOT NULL,          -- charged; bucket: what has not refilled yet
    held   INTEGER NOT NULL,          -- by open tickets, of whatever age
    at     INTEGER NOT NULL,          -- the stamp `used` is brought up to
    rem    INTEGER NOT NULL,          -- bucket: refill not yet a whole unit
    mark   INTEGER NOT NULL,          -- calendar: end of the period; window: no slot is older than this one
    warned INTEGER NOT NULL,          -- when the warning was given; 0: not in this period
    carry  INTEGER NOT NULL,          -- the part of `used` whose audit rows retention has deleted (not window, bucket)
    UNIQUE (rule, member)
) STRICT;

-- A window's charges by 1/256 of its length: slot = floor(time * 256 / length).
CREATE TABLE slot (
    counter INTEGER NOT NULL,
    slot    INTEGER NOT NULL,
    amount  INTEGER NOT NULL,
    carry   INTEGER NOT NULL DEFAULT 0, -- the part of `amount` whose audit rows are gone
    PRIMARY KEY (counter, slot)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER counter_gone AFTER DELETE ON counter BEGIN
    DELETE FROM slot WHERE counter = old.id;
END;

-- Resets of limits, for the record.
CREATE TABLE counter_reset (
    id     INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,
    scope  TEXT NOT NULL,
    metric TEXT NOT NULL,
    shape  TEXT NOT NULL,
    member TEXT NOT NULL,
    used   INTEGER NOT NULL           -- what the reset forgot
) STRICT;

-- Programs that may hold tickets. One lives as long as it holds flock on its lock file, proc/LOCK in the data directory.
CREATE TABLE process (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    started INTEGER NOT NULL,
    lock    TEXT NOT NULL UNIQUE
) STRICT;

-- A request in flight: what it holds, and what its audit row needs should its process die.
CREATE TABLE ticket (
    id              INTEGER PRIMARY KEY,
    process         INTEGER NOT NULL,
    time            INTEGER NOT NULL,   -- the instant of admission
    request_id      TEXT NOT NULL,
    user            TEXT,
    team            TEXT,
    role            TEXT,
    rolegroup       TEXT,
    key             TEXT,
    ip              TEXT,
    endpoint        TEXT NOT NULL,
    alias           TEXT,
    provider        TEXT,
    model           TEXT,
    stream          INTEGER NOT NULL,
    prompt_bound    INTEGER NOT NULL,   -- what hard limits hold, over all attempts
    output_bound    INTEGER NOT NULL,
    cost_bound      INTEGER NOT NULL,   -- -1: unpriced
    prompt_estimate INTEGER NOT NULL,   -- what the others hold
    output_estimate INTEGER NOT NULL,
    cost_estimate   INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,   -- rows in table attempt
    pairs           BLOB NOT NULL       -- what is held on which counter: sql/ledger_room.h
) STRICT;

-- An attempt upstream that holds limits of its provider, or is one of several. Stays as a record beside the audit row.
CREATE TABLE attempt (
    ticket        INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    sequence      INTEGER NOT NULL,     -- counts among the tickets: on its provider's counters it is one
    time          INTEGER NOT NULL,     -- its stamp
    provider      TEXT NOT NULL,
    ended         INTEGER NOT NULL,
    tokens        INTEGER NOT NULL,     -- bound; once ended what it used
    cost          INTEGER NOT NULL,
    soft_tokens   INTEGER NOT NULL,     -- estimate; once ended what it used
    soft_cost     INTEGER NOT NULL,
    pairs         BLOB NOT NULL,        -- held on the provider's counters while it is open
    counters      BLOB,                 -- those it was charged to
    PRIMARY KEY (ticket, number)
) STRICT, WITHOUT ROWID;

ALTER TABLE audit ADD COLUMN ticket INTEGER;      -- NULL: was never admitted
ALTER TABLE audit ADD COLUMN over_bound INTEGER;  -- 1: used more than was held for it under a hard limit
ALTER TABLE audit ADD COLUMN warned TEXT;         -- the limit whose warning threshold it crossed
ALTER TABLE audit ADD COLUMN counters BLOB;       -- ids of the counters it was charged to: sql/ledger_room.h

-- What charts and listings read: sums by the hour of admission. Absent names are ''.
CREATE TABLE rollup (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    hour              INTEGER NOT NULL,     -- milliseconds since 1970 UTC, a whole hour
    user              TEXT NOT NULL,
    team              TEXT NOT NULL,
    role              TEXT NOT NULL,
    alias             TEXT NOT NULL,
    provider          TEXT NOT NULL,
    key               TEXT NOT NULL,
    requests          INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost              INTEGER NOT NULL,
    unpriced          INTEGER NOT NULL,     -- requests without a price
    errors            INTEGER NOT NULL,     -- outcome neither ok nor cancelled
    l0 INTEGER NOT NULL, l1 INTEGER NOT NULL, l2 INTEGER NOT NULL, l3 INTEGER NOT NULL, l4 INTEGER NOT NULL,
    l5 INTEGER NOT NULL, l6 INTEGER NOT NULL, l7 INTEGER NOT NULL, l8 INTEGER NOT NULL, l9 INTEGER NOT NULL,
                                            -- latency up to 50 100 250 500 1000 2500 5000 10000 30000 ms, and above
    UNIQUE (hour, user, team, role, alias, provider, key)
) STRICT;
