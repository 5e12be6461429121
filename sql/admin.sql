-- What only administrators' programs may ask of weir.db, behind everything in gateway.sql.

-- name: config_raise
UPDATE config_version SET version = version + 1 WHERE id = 1;

-- name: setting_get
SELECT value FROM setting WHERE name = ?1;

-- name: setting_put
INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: provider_put
INSERT INTO provider (name, dialect, base_url, allow_plain_http, key_strategy, connect_ms, first_byte_ms, idle_ms,
                      total_ms, headers, api_version, anthropic_version, auth, faces)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (name) DO UPDATE SET dialect = excluded.dialect, base_url = excluded.base_url,
    allow_plain_http = excluded.allow_plain_http, key_strategy = excluded.key_strategy,
    connect_ms = excluded.connect_ms, first_byte_ms = excluded.first_byte_ms, idle_ms = excluded.idle_ms,
    total_ms = excluded.total_ms, headers = excluded.headers, api_version = excluded.api_version,
    anthropic_version = excluded.anthropic_version, auth = excluded.auth, faces = excluded.faces
RETURNING id;

-- name: provider_key_put
INSERT INTO provider_key (provider_id, name, priority, sealed) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (provider_id, name) DO UPDATE SET priority = excluded.priority, sealed = excluded.sealed;

-- name: provider_key_priority
UPDATE provider_key SET priority = ?3 WHERE provider_id = ?1 AND name = ?2;

