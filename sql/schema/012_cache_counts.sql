-- How often the cache was asked and answered, by alias and hour. Hours before this one count as not asked.
ALTER TABLE rollup_route ADD COLUMN cache_asked  INTEGER NOT NULL DEFAULT 0; -- those answered from it, and those kept for it
ALTER TABLE rollup_route ADD COLUMN cache_served INTEGER NOT NULL DEFAULT 0; -- hits, joined and stale
