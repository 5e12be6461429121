-- All that weir.fcgi may ever ask of weir.db: reads of configuration and keys, the last use of a key, fetched key sets, the
-- ledger and its audit rows.
-- What changes configuration or keys stands in admin.sql and is not linked into weir.fcgi.

-- name: config_version
SELECT c.version + k.version FROM config_version c, key_set_version k WHERE c.id = 1 AND k.id = 1;

-- name: setting_all
SELECT name, value FROM setting;

-- name: provider_count
SELECT count(*) FROM provider;

-- name: provider_all
SELECT id, name, dialect, base_url, key_strategy, allow_plain_http,
       connect_ms, first_byte_ms, idle_ms, total_ms, headers, api_version, anthropic_version, auth, faces
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
       price_input, price_cached_input, price_cache_write, price_output, created, hedge_after_ms, context_fallback,
       system, defaults, cache_scope, cache_tool_calls, stale_for, context_action, trim_at, trim_to, price_parts
FROM model ORDER BY alias;

-- name: target_count
SELECT count(*) FROM target;

-- name: target_all
SELECT m.alias, p.name, t.model, t.weight, t.price_input, t.price_cached_input, t.price_cache_write, t.price_output,
       t.price_parts
FROM target t JOIN model m ON m.id = t.model_id JOIN provider p ON p.id = t.provider_id
ORDER BY m.alias, t.position;

-- ---- token verifiers and the key sets fetched for them (sql/verifiers.c, sql/key_sets.c) ----

-- name: verifier_all
SELECT v.name, v.body, v.sealed, k.url, k.keys
FROM jwt_verifier v LEFT JOIN key_set k ON k.verifier = v.name ORDER BY v.name;

-- name: key_set_times
SELECT url, tried, fetched, wanted FROM key_set WHERE verifier = ?1;

-- name: key_set_claim
INSERT INTO key_set (verifier, url, tried, fetched, wanted) VALUES (?1, ?2, ?3, 0, 0)
ON CONFLICT (verifier) DO UPDATE SET tried = excluded.tried, url = excluded.url,
    keys = CASE url WHEN excluded.url THEN keys END, fetched = CASE url WHEN excluded.url THEN fetched ELSE 0 END,
    fault = CASE url WHEN excluded.url THEN fault END
WHERE tried = ?4;

-- name: key_set_put
UPDATE key_set SET keys = ?3, fetched = ?4, fault = NULL WHERE verifier = ?1 AND url = ?2 AND keys IS NOT ?3;

-- name: key_set_same
UPDATE key_set SET fetched = ?4, fault = NULL WHERE verifier = ?1 AND url = ?2 AND keys = ?3;

-- name: key_set_failed
UPDATE key_set SET fault = ?3 WHERE verifier = ?1 AND url = ?2;

-- name: key_set_raise
UPDATE key_set_version SET version = version + 1 WHERE id = 1;

-- name: key_set_want
UPDATE key_set SET wanted = ?2 WHERE verifier = ?1 AND wanted <= tried;

-- ---- client keys ----

-- name: key_find
SELECT k.id, k.name, k.user, k.team, k.role, k.rolegroup, k.models, k.allow_ip, k.may_assert,
       k.created, k.expires, k.revoked, k.last_used, s.expires, k.endpoints
FROM client_secret s JOIN client_key k ON k.id = s.key_id
WHERE s.hash = ?1;

-- name: key_touch
UPDATE client_key SET last_used = ?2 WHERE id = ?1 AND (last_used IS NULL OR last_used < ?2 - 60000);

-- name: audit_insert
INSERT INTO audit (time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream,
                   status, outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens,
                   completion_tokens, cost, usage_source, first_byte_ms, latency_ms, error, ticket, over_bound,
                   warned, counters, context)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
        ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31);

-- ---- the ledger ----

-- name: ledger_state
SELECT s.time, s.ticket, s.token, c.version FROM ledger_state s, config_version c WHERE s.id = 1 AND c.id = 1;

-- name: ledger_state_put
UPDATE ledger_state SET time = ?1, ticket = ?2, token = ?3 WHERE id = 1;

-- name: rule_by_scope
SELECT id, scope, metric, shape, period, seconds, mode, amount, refill_nano, utc_offset_min, warn_percent
FROM limit_rule WHERE scope = ?1 ORDER BY metric, shape, period, seconds;

-- name: rule_ranges
SELECT DISTINCT scope FROM limit_rule WHERE scope > 'ip/' AND scope < 'ip0' AND instr(substr(scope, 4), '/') > 0;

-- name: counter_find
SELECT id, first, used, held, at, rem, mark, warned, carry FROM counter WHERE rule = ?1 AND member = ?2;

-- name: counter_by_id
SELECT c.id, c.first, c.used, c.held, c.at, c.rem, c.mark, c.warned, c.carry,
       r.id, r.scope, r.metric, r.shape, r.period, r.seconds, r.mode, r.amount, r.refill_nano, r.utc_offset_min,
       r.warn_percent, c.member
FROM counter c JOIN limit_rule r ON r.id = c.rule WHERE c.id = ?1;