-- name: model_put
INSERT INTO model (alias, strategy, cache_ttl, context_window, max_output, fallback, price_input, price_cached_input,
                   price_cache_write, price_output, created, hedge_after_ms, context_fallback, system, defaults,
                   cache_scope, cache_tool_calls, stale_for, context_action, trim_at, trim_to, price_parts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
ON CONFLICT (alias) DO UPDATE SET strategy = excluded.strategy, cache_ttl = excluded.cache_ttl,
    context_window = excluded.context_window, max_output = excluded.max_output, fallback = excluded.fallback,
    price_input = excluded.price_input, price_cached_input = excluded.price_cached_input,
    price_cache_write = excluded.price_cache_write, price_output = excluded.price_output,
    hedge_after_ms = excluded.hedge_after_ms, context_fallback = excluded.context_fallback, system = excluded.system,
    defaults = excluded.defaults, cache_scope = excluded.cache_scope, cache_tool_calls = excluded.cache_tool_calls,
    stale_for = excluded.stale_for, context_action = excluded.context_action, trim_at = excluded.trim_at,
    trim_to = excluded.trim_to, price_parts = excluded.price_parts
RETURNING id;

-- name: target_clear
DELETE FROM target WHERE model_id = ?1;

-- name: target_add
INSERT INTO target (model_id, position, provider_id, model, weight, price_input, price_cached_input, price_cache_write,
                    price_output, price_parts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: provider_remove
DELETE FROM provider WHERE id = ?1;

-- name: provider_key_remove
DELETE FROM provider_key WHERE name = ?2 AND provider_id = (SELECT id FROM provider WHERE name = ?1);

-- name: model_remove
DELETE FROM model WHERE id = ?1;

-- name: key_add
INSERT INTO client_key (name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, endpoints)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);

-- name: key_update
UPDATE client_key SET user = ?2, team = ?3, role = ?4, rolegroup = ?5, models = ?6, allow_ip = ?7, may_assert = ?8,
    expires = ?9, endpoints = ?10
WHERE id = ?1;

-- name: key_by_name
SELECT id, name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, revoked, last_used, NULL,
       endpoints
FROM client_key WHERE name = ?1;

-- name: key_page
SELECT id, name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, revoked, last_used, NULL,
       endpoints
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

-- name: limit_find
SELECT id, created, mode, amount, refill_nano, utc_offset_min, warn_percent FROM limit_rule
WHERE scope = ?1 AND metric = ?2 AND shape = ?3 AND period = ?4 AND seconds = ?5;

-- name: jwt_put
INSERT INTO jwt_verifier (name, body, sealed) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET body = excluded.body,
    sealed = CASE WHEN json_extract(excluded.body, '$.algorithm') LIKE 'HS%' THEN coalesce(excluded.sealed, sealed) END;

-- A set holds keys of its verifier's algorithm only: before that becomes ?2's, it is forgotten.
-- name: jwt_set_forget
DELETE FROM key_set WHERE verifier = ?1 AND EXISTS (SELECT 1 FROM jwt_verifier WHERE name = ?1
    AND json_extract(body, '$.algorithm') IS NOT json_extract(?2, '$.algorithm'));

-- name: jwt_remove
DELETE FROM jwt_verifier WHERE name = ?1;

-- name: jwt_count
SELECT count(*) FROM jwt_verifier;

-- name: jwt_all
SELECT v.name, v.body, v.sealed IS NOT NULL, k.keys, k.tried, k.fetched, k.fault
FROM jwt_verifier v LEFT JOIN key_set k ON k.verifier = v.name AND k.url = json_extract(v.body, '$.jwks_url')
WHERE ?1 IS NULL OR v.name = ?1 ORDER BY v.name;

-- name: audit_page
SELECT id, time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream, status,
       outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, cost,
       usage_source, first_byte_ms, latency_ms, error, context
FROM audit
WHERE id > ?1 AND time >= ?2 AND (?3 IS NULL OR user = ?3)
ORDER BY id LIMIT ?4;

-- For role admin only.
-- name: content_of_request
SELECT ticket, time, prompt, prompt_cut, answer, answer_cut FROM content WHERE request_id = ?1 ORDER BY ticket;

-- ---- the ledger ----

-- name: limit_remove
DELETE FROM limit_rule
WHERE scope = ?1 AND metric = ?2 AND (?3 IS NULL OR shape = ?3) AND (?4 IS NULL OR period = ?4) AND (?5 = 0 OR seconds = ?5);

-- What a default has counted for a member ends where the member gets a limit of its own.
-- name: counter_shadow
DELETE FROM counter
WHERE member = ?1 AND rule IN (SELECT id FROM limit_rule WHERE scope = ?2 AND metric = ?3 AND shape = ?4);

-- name: reset_note
INSERT INTO counter_reset (time, scope, metric, shape, member, used)
SELECT ?6, r.scope, r.metric, r.shape, c.member, c.used
FROM limit_rule r JOIN counter c ON c.rule = r.id
WHERE r.scope = ?1 AND r.metric = ?2 AND (?3 IS NULL OR r.shape = ?3) AND (?4 IS NULL OR r.period = ?4)
  AND (?5 = 0 OR r.seconds = ?5) AND (?7 IS NULL OR c.member = ?7);

-- name: reset_slots
DELETE FROM slot WHERE counter IN (
    SELECT c.id FROM limit_rule r JOIN counter c ON c.rule = r.id
    WHERE r.scope = ?1 AND r.metric = ?2 AND (?3 IS NULL OR r.shape = ?3) AND (?4 IS NULL OR r.period = ?4)
      AND (?5 = 0 OR r.seconds = ?5) AND (?6 IS NULL OR c.member = ?6));

-- name: reset_counters
UPDATE counter SET used = 0, carry = 0, rem = 0, warned = 0, first = (SELECT ticket + 1 FROM ledger_state)
WHERE id IN (
    SELECT c.id FROM limit_rule r JOIN counter c ON c.rule = r.id
    WHERE r.scope = ?1 AND r.metric = ?2 AND (?3 IS NULL OR r.shape = ?3) AND (?4 IS NULL OR r.period = ?4)
      AND (?5 = 0 OR r.seconds = ?5) AND (?6 IS NULL OR c.member = ?6));

-- name: ledger_token
UPDATE ledger_state SET token = random() WHERE id = 1;

-- name: rule_list
SELECT id, scope, metric, shape, period, seconds, mode, amount, refill_nano, utc_offset_min, warn_percent
FROM limit_rule WHERE ?1 IS NULL OR scope = ?1 ORDER BY scope, metric, shape, period, seconds;

-- name: rule_part
SELECT id, scope, metric, shape, period, seconds, mode, amount, refill_nano, utc_offset_min, warn_percent
FROM limit_rule WHERE scope >= ?1 AND (?2 IS NULL OR scope < ?2) ORDER BY scope, metric, shape, period, seconds;

-- name: counter_highest
SELECT id FROM counter WHERE rule = ?1 AND (?2 IS NULL OR member = ?2) ORDER BY used + held DESC, member LIMIT ?3;

-- name: counter_tight
SELECT c.id FROM counter c JOIN limit_rule r ON r.id = c.rule WHERE c.used + c.held > 0
ORDER BY (c.used + c.held) * 1000.0 / r.amount DESC LIMIT ?1;

-- name: counter_of_rule
SELECT id FROM counter WHERE rule = ?1 ORDER BY member;

-- name: check_counters
SELECT c.id, c.first, c.used, c.held, c.at, c.rem, c.mark, c.warned, c.carry, r.metric, r.shape, r.seconds, r.amount,
       c.member
FROM counter c JOIN limit_rule r ON r.id = c.rule ORDER BY c.id;

-- name: check_slots
SELECT counter, slot, amount, carry FROM slot ORDER BY counter, slot;

-- name: check_audit
SELECT ticket, time, prompt_tokens + completion_tokens, coalesce(cost, 0), counters FROM audit WHERE counters IS NOT NULL;

-- name: check_attempts
SELECT sequence, time, tokens, cost, counters, pairs FROM attempt;

-- name: check_tickets
SELECT id, time, pairs FROM ticket;

-- name: check_rules
SELECT count(*) FROM limit_rule;

-- ---- what was spent, by the hour (sql/spend.c) ----

-- name: spend_by_user
SELECT nullif(user, ''), sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       sum(unpriced)
FROM rollup WHERE hour >= ?1 GROUP BY user ORDER BY user;

-- name: spend_by_team
SELECT nullif(team, ''), sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       sum(unpriced)
FROM rollup WHERE hour >= ?1 GROUP BY team ORDER BY team;

-- name: spend_by_role
SELECT nullif(role, ''), sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       sum(unpriced)
FROM rollup WHERE hour >= ?1 GROUP BY role ORDER BY role;

-- name: spend_by_model
SELECT nullif(alias, ''), sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       sum(unpriced)
FROM rollup_route WHERE hour >= ?1 GROUP BY alias ORDER BY alias;

-- name: spend_by_provider
SELECT nullif(provider, ''), sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       sum(unpriced)
FROM rollup_route WHERE hour >= ?1 GROUP BY provider ORDER BY provider;

-- name: spend_by_key
SELECT nullif(key, ''), sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost),
       sum(unpriced)
