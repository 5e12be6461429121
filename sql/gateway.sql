-- All that weir.fcgi may ever ask of weir.db: reads of configuration and keys, the audit row, the last use of a key.
-- What changes configuration or keys stands in admin.sql and is not linked into weir.fcgi.

-- name: config_version
SELECT version FROM config_version WHERE id = 1;

-- name: setting_all
SELECT name, value FROM setting;

-- name: provider_count
SELECT count(*) FROM provider;

-- name: provider_all
SELECT id, name, dialect, base_url, key_strategy, allow_plain_http,
       connect_ms, first_byte_ms, idle_ms, total_ms, headers
FROM provider ORDER BY name;

-- name: provider_key_count
SELECT count(*) FROM provider_key;

-- name: provider_key_all
SELECT p.name, k.name, k.priority, k.sealed
FROM provider_key k JOIN provider p ON p.id = k.provider_id
ORDER BY p.name, k.priority, k.name;

-- name: model_count
SELECT count(*) FROM model;

-- name: model_all
SELECT id, alias, strategy, cache_ttl, context_window, max_output, fallback,
       price_input, price_cached_input, price_cache_write, price_output, created
FROM model ORDER BY alias;

-- name: target_count
SELECT count(*) FROM target;

-- name: target_all
SELECT m.alias, p.name, t.model, t.weight
FROM target t JOIN model m ON m.id = t.model_id JOIN provider p ON p.id = t.provider_id
ORDER BY m.alias, t.position;

-- name: key_find
SELECT k.id, k.name, k.user, k.team, k.role, k.rolegroup, k.models, k.allow_ip, k.may_assert,
       k.created, k.expires, k.revoked, k.last_used, s.expires
FROM client_secret s JOIN client_key k ON k.id = s.key_id
WHERE s.hash = ?1;

-- name: key_touch
UPDATE client_key SET last_used = ?2 WHERE id = ?1 AND (last_used IS NULL OR last_used < ?2 - 60000);

-- name: audit_insert
INSERT INTO audit (time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream,
                   status, outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens,
                   completion_tokens, cost, usage_source, first_byte_ms, latency_ms, error)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
        ?24, ?25, ?26);
