-- What of a master key outlives its rotation (sql/vault.c).

-- No row: there was no rotation yet, and every key is derived from the file.
CREATE TABLE vault (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    hash BLOB NOT NULL              -- what client keys are hashed with; bound to 'vault/hash'
) STRICT;

-- Keys of before, which some content is still sealed under: it may be gigabytes and is not sealed anew.
CREATE TABLE vault_seal (
    id     INTEGER PRIMARY KEY,
    ended  INTEGER NOT NULL,        -- when a rotation put it out of use
    sealed BLOB NOT NULL            -- bound to 'vault/seal/ENDED'
) STRICT;
