-- Keys of programs that administer Weir, and the indexes that sums by user and by key want.

-- What a key may do: viewer looks, operator sets limits and keys too, admin does everything.
CREATE TABLE admin_key (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    role      TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    hash      BLOB NOT NULL UNIQUE,             -- keyed BLAKE2b of the whole key
    created   INTEGER NOT NULL,
    expires   INTEGER,
    revoked   INTEGER,
    last_used INTEGER                           -- kept to the minute
) STRICT;

CREATE INDEX rollup_user ON rollup (user, hour);
CREATE INDEX rollup_key ON rollup (key, hour);