-- name: counter_add
INSERT INTO counter (rule, member, first, used, held, at, rem, mark, warned, carry)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: counter_put
UPDATE counter SET first = ?2, used = ?3, held = ?4, at = ?5, rem = ?6, mark = ?7, warned = ?8, carry = ?9
WHERE id = ?1;

-- name: slot_left
SELECT (SELECT coalesce(sum(amount), 0) FROM slot WHERE counter = ?1 AND slot < ?2),
       (SELECT min(slot) FROM slot WHERE counter = ?1 AND slot >= ?2);

-- name: slot_drop
DELETE FROM slot WHERE counter = ?1 AND slot < ?2;

-- name: slot_add
INSERT INTO slot (counter, slot, amount) VALUES (?1, ?2, ?3)
ON CONFLICT (counter, slot) DO UPDATE SET amount = amount + excluded.amount;

-- name: slot_newest
SELECT max(slot) FROM slot WHERE counter = ?1;

-- name: slot_all
SELECT slot, amount FROM slot WHERE counter = ?1 AND slot >= ?2 ORDER BY slot;

-- name: process_find
SELECT id FROM process WHERE lock = ?1;

-- name: process_add
INSERT INTO process (started, lock) VALUES (?1, ?2);

-- name: process_all
SELECT id, lock FROM process ORDER BY id;

-- name: process_drop
DELETE FROM process WHERE id = ?1;

-- name: ticket_add
INSERT INTO ticket (id, process, time, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider,
                    model, stream, prompt_bound, output_bound, cost_bound, prompt_estimate, output_estimate,
                    cost_estimate, attempts, pairs)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, 0, ?22);

-- name: ticket_get
SELECT time, process, request_id, user, team, role, rolegroup, key, ip, endpoint, alias, provider, model, stream,
       prompt_bound, output_bound, cost_bound, prompt_estimate, output_estimate, cost_estimate, attempts, pairs
FROM ticket WHERE id = ?1;

-- name: ticket_held
SELECT time, attempts, pairs FROM ticket WHERE id = ?1;

-- name: ticket_drop
DELETE FROM ticket WHERE id = ?1;

-- name: ticket_put
UPDATE ticket SET prompt_bound = ?2, output_bound = ?3, cost_bound = ?4, prompt_estimate = ?5, output_estimate = ?6,
    cost_estimate = ?7, attempts = ?8, pairs = ?9
WHERE id = ?1;

-- name: ticket_attempts
UPDATE ticket SET attempts = ?2 WHERE id = ?1;

-- name: ticket_of_process
SELECT id FROM ticket WHERE process = ?1 ORDER BY id LIMIT 1;

-- name: ticket_oldest
SELECT min(time) FROM ticket;

-- name: attempt_add
INSERT INTO attempt (ticket, number, sequence, time, provider, ended, tokens, cost, soft_tokens, soft_cost, pairs)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);

-- name: attempt_of_ticket
SELECT number, sequence, time, provider, ended, tokens, cost, soft_tokens, soft_cost, pairs
FROM attempt WHERE ticket = ?1 ORDER BY number;

-- name: attempt_end
UPDATE attempt SET ended = 1, tokens = ?3, cost = ?4, soft_tokens = ?3, soft_cost = ?4, pairs = x'', counters = ?5
WHERE ticket = ?1 AND number = ?2;

-- name: rollup_find
SELECT id FROM rollup
WHERE hour = ?1 AND user = ?2 AND team = ?3 AND role = ?4 AND alias = ?5 AND provider = ?6 AND key = ?7;

