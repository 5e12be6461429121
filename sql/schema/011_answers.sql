-- What an alias does with answers it has given before, and with conversations that grow too long for it.
ALTER TABLE model ADD COLUMN cache_scope      TEXT;                        -- 'key', 'user', 'team', 'global'; NULL: his
ALTER TABLE model ADD COLUMN cache_tool_calls INTEGER NOT NULL DEFAULT 0;  -- answers that call tools are kept too
ALTER TABLE model ADD COLUMN stale_for        INTEGER NOT NULL DEFAULT 0;  -- seconds
ALTER TABLE model ADD COLUMN context_action   TEXT;                        -- 'trim', 'refuse', 'fallback'; NULL: nothing
ALTER TABLE model ADD COLUMN trim_at          INTEGER NOT NULL DEFAULT 90; -- percent of context_window
ALTER TABLE model ADD COLUMN trim_to          INTEGER NOT NULL DEFAULT 60;

ALTER TABLE audit ADD COLUMN context TEXT;                                 -- as x-weir-context told it; NULL: nothing
