"""How long the administrators' pages take over a large site: 2,000,000 audit rows of 30 days, 10,000 users, 100,000 keys,
100,000 counters. Makes the data by SQL, then asks for every page several times through lighttpd.

    python tests/bench/admin.py [--rows N] [--keep DIRECTORY]     (WEIR_BUILD: another build than build/)
"""
import argparse
import multiprocessing
import os
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flow"))
import admin_site  # noqa: E402
import harness  # noqa: E402

USERS, KEYS, TEAMS, MODELS = 10_000, 100_000, 200, 12
FILL = """
insert into client_key (name, user, team, created) select printf('key-%06d', value), printf('user-%05d', value % :users),
    printf('team-%03d', value % :users % :teams), :now from counting where value < :keys;
insert into limit_rule (scope, metric, shape, period, amount, created) values ('user/*', 'cost', 'calendar', 'month', 20000000000, :now),
    ('key/*', 'requests', 'calendar', 'day', 100000, :now), ('global', 'cost', 'calendar', 'month', 900000000000000, :now);
insert into limit_rule (scope, metric, shape, period, amount, created) select printf('team/team-%03d', value), 'tokens', 'calendar', 'month', 900000000, :now
    from counting where value < :teams;
insert into counter (rule, member, first, used, held, at, rem, mark, warned, carry)
    select r.id, printf('key/key-%06d', value), 1, value * 40503 % 90000, 0, :now, 0, :now + 86400000, 0, 0 from counting, limit_rule r
    where value < :keys and r.scope = 'key/*';
insert into counter (rule, member, first, used, held, at, rem, mark, warned, carry)
    select r.id, printf('user/user-%05d', value), 1, value * 40503 % :users * 1900000, 0, :now, 0, :now + 86400000, 0, 0 from counting, limit_rule r
    where value < :users and r.scope = 'user/*';
insert into audit (time, request_id, user, team, key, ip, endpoint, alias, provider, model, stream, status, outcome, attempts, cache, prompt_tokens,
    cached_tokens, cache_write_tokens, completion_tokens, cost, usage_source, first_byte_ms, latency_ms, error, ticket)
    select :now - 30 * 86400000 + value * (30 * 86400000 / :rows), printf('req_%016x', value), printf('user-%05d', h % :users),
        printf('team-%03d', h % :users % :teams), printf('key-%06d', h % :keys), '10.0.0.1', '/v1/chat/completions', 'model-' || (h % :models), 'provider-' || (h % 3), 'm', 1,
        case when h % 50 = 0 then 429 else 200 end, case when h % 50 = 0 then 'refused' else 'ok' end, 1, 'miss', h % 900, 0, 0, h % 300, h % 90000000, 'provider', h % 400,
        h % 3000, case when h % 50 = 0 then 'rate_limit_exceeded' end, value
    from (select value, (value * 2654435761) % 4294967296 as h from counting where value < :rows);
insert into rollup (hour, user, team, role, alias, provider, key, requests, prompt_tokens, cached_tokens, completion_tokens, cost, unpriced, errors,
    l0, l1, l2, l3, l4, l5, l6, l7, l8, l9)
    select time / 3600000 * 3600000, user, team, '', alias, provider, key, count(*), sum(prompt_tokens), 0, sum(completion_tokens), sum(cost), 0,
        sum(outcome <> 'ok'), sum(latency_ms <= 50), 0, sum(latency_ms between 51 and 250), 0, sum(latency_ms between 251 and 1000), 0, sum(latency_ms > 1000), 0, 0, 0
    from audit group by 1, 2, 3, 4, 5, 6, 7;
insert into rollup_route (hour, alias, provider, requests, prompt_tokens, cached_tokens, completion_tokens, cost, unpriced, errors, l0, l1, l2, l3, l4, l5,
    l6, l7, l8, l9) select hour, alias, provider, sum(requests), sum(prompt_tokens), 0, sum(completion_tokens), sum(cost), 0, sum(errors), sum(l0), 0, sum(l2),
    0, sum(l4), 0, sum(l6), 0, 0, 0 from rollup group by 1, 2, 3;
"""
PAGES = ("overview", "overview?range=week&by=provider", "overview?range=month&by=model", "overview?range=month&by=user&what=tokens",
         "overview?range=month&by=team", "overview?range=week&by=user",
         "overview?by=user", "overview?by=team&what=tokens", "budgets", "budgets?kind=team", "budgets?of=key/*", "budgets?of=user/*&member=user-00042",
         "what-if?user=user-00042&team=team-042&key=key-000042", "keys", "keys?q=key-09", "keys?by=user&q=user-00042", "keys?by=team&q=team-042", "keys?people=1",
         "key?name=key-000042", "providers", "models", "audit", "audit?user=user-00042", "audit?key=key-000042", "audit?team=team-042", "audit?alias=model-3",
         "audit?outcome=refused", "audit?outcome=orphaned", "audit?request_id=req_00000000000f4240", "audit?user=nobody", "audit?since=20d&until=19d",
         "request?id=1000000", "settings", "administrators", "changes")