FROM rollup WHERE hour >= ?1 GROUP BY key ORDER BY key;

-- ---- for `weir tick` and `weir doctor` ----

-- name: process_count
SELECT count(*) FROM process;

-- name: process_tickets
SELECT p.lock, (SELECT count(*) FROM ticket t WHERE t.process = p.id) FROM process p ORDER BY p.id;

-- ---- administrators' keys (sql/admin_keys.c) ----

-- name: admin_key_add
INSERT INTO admin_key (name, role, hash, created, expires) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: admin_key_find
SELECT id, name, role, created, expires, revoked, last_used FROM admin_key WHERE hash = ?1;

-- name: admin_key_by_name
SELECT id, name, role, created, expires, revoked, last_used FROM admin_key WHERE name = ?1;

-- name: admin_key_all
SELECT id, name, role, created, expires, revoked, last_used FROM admin_key ORDER BY name;

-- name: admin_key_revoke
UPDATE admin_key SET revoked = coalesce(revoked, ?2) WHERE id = ?1;

-- name: admin_key_touch
UPDATE admin_key SET last_used = ?2 WHERE id = ?1 AND (last_used IS NULL OR last_used < ?2 - 60000);

-- ---- health (sql/health.c) ----

-- name: health_forget
UPDATE health SET state = 0, failures = 0, recent1 = 0, recent2 = 0, recent3 = 0, recent4 = 0, until = 0, opens = 0,
    unreached = 0, forced = 0, cool_until = 0, cool_model = NULL, disabled = NULL
WHERE provider = ?1;

-- name: health_new_key
DELETE FROM health WHERE kind = 2 AND provider = ?1 AND name = ?2;

