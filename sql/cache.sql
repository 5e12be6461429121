-- What is asked of cache.db.

-- name: cache_find
SELECT id, created, expires, form, provider, model, name, body FROM entry WHERE hash = ?1 AND gone > ?2;

-- name: cache_drop
DELETE FROM entry WHERE hash = ?1;

-- name: cache_add
INSERT INTO entry (hash, used, created, expires, gone, bytes, form, provider, model, name, body)
VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: cache_hit
UPDATE entry SET used = max(used, ?2), hits = hits + ?3 WHERE id = ?1;

-- name: cache_drop_gone
DELETE FROM entry WHERE id = (SELECT id FROM entry WHERE gone <= ?1 ORDER BY gone LIMIT 1) RETURNING bytes;

-- name: cache_drop_oldest
DELETE FROM entry WHERE id = (SELECT id FROM entry ORDER BY used LIMIT 1) RETURNING bytes;

-- name: cache_total
SELECT entries, bytes FROM total WHERE id = 1;

-- name: cache_count
SELECT count(*), coalesce(sum(bytes), 0) FROM entry;

-- name: cache_set_total
INSERT OR REPLACE INTO total SELECT 1, count(*), coalesce(sum(bytes), 0) FROM entry;

-- name: cache_sum
SELECT coalesce(sum(hits), 0), coalesce(min(created), 0) FROM entry;
