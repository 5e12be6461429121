-- What went wrong when a key set was last asked for.
ALTER TABLE key_set ADD COLUMN fault TEXT;  -- NULL: nothing