-- ---- rotation of the master key (sql/vault_rotate.c) ----

-- name: vault_state
SELECT (SELECT count(*) FROM vault), (SELECT count(*) FROM vault_seal);

-- name: vault_hash_put
INSERT INTO vault (id, hash) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET hash = excluded.hash;

-- name: vault_seal_add
INSERT INTO vault_seal (ended, sealed) VALUES (?1, ?2);

-- name: vault_seal_all
SELECT ended, sealed FROM vault_seal ORDER BY id DESC;

-- Everything that is sealed, by its id, with what it is bound to.

-- name: sealed_provider_key_after
SELECT k.id, 'provider_key/' || p.name || '/' || k.name, k.sealed
FROM provider_key k JOIN provider p ON p.id = k.provider_id WHERE k.id > ?1 ORDER BY k.id LIMIT 1;

-- name: sealed_provider_key_put
UPDATE provider_key SET sealed = ?2 WHERE id = ?1;

-- name: sealed_jwt_after
SELECT id, 'jwt/' || name, sealed FROM jwt_verifier WHERE id > ?1 AND sealed IS NOT NULL ORDER BY id LIMIT 1;

-- name: sealed_jwt_put
UPDATE jwt_verifier SET sealed = ?2 WHERE id = ?1;

-- name: sealed_code_after
SELECT id, 'administrator/' || name, code_sealed FROM administrator WHERE id > ?1 AND code_sealed IS NOT NULL
ORDER BY id LIMIT 1;

-- name: sealed_code_put
UPDATE administrator SET code_sealed = ?2 WHERE id = ?1;

-- name: sealed_earlier_after
SELECT id, 'vault/seal/' || ended, sealed FROM vault_seal WHERE id > ?1 ORDER BY id LIMIT 1;

-- name: sealed_earlier_put
UPDATE vault_seal SET sealed = ?2 WHERE id = ?1;

-- ---- administrators, sessions, failed log-ins (sql/administrators.c) ----

-- name: administrator_find
SELECT id, name, role, password, must_change, created, disabled, last_login, code_sealed FROM administrator WHERE name = ?1;

-- name: administrator_all
SELECT id, name, role, password, must_change, created, disabled, last_login, code_sealed FROM administrator ORDER BY name;

-- name: administrator_able
SELECT count(*) FROM administrator WHERE role = 'admin' AND disabled IS NULL;

-- name: administrator_add
INSERT INTO administrator (name, role, password, must_change, created) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: administrator_role
UPDATE administrator SET role = ?2 WHERE id = ?1;

-- name: administrator_password
UPDATE administrator SET password = ?2, must_change = ?3 WHERE id = ?1;

-- name: administrator_disable
UPDATE administrator SET disabled = ?2 WHERE id = ?1;

-- name: administrator_code
UPDATE administrator SET code_sealed = ?2, code_step = ?3 WHERE id = ?1;

-- name: administrator_code_taken
UPDATE administrator SET code_step = ?2 WHERE id = ?1 AND code_step < ?2;

-- name: administrator_came
UPDATE administrator SET last_login = ?2 WHERE id = ?1;

-- name: session_find
SELECT s.created, s.seen, a.id, a.name, a.role, a.password, a.must_change, a.created, a.disabled, a.last_login, a.code_sealed
FROM admin_session s JOIN administrator a ON a.id = s.administrator WHERE s.hash = ?1;

-- name: session_add
INSERT INTO admin_session (hash, administrator, created, seen, ip) VALUES (?1, ?2, ?3, ?3, ?4);

-- name: session_sweep
DELETE FROM admin_session WHERE created <= ?1 OR seen <= ?2;

-- name: session_seen
UPDATE admin_session SET seen = ?2 WHERE hash = ?1 AND seen < ?2;

-- name: session_end
DELETE FROM admin_session WHERE hash = ?1;

-- name: session_end_all
DELETE FROM admin_session WHERE administrator = ?1;

-- name: session_count
SELECT count(*) FROM admin_session WHERE administrator = ?1 AND created > ?2 AND seen > ?3;

-- name: login_failure
SELECT count, last FROM login_failure WHERE who = ?1;

