-- Who may come in: endpoints a key is bound to, and the key sets that were fetched for token verifiers.

ALTER TABLE client_key ADD COLUMN endpoints TEXT;  -- JSON array of paths; NULL: all

CREATE TABLE key_set (
    verifier TEXT PRIMARY KEY REFERENCES jwt_verifier(name) ON DELETE CASCADE,
    url      TEXT NOT NULL,                     -- where it comes from
    keys     TEXT,                              -- JSON: [{"kid":..,"pem":..}]; NULL: never fetched
    tried    INTEGER NOT NULL,                  -- when it was last asked for
    fetched  INTEGER NOT NULL,                  -- when it last came; 0: never
    wanted   INTEGER NOT NULL                   -- when a token last named a key that is not in it
) STRICT, WITHOUT ROWID;

-- One row: how often a set became another one. What requests go by is config_version and this together; the gateway, which
-- fetches the sets, may write only this.
CREATE TABLE key_set_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO key_set_version VALUES (1, 0);
