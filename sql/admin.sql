-- What only administrators' programs may ask of weir.db, behind everything in gateway.sql.

-- name: config_raise
UPDATE config_version SET version = version + 1 WHERE id = 1;

-- name: setting_get
SELECT value FROM setting WHERE name = ?1;

-- name: setting_put
INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: provider_put
INSERT INTO provider (name, dialect, base_url, allow_plain_http, key_strategy, connect_ms, first_byte_ms, idle_ms,
                      total_ms, headers)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (name) DO UPDATE SET dialect = excluded.dialect, base_url = excluded.base_url,
    allow_plain_http = excluded.allow_plain_http, key_strategy = excluded.key_strategy,
    connect_ms = excluded.connect_ms, first_byte_ms = excluded.first_byte_ms, idle_ms = excluded.idle_ms,
    total_ms = excluded.total_ms, headers = excluded.headers
RETURNING id;

-- name: provider_key_put
INSERT INTO provider_key (provider_id, name, priority, sealed) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (provider_id, name) DO UPDATE SET priority = excluded.priority, sealed = excluded.sealed;

-- name: provider_key_priority
UPDATE provider_key SET priority = ?3 WHERE provider_id = ?1 AND name = ?2;

-- name: model_put
INSERT INTO model (alias, strategy, cache_ttl, context_window, max_output, fallback, price_input, price_cached_input,
                   price_cache_write, price_output, created)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (alias) DO UPDATE SET strategy = excluded.strategy, cache_ttl = excluded.cache_ttl,
    context_window = excluded.context_window, max_output = excluded.max_output, fallback = excluded.fallback,
    price_input = excluded.price_input, price_cached_input = excluded.price_cached_input,
    price_cache_write = excluded.price_cache_write, price_output = excluded.price_output
RETURNING id;

-- name: target_clear
DELETE FROM target WHERE model_id = ?1;

-- name: target_add
INSERT INTO target (model_id, position, provider_id, model, weight) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: key_add
INSERT INTO client_key (name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: key_update
UPDATE client_key SET user = ?2, team = ?3, role = ?4, rolegroup = ?5, models = ?6, allow_ip = ?7, may_assert = ?8,
    expires = ?9
WHERE id = ?1;

-- name: key_by_name
SELECT id, name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, revoked, last_used, NULL
FROM client_key WHERE name = ?1;

-- name: key_page
SELECT id, name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, revoked, last_used, NULL
FROM client_key WHERE id > ?1 ORDER BY id LIMIT ?2;

-- name: key_exists
SELECT 1 FROM client_key WHERE id = ?1;

-- name: key_revoke
UPDATE client_key SET revoked = coalesce(revoked, ?2) WHERE id = ?1;

-- name: secret_add
INSERT INTO client_secret (hash, key_id) VALUES (?1, ?2);

-- name: secret_end
UPDATE client_secret SET expires = ?2 WHERE key_id = ?1 AND (expires IS NULL OR expires > ?2);

-- name: secret_sweep
DELETE FROM client_secret WHERE key_id = ?1 AND expires <= ?2;

-- name: secret_drop
DELETE FROM client_secret WHERE key_id = ?1;

-- name: secret_of_key
SELECT hash, expires FROM client_secret WHERE key_id = ?1;

-- name: limit_put
INSERT INTO limit_rule (scope, metric, shape, period, seconds, mode, amount, refill_nano, utc_offset_min, warn_percent,
                        created)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (scope, metric, shape, period, seconds) DO UPDATE SET mode = excluded.mode, amount = excluded.amount,
    refill_nano = excluded.refill_nano, utc_offset_min = excluded.utc_offset_min,
    warn_percent = excluded.warn_percent;

-- name: limit_all
SELECT id, created, scope, metric, shape, period, seconds, mode, amount, refill_nano, utc_offset_min, warn_percent
FROM limit_rule ORDER BY scope, metric, shape, period, seconds;

-- name: jwt_put
INSERT INTO jwt_verifier (name, body, sealed) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET body = excluded.body, sealed = coalesce(excluded.sealed, sealed);

-- name: jwt_all
SELECT name, body, sealed IS NOT NULL FROM jwt_verifier ORDER BY name;

-- A row's id is given when it is written, its time when it was admitted: the inner query finds an id that everything
-- admitted since ?2 is sure to stand behind, a day being longer than any request, so old rows are not read.
-- name: audit_page
SELECT id, time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream, status,
       outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, cost,
       usage_source, first_byte_ms, latency_ms, error
FROM audit
WHERE id > max(?1, coalesce((SELECT id FROM audit WHERE time < ?2 - 86400000 ORDER BY time DESC LIMIT 1), 0))
  AND time >= ?2 AND (?3 IS NULL OR user = ?3)
ORDER BY id LIMIT ?4;

-- name: usage_user
SELECT user, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost), max(cost IS NULL)
FROM audit WHERE time >= ?1 GROUP BY user ORDER BY user;

-- name: usage_team
SELECT team, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost), max(cost IS NULL)
FROM audit WHERE time >= ?1 GROUP BY team ORDER BY team;

-- name: usage_model
SELECT alias, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost), max(cost IS NULL)
FROM audit WHERE time >= ?1 GROUP BY alias ORDER BY alias;

-- name: usage_provider
SELECT provider, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       max(cost IS NULL)
FROM audit WHERE time >= ?1 GROUP BY provider ORDER BY provider;

-- name: usage_key
SELECT key, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost), max(cost IS NULL)
FROM audit WHERE time >= ?1 GROUP BY key ORDER BY key;