-- name: login_failed
INSERT INTO login_failure (who, count, last) VALUES (?1, 1, ?2)
ON CONFLICT (who) DO UPDATE SET count = count + 1, last = excluded.last;

-- name: login_sweep
DELETE FROM login_failure WHERE last <= ?1;

-- name: login_forget
DELETE FROM login_failure WHERE who = ?1;

-- ---- the record of changes (sql/admin_changes.c) ----

-- name: admin_change_add
INSERT INTO admin_change (time, who, via, request_id, action, subject, before, after)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: admin_change_page
SELECT id, time, who, via, request_id, action, subject, before, after FROM admin_change
WHERE id < ?1 ORDER BY id DESC LIMIT ?2;

-- ---- looking through the audit log (sql/audit_search.c) ----

-- name: audit_back
SELECT id, time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream, status,
       outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, cost,
       usage_source, first_byte_ms, latency_ms, error, ticket, over_bound, warned, context
FROM audit
WHERE id >= ?1 AND id < ?2 AND time >= ?3 AND time < ?4
  AND (?5 IS NULL OR user = ?5) AND (?6 IS NULL OR team = ?6) AND (?7 IS NULL OR key = ?7)
  AND (?8 IS NULL OR alias = ?8) AND (?9 IS NULL OR provider = ?9) AND (?10 IS NULL OR outcome = ?10)
ORDER BY id DESC LIMIT ?11;

-- What went wrong has an index of its own.
-- name: audit_trouble
SELECT id, time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream, status,
       outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, cost,
       usage_source, first_byte_ms, latency_ms, error, ticket, over_bound, warned, context
FROM audit INDEXED BY audit_trouble
WHERE outcome = ?10 AND outcome <> 'ok' AND id >= ?1 AND id < ?2 AND time >= ?3 AND time < ?4
  AND (?5 IS NULL OR user = ?5) AND (?6 IS NULL OR team = ?6) AND (?7 IS NULL OR key = ?7)
  AND (?8 IS NULL OR alias = ?8) AND (?9 IS NULL OR provider = ?9)
ORDER BY id DESC LIMIT ?11;

-- name: audit_of_request
SELECT id, time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream, status,
       outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, cost,
       usage_source, first_byte_ms, latency_ms, error, ticket, over_bound, warned, context
FROM audit WHERE request_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3;

-- name: audit_one
SELECT id, time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream, status,
       outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, cost,
       usage_source, first_byte_ms, latency_ms, error, ticket, over_bound, warned, context
FROM audit WHERE id = ?1;

-- name: audit_time_of
SELECT time, id FROM audit WHERE id >= ?1 ORDER BY id LIMIT 1;

-- name: rollup_hour_of_user
SELECT max(hour) FROM rollup WHERE user = ?1 AND hour <= ?2;

-- name: rollup_hour_of_key
SELECT max(hour) FROM rollup WHERE key = ?1 AND hour <= ?2;

-- ---- charts (sql/chart.c): who draws one adds up; sorting names here would take longer ----

-- name: chart_by_model
SELECT hour, nullif(alias, ''), requests, prompt_tokens + completion_tokens, cost, errors, unpriced
FROM rollup_route WHERE hour >= ?1;

-- name: chart_by_provider
SELECT hour, nullif(provider, ''), requests, prompt_tokens + completion_tokens, cost, errors, unpriced
FROM rollup_route WHERE hour >= ?1;

-- The newest first: what cannot all be read is broken off at its old end.
-- name: chart_by_team
SELECT hour, nullif(team, ''), requests, prompt_tokens + completion_tokens, cost, errors, unpriced
FROM rollup WHERE hour >= ?1 AND hour < ?2 ORDER BY hour DESC;

-- name: chart_by_user
SELECT hour, nullif(user, ''), requests, prompt_tokens + completion_tokens, cost, errors, unpriced
FROM rollup WHERE hour >= ?1 AND hour < ?2 ORDER BY hour DESC;

-- name: chart_total
SELECT sum(requests), sum(prompt_tokens + completion_tokens), sum(cost), sum(errors), sum(unpriced), sum(cache_asked),
       sum(cache_served)
