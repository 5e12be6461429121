-- cache.db: answers kept for a while. Disposable: whoever finds it missing or unreadable makes it anew.
-- Times are milliseconds since 1970 UTC.

CREATE TABLE entry (
    id      INTEGER PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE,       -- BLAKE2b-256 of the name
    used    INTEGER NOT NULL,           -- last hit, written in batches
    hits    INTEGER NOT NULL DEFAULT 0, -- as used
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,           -- fresh until then
    gone    INTEGER NOT NULL,           -- of no use any more from then on
    bytes   INTEGER NOT NULL,           -- of name and body as they are stored
    form    INTEGER NOT NULL,           -- how the body is to be read; its maker's
    provider TEXT NOT NULL,
    model   TEXT NOT NULL,
    name    BLOB NOT NULL,              -- whose, and the canonical request; packed: fcgi/door/pack.h
    body    BLOB NOT NULL               -- packed
) STRICT;
CREATE INDEX entry_used ON entry (used);
CREATE INDEX entry_gone ON entry (gone);

-- One row: what the bound in bytes is held against.
CREATE TABLE total (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    entries INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT;
INSERT INTO total VALUES (1, 0, 0);
CREATE TRIGGER entry_comes AFTER INSERT ON entry BEGIN
    UPDATE total SET entries = entries + 1, bytes = bytes + new.bytes WHERE id = 1;
END;
CREATE TRIGGER entry_goes AFTER DELETE ON entry BEGIN
    UPDATE total SET entries = entries - 1, bytes = bytes - old.bytes WHERE id = 1;
END;