def fill(site, rows):
    site.weir("init", "--mock")
    db = sqlite3.connect(f"{site.data}/weir.db")
    now = int(time.time() * 1000)
    db.executescript("pragma synchronous = off; pragma cache_size = -400000;")
    db.execute("create temp table counting (value integer primary key)")
    db.execute("insert into counting with recursive c(v) as (select 0 union all select v + 1 from c where v < ?) select v from c", (max(rows, KEYS) - 1,))
    for statement in FILL.split(";\n"):
        if statement.strip():
            began = time.time()
            db.execute(statement, {"now": now, "rows": rows, "users": USERS, "keys": KEYS, "teams": TEAMS, "models": MODELS})
            print(f"  {time.time() - began:6.1f} s  {' '.join(statement.split())[:60]}", flush=True)
    db.commit()
    db.execute("pragma wal_checkpoint(truncate)")
    db.close()


def wait_folded(site):
    """The charts' sums are made in the background, as they would have been long ago on a site that has grown to this size."""
    began = time.time()
    db = sqlite3.connect(f"file:{site.data}/weir.db?mode=ro", uri=True)
    days = "select count(distinct hour / 86400000) * 2 from rollup_route where hour < cast(unixepoch() / 86400 as int) * 86400000"
    while db.execute("select count(*) from rollup_fold where length = 86400000").fetchone() < db.execute(days).fetchone():
        time.sleep(0.2)
    rows, size = db.execute("select count(*), sum(length(sums)) from rollup_fold").fetchone()
    print(f"  {time.time() - began:6.1f} s  until all was folded: {rows} hours and days, {size // 1024} KB", flush=True)
    db.close()


def cpu_ms(web):
    """What weir-admin.fcgi has used of the processor so far: on a busy machine the time that says something."""
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if b"weir-admin.fcgi" in (p / "cmdline").read_bytes() and f"({web.process.pid})" in f"({(p / 'stat').read_text().rsplit(')', 1)[1].split()[1]})":
                return sum(int((t / "schedstat").read_text().split()[0]) for t in (p / "task").iterdir()) / 1e6
        except OSError:
            pass
    return 0.0


def measure(web, browser, times=5):
    slow = 0
    for page in PAGES:
        took, used = [], cpu_ms(web)
        for _ in range(times):
            began = time.perf_counter()
            r = browser.ask("GET", page)
            took.append((time.perf_counter() - began) * 1000)
            assert r.status_code == 200, (page, r.text)
        used = (cpu_ms(web) - used) / times
        slow += statistics.median(took) > 100
        print(f"{statistics.median(took):8.1f} ms  (processor {used:.1f}, first {took[0]:.1f}, most {max(took):.1f}, {len(r.text) // 1024} KB)  {page}", flush=True)
    return slow


def click(url, cookies, on):
    """In a process of its own: five pages a second while `on` is set, more than a person clicks."""
    b = admin_site.Browser(url)
    b.http.cookies.update(cookies)
    while True:
        for page in PAGES:
            on.wait()
            b.ask("GET", page)
            time.sleep(0.2)


def gateway_times(http, requests):
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        assert http.post("/v1/chat/completions", json={"model": "gpt-4o-mini", "max_tokens": 50, "messages": harness.MESSAGES}).status_code == 200
        took.append((time.perf_counter() - began) * 1000)
    return {"median": statistics.median(took), "p99": statistics.quantiles(took, n=100)[98]}


def measure_gateway(web, browser, rounds=11, requests=1000):
    """The gateway's answers without pages and with them, in turn, so that other load on the machine strikes both: what counts is the median of
    the rounds' ratios."""
    secret = web.site.create_key(f"bench-{os.getpid()}")
    web.site.weir("limit", "remove", "user/*", "--metric", "requests", check=False)
    http = harness.httpx2.Client(base_url=web.url, trust_env=False, headers={"x-api-key": secret})
    on, pairs = multiprocessing.Event(), []
    clicking = multiprocessing.Process(target=click, args=(web.url, dict(browser.http.cookies), on), daemon=True)
    clicking.start()
    gateway_times(http, 200)
    for r in range(rounds):
        pair = {}
        for pages in (False, True) if r % 2 else (True, False):
            on.set() if pages else on.clear()
            pair[pages] = gateway_times(http, requests)
        pairs.append(pair)
    clicking.kill()
    for what in ("median", "p99"):
        alone, beside = (statistics.median(p[x][what] for p in pairs) for x in (False, True))
        ratio = statistics.median(p[True][what] / p[False][what] for p in pairs)
        print(f"gateway's {what}: alone {alone:.2f} ms, while five pages a second are looked at {beside:.2f} ms; median of the ratios of {rounds} rounds {ratio:.2f}")


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("--rows", type=int, default=2_000_000)
    ask.add_argument("--keep", help="a data directory that is used again, and made if it is not there")
    args = ask.parse_args()
    site = harness.Site.__new__(harness.Site)
    site.data = os.path.abspath(args.keep) if args.keep else subprocess.check_output(["mktemp", "-d"], text=True).strip()
    if not os.path.exists(f"{site.data}/weir.db"):
        print("filling", site.data)
        fill(site, args.rows)
    web = harness.Web(site)
    web.start()
    try:
        browser = admin_site.logged_in(web, f"bench-{os.getpid()}", "admin")
        wait_folded(site)
        slow = measure(web, browser)
        measure_gateway(web, browser)
    finally:
        web.stop()
        if not args.keep:
            site.remove()
    print(f"{len(PAGES) - slow} of {len(PAGES)} pages within 100 ms")
    return slow > 0


if __name__ == "__main__":
    sys.exit(main())
