-- How an alias is routed, beyond its targets: prices of single targets, hedging, what is asked where the context is too
-- short, and what is added to its requests.

ALTER TABLE target ADD COLUMN price_input        INTEGER;  -- all four NULL: the alias's
ALTER TABLE target ADD COLUMN price_cached_input INTEGER;
ALTER TABLE target ADD COLUMN price_cache_write  INTEGER;
ALTER TABLE target ADD COLUMN price_output       INTEGER;

ALTER TABLE model ADD COLUMN hedge_after_ms   INTEGER;     -- NULL: never
ALTER TABLE model ADD COLUMN context_fallback TEXT;        -- another alias
ALTER TABLE model ADD COLUMN system           TEXT;        -- goes before the caller's system text
ALTER TABLE model ADD COLUMN defaults         TEXT;        -- JSON object: parameters where the caller gives none