-- name: rollup_new
INSERT INTO rollup (hour, user, team, role, alias, provider, key, requests, prompt_tokens, cached_tokens,
                    completion_tokens, cost, unpriced, errors, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- name: rollup_add
UPDATE rollup SET requests = requests + ?2, prompt_tokens = prompt_tokens + ?3, cached_tokens = cached_tokens + ?4,
    completion_tokens = completion_tokens + ?5, cost = cost + ?6, unpriced = unpriced + ?7, errors = errors + ?8,
    l0 = l0 + ?9, l1 = l1 + ?10, l2 = l2 + ?11, l3 = l3 + ?12, l4 = l4 + ?13, l5 = l5 + ?14, l6 = l6 + ?15,
    l7 = l7 + ?16, l8 = l8 + ?17, l9 = l9 + ?18
WHERE id = ?1;

-- name: route_find
SELECT id FROM rollup_route WHERE hour = ?1 AND alias = ?2 AND provider = ?3;

-- name: route_new
INSERT INTO rollup_route (hour, alias, provider, requests, prompt_tokens, cached_tokens, completion_tokens, cost, unpriced,
                          errors, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9)
VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- name: route_add
UPDATE rollup_route SET requests = requests + ?2, prompt_tokens = prompt_tokens + ?3, cached_tokens = cached_tokens + ?4,
    completion_tokens = completion_tokens + ?5, cost = cost + ?6, unpriced = unpriced + ?7, errors = errors + ?8,
    l0 = l0 + ?9, l1 = l1 + ?10, l2 = l2 + ?11, l3 = l3 + ?12, l4 = l4 + ?13, l5 = l5 + ?14, l6 = l6 + ?15,
    l7 = l7 + ?16, l8 = l8 + ?17, l9 = l9 + ?18, cache_asked = cache_asked + ?19, cache_served = cache_served + ?20
WHERE id = ?1;

-- A piece of all counters, and whether each may be idle.
-- name: counter_members
SELECT c.id, c.held = 0 AND c.at < ?2 AND c.member <> r.scope
FROM counter c JOIN limit_rule r ON r.id = c.rule WHERE c.id > ?1 ORDER BY c.id LIMIT ?3;

-- name: counter_drop
DELETE FROM counter WHERE id = ?1;

-- name: audit_oldest
SELECT id, time, ticket, counters, prompt_tokens + completion_tokens, coalesce(cost, 0),
       EXISTS (SELECT 1 FROM content c WHERE c.ticket = audit.ticket)
FROM audit ORDER BY id LIMIT ?1;

-- name: audit_newest
SELECT max(id) FROM audit;

-- name: audit_drop
DELETE FROM audit WHERE id = ?1;

-- name: attempt_charges
SELECT sequence, time, tokens, cost, counters FROM attempt WHERE ticket = ?1 AND counters IS NOT NULL;

-- name: attempt_drop
DELETE FROM attempt WHERE ticket = ?1;

-- name: slot_carry
UPDATE slot SET carry = carry + ?3 WHERE counter = ?1 AND slot = ?2;

-- What was asked and answered (sql/content.c): written and deleted here, read only by administrators' programs.

-- name: content_insert
INSERT INTO content (ticket, time, request_id, prompt, prompt_cut, answer, answer_cut)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- Tickets rise with time: the oldest are looked at, and no more of them.
-- name: content_forget
DELETE FROM content WHERE ticket IN (SELECT ticket FROM content ORDER BY ticket LIMIT ?2) AND time < ?1;

-- What of the master key outlives its rotation (sql/vault.c).

-- name: vault_hash
SELECT hash FROM vault WHERE id = 1;

-- What is sealed with a key of before was admitted less than ?2 after its end, and the oldest ticket is the oldest content.
-- name: vault_forget
DELETE FROM vault_seal
WHERE ended + ?2 < ?1 AND coalesce((SELECT time FROM content ORDER BY ticket LIMIT 1), ?1) > ended + ?2;

-- What was spent, by the hour (sql/spend.c).

-- name: spend_user
SELECT sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost), sum(unpriced)
FROM rollup WHERE user = ?1 AND hour >= ?2;

-- name: spend_key
SELECT sum(requests), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost), sum(unpriced)
FROM rollup WHERE key = ?1 AND hour >= ?2;

-- ---- health of providers, targets and keys (sql/health.c) ----

-- name: health_all
SELECT kind, provider, name, state, failures, recent1, recent2, recent3, recent4, until, opens, unreached, forced,
       cool_until, cool_model, disabled, error, error_at, requests, failed, latency_ms, seen, probed, updated
FROM health ORDER BY kind, provider, name;

-- name: health_tally
SELECT count(*) FROM health;

-- name: health_get
SELECT kind, provider, name, state, failures, recent1, recent2, recent3, recent4, until, opens, unreached, forced,
       cool_until, cool_model, disabled, error, error_at, requests, failed, latency_ms, seen, probed, updated
FROM health WHERE kind = ?1 AND provider = ?2 AND name = ?3;

-- name: health_put
INSERT INTO health (kind, provider, name, state, failures, recent1, recent2, recent3, recent4, until, opens, unreached,
                    forced, cool_until, cool_model, disabled, error, error_at, latency_ms, seen, probed, updated)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
ON CONFLICT (kind, provider, name) DO UPDATE SET state = excluded.state, failures = excluded.failures,
    recent1 = excluded.recent1, recent2 = excluded.recent2, recent3 = excluded.recent3, recent4 = excluded.recent4,
    until = excluded.until, opens = excluded.opens, unreached = excluded.unreached, forced = excluded.forced,
    cool_until = excluded.cool_until, cool_model = excluded.cool_model, disabled = excluded.disabled,
    error = excluded.error, error_at = excluded.error_at, latency_ms = excluded.latency_ms, seen = excluded.seen,
    probed = excluded.probed, updated = excluded.updated;

-- A mean in which what is new counts for a quarter.
-- name: health_count
INSERT INTO health (kind, provider, name, requests, failed, latency_ms, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (kind, provider, name) DO UPDATE SET requests = requests + excluded.requests,
    failed = failed + excluded.failed,
    latency_ms = CASE WHEN excluded.latency_ms < 0 THEN latency_ms WHEN latency_ms < 0 THEN excluded.latency_ms
                      ELSE (latency_ms * 3 + excluded.latency_ms) / 4 END;

-- name: lease_take
INSERT INTO lease (name, holder, until) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE holder = excluded.holder OR until < ?4 OR until > ?4 + 86400000;