FROM rollup_route WHERE hour >= ?1;

-- The aliases that keep answers, with what the cache did for them from ?1 on and from ?2, before it, on.
-- name: chart_cache
SELECT m.alias, m.cache_ttl, m.cache_scope, m.stale_for, coalesce(r.asked_late, 0), coalesce(r.served_late, 0),
       coalesce(r.asked, 0), coalesce(r.served, 0)
FROM model m LEFT JOIN (
    SELECT alias, sum(cache_asked) AS asked, sum(cache_served) AS served,
           sum(iif(hour >= ?1, cache_asked, 0)) AS asked_late, sum(iif(hour >= ?1, cache_served, 0)) AS served_late
    FROM rollup_route WHERE hour >= ?2 GROUP BY alias
) r ON r.alias = m.alias
WHERE m.cache_ttl > 0 ORDER BY m.alias;

-- name: chart_latency
SELECT nullif(alias, ''), nullif(provider, ''), sum(requests), sum(errors), sum(l0), sum(l1), sum(l2), sum(l3),
       sum(l4), sum(l5), sum(l6), sum(l7), sum(l8), sum(l9)
FROM rollup_route WHERE hour >= ?1 AND provider <> '' GROUP BY alias, provider ORDER BY 3 DESC LIMIT ?2;

-- ---- folds of the rollup (sql/fold.c) ----

-- The latest period of ?1 ms, from ?2 on and ending by ?3, of whose requests not all are in the fold by ?4.
-- name: fold_due
SELECT hour / ?1 * ?1 AS start, sum(requests) FROM rollup_route WHERE hour >= ?2 AND hour < ?3 GROUP BY start
HAVING sum(requests) IS NOT (SELECT f.requests FROM rollup_fold f
                             WHERE f.kind = ?4 AND f.length = ?1 AND f.start = hour / ?1 * ?1)
ORDER BY start DESC LIMIT 1;

-- name: fold_sum_teams
SELECT team, sum(requests), sum(prompt_tokens + completion_tokens), sum(cost), sum(errors), sum(unpriced)
FROM rollup WHERE hour >= ?1 AND hour < ?2 GROUP BY team;

-- name: fold_sum_users
SELECT user, sum(requests), sum(prompt_tokens + completion_tokens), sum(cost), sum(errors), sum(unpriced)
FROM rollup WHERE hour >= ?1 AND hour < ?2 GROUP BY user;

-- name: fold_put
INSERT INTO rollup_fold (kind, length, start, requests, sums) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (kind, length, start) DO UPDATE SET requests = excluded.requests, sums = excluded.sums;

-- name: fold_forget
DELETE FROM rollup_fold WHERE start < iif(length = ?1, ?2, ?3);

-- Whether one is out of date need be asked only of those that begin from ?5 on.
-- name: fold_list
SELECT start FROM rollup_fold f
WHERE kind = ?1 AND length = ?2 AND start >= ?3 AND start < ?4
  AND (start < ?5 OR requests = (SELECT sum(r.requests) FROM rollup_route r
                                 WHERE r.hour >= f.start AND r.hour < f.start + f.length))
ORDER BY start DESC;

-- name: fold_sums
SELECT sums FROM rollup_fold WHERE kind = ?1 AND length = ?2 AND start = ?3;

-- ---- keys and people ----

-- name: key_search
SELECT id, name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, revoked, last_used, NULL
FROM client_key WHERE name > ?1 AND (?2 IS NULL OR (name >= ?2 AND name < ?2 || char(1114111))) ORDER BY name LIMIT ?3;

-- name: key_search_user
SELECT id, name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, revoked, last_used, NULL
FROM client_key WHERE name > ?1 AND user = ?2 ORDER BY name LIMIT ?3;

-- name: key_search_team
SELECT id, name, user, team, role, rolegroup, models, allow_ip, may_assert, created, expires, revoked, last_used, NULL
FROM client_key WHERE name > ?1 AND team = ?2 ORDER BY name LIMIT ?3;

-- name: people
SELECT user, max(team), count(*), sum(revoked IS NULL), max(last_used) FROM client_key
WHERE user > ?1 GROUP BY user ORDER BY user LIMIT ?2;
