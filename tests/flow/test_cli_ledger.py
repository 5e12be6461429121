"""The ledger's command line, from outside: limits, usage, the books, `weir tick`, prices.

Needs no web server: where requests are needed, weir.fcgi answers them as CGI from its built-in mock.
"""
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from harness import BUILD, until
from test_cli import FIELDS, Cli, bare, cli, conf, findings, note  # noqa: F401 (fixtures)

HOUR = 3_600_000
MOCK = {"providers": [{"name": "m", "dialect": "mock"}],
        "models": [{"alias": "priced", "targets": [{"provider": "m", "model": "mock"}], "price": {"input": "1", "output": "2"}},
                   {"alias": "unpriced", "targets": [{"provider": "m", "model": "mock"}]},
                   {"alias": "stream", "targets": [{"provider": "m", "model": "mock-stream:1000:100"}], "price": {"input": "1", "output": "2"}}]}
_serial = itertools.count(1)


class Gateway:
    """One process a request, as under CGI."""

    def __init__(self, cli, **who):
        self.cli = cli
        args = [a for k, v in who.items() for a in ("--" + k, v)]
        self.secret = cli.run("key", "create", "--name", f"key{next(_serial)}", *args).stdout.strip()

    def start(self, model="priced", **fields):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]} | fields).encode()
        env = {"WEIR_DATA": self.cli.data, "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/v1/chat/completions",
               "REQUEST_URI": "/v1/chat/completions", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "application/json",
               "CONTENT_LENGTH": str(len(body)), "HTTP_AUTHORIZATION": "Bearer " + self.secret, "WEIR_LOG_LEVEL": "error"}
        env |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        process = subprocess.Popen([str(BUILD / "weir.fcgi")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
        process.stdin.write(body)
        process.stdin.close()
        return process

    def ask(self, model="priced", **fields):
        """Gives the status."""
        process = self.start(model, **fields)
        answer = process.stdout.read()
        process.stdout.close()
        process.wait(20)
        return int(re.match(rb"Status: (\d+)", answer)[1])

    def die(self, model="stream"):
        """A process that is killed in the middle of its answer."""
        process = self.start(model, stream=True)
        until("a ticket", lambda: self.cli.sql("SELECT count(*) FROM ticket")[0][0] > 0, 20)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def gw(cli):
    cli.apply(MOCK)
    return Gateway(cli, user="alice", team="data")


def limits(cli, *args):
    return cli.json("limit", "list", *args)


# ---- limit set ----

@pytest.mark.parametrize("args, entry", [
    ("team/data --metric tokens --shape bucket --capacity 5000 --refill 25", {"scope": "team/data", "metric": "tokens", "shape": "bucket", "capacity": 5000, "refill_per_sec": 25}),
    ("team/data --metric cost --shape bucket --capacity 5 --refill 0.000000001", {"scope": "team/data", "metric": "cost", "shape": "bucket", "capacity": "5.00", "refill_per_sec": "0.000000001"}),
    ("role/dev --metric tokens --shape bucket --capacity 10 --refill 0.125 --mode soft --warn 50",
     {"scope": "role/dev", "metric": "tokens", "shape": "bucket", "capacity": 10, "refill_per_sec": 0.125, "mode": "soft", "warn_percent": 50}),
    ("user/* --metric requests --shape window --seconds 60 --amount 60", {"scope": "user/*", "metric": "requests", "shape": "window", "seconds": 60, "amount": 60}),
    ("user/alice --metric cost --shape calendar --period month --amount 20.00", {"scope": "user/alice", "metric": "cost", "shape": "calendar", "period": "month", "amount": "20.00"}),
    ("user/alice --metric cost --shape calendar --period day --amount 2 --utc-offset -05:30",
     {"scope": "user/alice", "metric": "cost", "shape": "calendar", "period": "day", "amount": "2.00", "utc_offset": -330}),
    ("user/alice --metric cost --shape calendar --period day --amount 2 --utc-offset -330",
     {"scope": "user/alice", "metric": "cost", "shape": "calendar", "period": "day", "amount": "2.00", "utc_offset": -330}),
    ("global --metric tokens --shape total --amount 100000000 --mode observe", {"scope": "global", "metric": "tokens", "shape": "total", "amount": 100000000, "mode": "observe"}),
    ("key/ci --metric concurrency --amount 4", {"scope": "key/ci", "metric": "concurrency", "amount": 4}),
])
def test_limit_set_says_the_same_as_the_document(cli, args, entry):
    assert "was added" in cli.run("limit", "set", *args.split()).stderr
    assert json.loads(cli.run("export").stdout)["limits"] == [{"mode": "hard"} | entry]
    version = cli.version()
    assert "the same" in cli.run("limit", "set", *args.split()).stderr
    assert "nothing changed" in cli.apply({"limits": [entry]}).stderr
    assert cli.version() == version


@pytest.mark.parametrize("args, field", [
    ("planet/earth --metric tokens --shape total --amount 1", "scope"), ("team/ --metric tokens --shape total --amount 1", "scope"),
    ("global --metric words --shape total --amount 1", "metric"), ("global --metric tokens --amount 1", "shape"), ("global --metric tokens --shape sphere --amount 1", "shape"),
    ("global --metric tokens --shape total", "amount"), ("global --metric tokens --shape total --amount 0", "amount"), ("global --metric tokens --shape total --amount -1", "amount"),
    ("global --metric tokens --shape total --amount many", "amount"), ("global --metric tokens --shape total --amount 1.5", "amount"),
    ("global --metric tokens --shape total --amount {}", "amount"), ("global --metric cost --shape total --amount 1e3", "amount"),
    ("global --metric cost --shape total --amount $5", "amount"), ("global --metric tokens --shape total --capacity 1", "capacity"),
    ("global --metric tokens --shape bucket --capacity 5", "refill_per_sec"), ("global --metric tokens --shape bucket --capacity 5 --refill -1", "refill_per_sec"),
    ("global --metric tokens --shape bucket --capacity 5 --refill 1e-3", "refill_per_sec"), ("global --metric tokens --shape window --amount 5", "seconds"),
    ("global --metric tokens --shape window --amount 5 --seconds 60s", "seconds"), ("global --metric tokens --shape calendar --amount 5", "period"),
    ("global --metric tokens --shape calendar --amount 5 --period year", "period"), ("global --metric tokens --shape total --amount 5 --period day", "period"),
    ("global --metric tokens --shape calendar --amount 5 --period day --utc-offset 2h", "utc_offset"), ("global --metric tokens --shape total --amount 5 --mode firm", "mode"),
    ("global --metric tokens --shape total --amount 5 --warn 101", "warn_percent"), ("key/ci --metric concurrency --shape total --amount 5", "shape"),
])
def test_limit_set_refuses_naming_the_field(cli, args, field):
    version = cli.version()
    assert cli.run("limit", "set", *args.split(), code=1).stderr.startswith(field + ": ")
    assert cli.version() == version and limits(cli) == []


@pytest.mark.parametrize("args, named", [(["set"], "word is missing"), (["set", "global"], "--metric"), (["remove", "global"], "--metric"), (["reset"], "word is missing"),
                                         (["remove", "team", "--metric", "cost"], "scope"), (["remove", "global", "--metric", "words"], "--metric"),
                                         (["reset", "global", "--metric", "cost", "--shape", "x"], "--shape"), (["list", "team"], "scope"), (["list", "a", "b"], "b:"),
                                         (["reset", "global", "--metric", "cost", "--period", "x"], "--period"), (["remove", "global", "--metric", "cost", "--seconds", "x"], "--seconds"),
                                         (["frobnicate"], "limit set")])
def test_wrong_usage_of_limit_exits_2(cli, args, named):
    done = cli.run("limit", *args, code=2)
    assert named in done.stderr and done.stdout == ""


def test_a_changed_limit_keeps_its_count(cli, gw):
    cli.run("limit", "set", "user/alice", "--metric", "requests", "--shape", "total", "--amount", "1")
    assert [gw.ask(), gw.ask()] == [200, 429]
    assert "was changed; its count is kept" in cli.run("limit", "set", "user/alice", "--metric", "requests", "--shape", "total", "--amount", "2").stderr
    assert [(r["used"], r["remaining"]) for r in limits(cli)] == [(1, 1)]
    assert [gw.ask(), gw.ask()] == [200, 429]


# ---- limit list, remove, reset ----

def test_limit_list_has_the_fields_of_the_interface(cli, gw):
    cli.run("limit", "set", "user/alice", "--metric", "cost", "--shape", "total", "--amount", "20", "--warn", "1")
    cli.run("limit", "set", "team/data", "--metric", "tokens", "--shape", "bucket", "--capacity", "5000", "--refill", "0.001")
    cli.run("limit", "set", "team/data", "--metric", "requests", "--shape", "calendar", "--period", "month", "--amount", "1", "--utc-offset", "+02:00")
    cli.run("limit", "set", "key/ci", "--metric", "concurrency", "--amount", "4")
    assert gw.ask() == 200
    row = cli.sql("SELECT prompt_tokens, completion_tokens FROM audit")[0]
    tokens, spent = sum(row), row[0] * 1_000 + row[1] * 2_000
    rows = {(r["scope"], r["metric"]): r for r in limits(cli)}
    assert list(rows) == [("key/ci", "concurrency"), ("team/data", "requests"), ("team/data", "tokens"), ("user/alice", "cost")]
    blank = dict.fromkeys(("via", "resets_at", "warned_at", "period", "seconds", "capacity", "refill_per_sec", "utc_offset")) | {"mode": "hard", "held": 0, "warn_percent": 80}
    assert rows["key/ci", "concurrency"] == blank | {"scope": "key/ci", "metric": "concurrency", "shape": None, "limit": 4, "used": 0, "remaining": 4}
    monthly = rows["team/data", "requests"]
    assert monthly == blank | {"scope": "team/data", "metric": "requests", "shape": "calendar", "period": "month", "utc_offset": 120, "limit": 1, "used": 1,
                               "remaining": 0, "resets_at": monthly["resets_at"], "warned_at": monthly["warned_at"]}
    assert re.fullmatch(r"\d{4}-\d\d-(28|29|30|31)T22:00:00\.000Z", monthly["resets_at"]) and monthly["warned_at"].endswith("Z")
    held = rows["team/data", "tokens"]
    assert held == blank | {"scope": "team/data", "metric": "tokens", "shape": "bucket", "limit": 5000, "capacity": 5000, "refill_per_sec": 0.001,
                            "used": tokens, "remaining": 5000 - tokens, "resets_at": held["resets_at"]}
    money = rows["user/alice", "cost"]
    assert {k: money[k] for k in ("limit", "held", "shape", "warned_at")} == {"limit": "20.00", "held": "0.00", "shape": "total", "warned_at": None}
    assert round(float(money["used"]) * 1e9) == spent and round(float(money["remaining"]) * 1e9) == 20_000_000_000 - spent
    shown = cli.run("limit", "list").stdout
    assert "calendar month +02:00" in shown and "bucket +0.001/s" in shown and len(shown.splitlines()) == 5
    assert [r["scope"] for r in limits(cli, "team/data")] == ["team/data"] * 2 and limits(cli, "team/none") == []


def test_a_star_limits_members_are_listed_behind_it(cli, gw):
    cli.run("limit", "set", "user/*", "--metric", "requests", "--shape", "window", "--seconds", "3600", "--amount", "60")
    assert gw.ask() == 200 and Gateway(cli, user="bob").ask() == 200
    assert [(r["scope"], r["used"], r["held"]) for r in limits(cli)] == [("user/*", 0, 0)]
    rows = limits(cli, "--members")
    assert [(r["scope"], r["via"], r["used"], r["remaining"], r["seconds"]) for r in rows] == [
        ("user/*", None, 0, 60, 3600), ("user/alice", "user/*", 1, 59, 3600), ("user/bob", "user/*", 1, 59, 3600)]
    assert limits(cli, "user/bob") == []
    assert [(r["scope"], r["via"], r["used"]) for r in limits(cli, "user/bob", "--members")] == [("user/bob", "user/*", 1)]


def test_limit_remove_takes_what_fits(cli):
    for args in ("--shape total --amount 5", "--shape calendar --period day --amount 5", "--shape calendar --period month --amount 5", "--shape window --seconds 60 --amount 5",
                 "--shape window --seconds 61 --amount 5"):
        cli.run("limit", "set", "global", "--metric", "cost", *args.split())
    cli.run("limit", "set", "team/a", "--metric", "cost", "--shape", "total", "--amount", "5")
    before = cli.version()
    for args in ("--metric tokens", "--metric cost --seconds 62", "--metric cost --period week", "--metric cost --shape total --period day"):
        assert "no such limit" in cli.run("limit", "remove", "global", *args.split(), code=1).stderr
    assert cli.version() == before
    for args, left in (("--seconds 60", 5), ("--period day", 4), ("--shape calendar", 3), ("", 1)):
        assert "removed" in cli.run("limit", "remove", "global", "--metric", "cost", *args.split()).stderr
        assert len(limits(cli)) == left
    assert cli.version() == before + 4 and limits(cli)[0]["scope"] == "team/a"


def test_limit_reset_begins_again_at_nought(cli, gw):
    cli.run("limit", "set", "team/data", "--metric", "tokens", "--shape", "total", "--amount", "1000000")
    cli.run("limit", "set", "user/*", "--metric", "requests", "--shape", "window", "--seconds", "3600", "--amount", "2")
    bob = Gateway(cli, user="bob")
    assert "nothing had been counted" in cli.run("limit", "reset", "team/data", "--metric", "tokens").stderr
    assert [gw.ask(), gw.ask(), gw.ask(), bob.ask()] == [200, 200, 429, 200]
    assert "1 count reset" in cli.run("limit", "reset", "user/alice", "--metric", "requests").stderr
    used = {r["scope"]: r["used"] for r in limits(cli, "user/*", "--members")}
    assert used == {"user/*": 0, "user/alice": 0, "user/bob": 1}
    assert gw.ask() == 200
    assert "2 counts reset" in cli.run("limit", "reset", "user/*", "--metric", "requests", "--shape", "window").stderr
    assert "1 count reset" in cli.run("limit", "reset", "team/data", "--metric", "tokens").stderr
    assert limits(cli, "team/data")[0]["used"] == 0
    assert cli.sql("SELECT member FROM counter_reset ORDER BY id") == [("user/alice",), ("user/alice",), ("user/bob",), ("team/data",)]
    assert cli.json("ledger", "check")["differences"] == []
    for args in ("team/data --metric cost", "team/nobody --metric tokens", "user/alice --metric requests --seconds 60"):
        assert "no such limit" in cli.run("limit", "reset", *args.split(), code=1).stderr


# ---- usage ----

def roll(cli, ago_h=0, **fields):
    row = {"hour": int(time.time() * 1000) // HOUR * HOUR - ago_h * HOUR, "user": "alice", "team": "", "role": "", "alias": "a", "provider": "p", "key": "k", "requests": 1,
           "prompt_tokens": 10, "cached_tokens": 2, "completion_tokens": 5, "cost": 0, "unpriced": 0, "errors": 0} | {f"l{i}": 0 for i in range(10)} | fields
    cli.sql(f"INSERT INTO rollup ({','.join(row)}) VALUES ({','.join('?' * len(row))})", *row.values())
    route = {k: v for k, v in row.items() if k not in ("user", "team", "role", "key")}
    added = ", ".join(f"{k} = {k} + excluded.{k}" for k in route if k not in ("hour", "alias", "provider"))
    cli.sql(f"INSERT INTO rollup_route ({','.join(route)}) VALUES ({','.join('?' * len(route))}) ON CONFLICT DO UPDATE SET {added}", *route.values())


def test_usage_sums_the_rollup_by_group(cli):
    roll(cli, cost=1_000_000_000)
    roll(cli, team="t", cost=500_000_000, unpriced=0)
    roll(cli, user="", alias="b", unpriced=1)
    roll(cli, ago_h=8 * 24)
    assert cli.json("usage") == [
        {"user": None, "requests": 1, "prompt_tokens": 10, "cached_tokens": 2, "completion_tokens": 5, "cost": None},
        {"user": "alice", "requests": 2, "prompt_tokens": 20, "cached_tokens": 4, "completion_tokens": 10, "cost": "1.50"}]
    assert [(r["model"], r["requests"]) for r in cli.json("usage", "--by", "model")] == [("a", 2), ("b", 1)]
    assert cli.json("usage", "--by", "key", "--since", "30d")[0]["requests"] == 4
    for by in ("team", "role", "provider"):
        assert by in cli.json("usage", "--by", by)[0]
    shown = cli.run("usage").stdout
    assert "REQUESTS" in shown and "UNPRICED" in shown
    assert "whole hour" in cli.run("usage", "--help").stdout


def test_usage_since_is_rounded_down_to_the_hour(cli):
    hour = int(time.time() * 1000) // HOUR * HOUR
    roll(cli, hour=hour - 3 * HOUR)
    roll(cli, hour=hour - 2 * HOUR)
    roll(cli, hour=hour - HOUR, requests=5)

    def at(ms):
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms / 1000)) + "Z"
    for since, requests in ((hour - 2 * HOUR, 6), (hour - HOUR - 1000, 6), (hour - HOUR, 5), (hour - 1000, 5)):
        assert cli.json("usage", "--since", at(since))[0]["requests"] == requests
    assert cli.json("usage", "--since", at(hour)) == []


def test_usage_agrees_with_the_audit_log_and_does_not_read_it(cli, gw):
    assert [gw.ask(), gw.ask("unpriced"), gw.ask("nothing")] == [200, 200, 404]
    rows = [json.loads(s) for s in cli.run("audit", "--json").stdout.splitlines()]
    by = {r["model"]: r for r in cli.json("usage", "--by", "model")}
    for r in rows[:2]:
        assert {k: by[r["alias"]][k] for k in ("prompt_tokens", "completion_tokens", "cost")} == {k: r[k] for k in ("prompt_tokens", "completion_tokens", "cost")}
    assert by["unpriced"]["cost"] is None and by["priced"]["cost"] != "0.00"
    assert cli.json("usage")[0]["requests"] == len(rows) == 3
    cli.sql("DELETE FROM audit")
    assert cli.json("usage")[0]["requests"] == 3


# ---- the books ----

def test_the_books_are_right_and_a_difference_exits_1(cli, gw):
    assert cli.json("ledger", "check") == {"limits_checked": 0, "differences": [], "open_tickets": 0}
    cli.run("limit", "set", "global", "--metric", "tokens", "--shape", "total", "--amount", "1000000")
    cli.run("limit", "set", "user/*", "--metric", "cost", "--shape", "calendar", "--period", "month", "--amount", "10")
    assert gw.ask() == 200
    assert cli.json("ledger", "check") == {"limits_checked": 2, "differences": [], "open_tickets": 0}
    assert cli.run("ledger", "check").stdout == "2 limits checked, 0 tickets open: no difference\n"
    (used, money), = cli.sql("SELECT (SELECT used FROM counter WHERE member = 'global'), (SELECT used FROM counter WHERE member = 'user/alice')")
    cli.sql("UPDATE counter SET used = used + 7, held = held + CASE member WHEN 'global' THEN 3 ELSE 0 END")
    found = json.loads(cli.run("ledger", "check", "--json", code=1).stdout)
    assert found["limits_checked"] == 2 and found["open_tickets"] == 0
    rows = {(d["scope"], d["what"]): d for d in found["differences"]}
    assert rows["global", "used"] == {"scope": "global", "metric": "tokens", "shape": "total", "what": "used", "stored": used + 7, "expected": used}
    assert rows["global", "held"] == {"scope": "global", "metric": "tokens", "shape": "total", "what": "held", "stored": 3, "expected": 0}
    wrong = rows["user/alice", "used"]
    assert (wrong["metric"], wrong["shape"]) == ("cost", "calendar") and [round(float(wrong[k]) * 1e9) for k in ("stored", "expected")] == [money + 7, money]
    assert len(rows) == 3
    shown = cli.run("ledger", "check", code=1).stdout
    assert "user/alice" in shown and "3 differences" in shown


# ---- tick ----

def test_tick_settles_what_a_killed_process_left(cli, gw, conf):
    cli.run("limit", "set", "user/alice", "--metric", "tokens", "--shape", "total", "--amount", "100000")
    cli.run("limit", "set", "team/data", "--metric", "concurrency", "--amount", "1")
    gw.die()
    assert cli.json("ledger", "check") == {"limits_checked": 2, "differences": [], "open_tickets": 1}
    held = limits(cli, "user/alice")[0]
    assert held["used"] == 0 and held["held"] > 0 and limits(cli, "team/data")[0]["held"] == 1
    status, detail = findings(cli, "--lighttpd", conf)["open tickets"]
    assert status == "warn" and "weir tick" in detail
    done = cli.json("tick")
    assert done["tickets_swept"] == 1 and done.keys() == {"tickets_swept", "counters_removed", "contents_deleted", "audit_rows_deleted", "sums_folded", "log_pages", "log_pages_moved",
                                                         "upstreams_probed", "upstreams_alive", "key_sets_fetched"}
    after = limits(cli, "user/alice")[0]
    assert after["held"] == 0 and after["used"] == held["held"] and limits(cli, "team/data")[0]["held"] == 0  # orphans=charge
    row = json.loads(cli.run("audit", "--json").stdout)
    assert (row["outcome"], row["status"], row["usage_source"]) == ("orphaned", 0, "estimated")
    assert cli.json("ledger", "check") == {"limits_checked": 2, "differences": [], "open_tickets": 0}
    assert cli.sql("SELECT count(*) FROM process") == [(0,)] and os.listdir(cli.data + "/proc") == []
    assert findings(cli, "--lighttpd", conf)["open tickets"][0] == "ok"
    assert cli.json("tick")["tickets_swept"] == 0


def test_tick_gives_back_where_orphans_are_released(cli, gw):
    cli.run("settings", "orphans", "release")
    cli.run("limit", "set", "user/alice", "--metric", "tokens", "--shape", "total", "--amount", "100000")
    gw.die()
    assert "tickets of dead processes settled: 1\n" in cli.run("tick").stdout
    assert [(r["used"], r["held"]) for r in limits(cli)] == [(0, 0)]


def test_tick_finds_no_content_where_a_process_was_killed(cli, gw):
    cli.run("settings", "audit_content", "all")
    gw.die()
    assert cli.json("tick")["tickets_swept"] == 1
    assert gw.ask() == 200
    (orphaned, kept), (ok, whole) = cli.sql("SELECT a.outcome, c.answer IS NOT NULL FROM audit a LEFT JOIN content c ON c.ticket = a.ticket ORDER BY a.id")
    assert (orphaned, kept, ok, whole) == ("orphaned", 0, "ok", 1)


def test_tick_leaves_the_living_alone(cli, gw):
    cli.run("limit", "set", "team/data", "--metric", "concurrency", "--amount", "1")
    process = gw.start("stream", stream=True)
    try:
        until("a request in flight", lambda: limits(cli)[0]["held"] == 1, 20)
        assert cli.json("tick")["tickets_swept"] == 0
        assert limits(cli)[0]["held"] == 1 and cli.json("ledger", "check")["open_tickets"] == 1
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_tick_forgets_every_dead_process_however_many(cli):
    db_rows = [(1, f"{i:032x}.lock") for i in range(700)]
    for chunk in range(0, 700, 350):
        part = db_rows[chunk:chunk + 350]
        cli.sql(f"INSERT INTO process (started, lock) VALUES {','.join(['(?, ?)'] * len(part))}", *itertools.chain(*part))
    cli.run("tick")
    assert cli.sql("SELECT count(*) FROM process") == [(0,)]


def test_tick_tidies_idle_counters_and_keeps_what_counts(cli, gw):
    cli.run("limit", "set", "user/*", "--metric", "requests", "--shape", "window", "--seconds", "1", "--amount", "5")
    cli.run("limit", "set", "user/*", "--metric", "tokens", "--shape", "total", "--amount", "1000000")
    assert gw.ask() == 200
    assert len(limits(cli, "--members")) == 4
    until("the window to have moved on", lambda: limits(cli, "user/*", "--members")[1]["used"] == 0, 20)
    until("a counter to be removed", lambda: cli.json("tick")["counters_removed"] == 1, 20)
    assert [(r["scope"], r["metric"]) for r in limits(cli, "--members")] == [("user/*", "requests"), ("user/*", "tokens"), ("user/alice", "tokens")]


def test_tick_keeps_the_audit_log_within_its_bounds_and_the_books_right(cli, gw):
    cli.run("limit", "set", "user/alice", "--metric", "tokens", "--shape", "total", "--amount", "1000000")
    for _ in range(3):
        assert gw.ask() == 200
    used = limits(cli)[0]["used"]
    for n in range(130):  # more than two steps
        note(cli, n, ago_s=400 * 86400)
    assert cli.json("tick")["audit_rows_deleted"] == 130
    assert cli.sql("SELECT count(*) FROM audit") == [(3,)]
    cli.run("settings", "audit_keep_rows", "1")
    assert "audit rows deleted: 2\n" in cli.run("tick").stdout
    assert cli.json("tick")["audit_rows_deleted"] == 0
    assert limits(cli)[0]["used"] == used and cli.json("ledger", "check") == {"limits_checked": 1, "differences": [], "open_tickets": 0}
    cli.run("settings", "audit_keep_rows", "0")
    cli.run("settings", "audit_keep_days", "0")
    note(cli, 1, ago_s=4000 * 86400)
    assert cli.json("tick")["audit_rows_deleted"] == 0


def test_tick_moves_the_log_into_the_database(cli):
    for n in range(20):
        note(cli, n)
    done = cli.json("tick")
    assert done["log_pages_moved"] == done["log_pages"] > 0


def test_tick_takes_its_turn_among_writers(cli, gw):
    """Requests go on while it works, and nobody is refused."""
    for n in range(400):
        note(cli, n, ago_s=400 * 86400)
    codes = []
    asker = threading.Thread(target=lambda: codes.extend(gw.ask() for _ in range(8)))
    asker.start()
    done = cli.json("tick")
    asker.join()
    assert codes == [200] * 8 and done["audit_rows_deleted"] == 400


def test_without_a_data_directory_the_ledgers_commands_refuse(bare):
    for args in (["limit", "list"], ["limit", "set", "global", "--metric", "tokens", "--shape", "total", "--amount", "1"], ["limit", "remove", "global", "--metric", "cost"],
                 ["limit", "reset", "global", "--metric", "cost"], ["usage"], ["ledger", "check"], ["tick"], ["prices"], ["prices", "import"]):
        done = bare.run(*args, code=1)
        assert "no database there" in done.stderr or "no master key there" in done.stderr
        assert not os.path.exists(bare.data)


# ---- prices ----

def routes(cli, *models):
    cli.apply({"providers": [{"name": "up", "dialect": "openai", "base_url": "https://a.example/v1"}, {"name": "groq", "dialect": "groq", "base_url": "https://g.example/v1"},
                             {"name": "az", "dialect": "azure", "base_url": "https://z.example/v1"}],
               "models": [{"alias": a, "targets": [{"provider": p, "model": m}]} | more for a, p, m, more in models]})


def prices(cli):
    return {r["alias"]: r["price"] for r in cli.json("prices")}


def price(*parts):
    return dict(zip(("input", "cached_input", "cache_write", "output"), parts))


LIST = """{"sample_spec": {"input_cost_per_token": 0.0000, "mode": "one of: chat, embedding", "max_tokens": "LEGACY parameter"},
 "alpha": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "cache_read_input_token_cost": 7.5e-08, "litellm_provider": "openai", "mode": "chat",
           "max_input_tokens": 128000, "max_output_tokens": 16384, "supports_vision": true},
 "beta": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3E-7, "cache_creation_input_token_cost": 0.00000375, "mode": "chat",
          "input_cost_per_token_above_200k_tokens": 6e-06},
 "tiers": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05, "cache_creation_input_token_cost_above_1hr": 6e-06, "mode": "responses",
           "input_cost_per_token_above_272k_tokens": 5e-06, "output_cost_per_token_above_272k_tokens": 2.25e-05, "cache_read_input_token_cost_above_272k_tokens": 5e-07,
           "input_cost_per_token_priority": 5e-06, "output_cost_per_token_priority": 3e-05, "cache_read_input_token_cost_priority": 5e-07,
           "input_cost_per_token_flex": 1.25e-06, "output_cost_per_token_flex": 7.5e-06, "input_cost_per_audio_token": 3.2e-05, "output_cost_per_audio_token": 6.4e-05,
           "search_context_cost_per_query": {"search_context_size_low": 0.025, "search_context_size_medium": 0.0275, "search_context_size_high": 0.03},
           "input_cost_per_token_batches": 1.25e-06, "cache_read_input_token_cost_flex": null},
 "lengths": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "input_cost_per_token_above_128k_tokens": 3e-06, "output_cost_per_token_above_128k_tokens": 4e-06,
             "input_cost_per_token_above_256k_tokens": 5e-06, "output_cost_per_token_above_256k_tokens": 6e-06},
 "noisy": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "input_cost_per_token_priority": 1.5000000000000002e-07},
 "groq/gamma": {"input_cost_per_token": 5e-08, "output_cost_per_token": 8e-08, "mode": "chat"}, "gamma": {"input_cost_per_token": 1, "output_cost_per_token": 1, "mode": "chat"},
 "vectors": {"input_cost_per_token": 2e-08, "mode": "embedding"}, "fine": {"input_cost_per_token": 1.5000000000000002e-07, "output_cost_per_token": 6e-07},
 "dear": {"input_cost_per_token": 1, "output_cost_per_token": 1e4}, "below": {"input_cost_per_token": -1e-07, "output_cost_per_token": 0}, "words": {"input_cost_per_token": "1e-7"},
 "half": {"input_cost_per_token": 1e-07, "mode": "chat"}, "image": {"input_cost_per_token": 1e-07, "output_cost_per_token": 1e-07, "mode": "image_generation"}, "list": [],
 "caf\\u00e9": {"input_cost_per_token": 0, "output_cost_per_token": 0}}"""


def test_prices_are_imported_to_the_digit(cli, tmp_path):
    routes(cli, ("alpha", "up", "x", {}), ("b", "up", "beta", {"max_output": 5}), ("g", "groq", "gamma", {}), ("v", "up", "vectors", {}), ("café", "up", "y", {}),
           ("kept", "up", "z", {"price": {"input": "1", "output": "1"}}), ("free", "up", "nowhere", {}), ("t", "up", "tiers", {}), ("l", "up", "lengths", {}))
    path = tmp_path / "prices.json"
    path.write_text(LIST)
    version = cli.version()
    expected = {"alpha": price("0.15", "0.075", "0.15", "0.60"), "b": price("3.00", "0.30", "3.75", "15.00") | {"long_above": 200000, "long_input": "6.00", "long_output": "15.00"}, "g": price("0.05", "0.05", "0.05", "0.08"),
                "v": price("0.02", "0.02", "0.02", "0.00"), "café": price("0.00", "0.00", "0.00", "0.00"), "kept": price("1.00", "1.00", "1.00", "1.00"), "free": None,
                "t": price("2.50", "2.50", "2.50", "15.00") | {"cache_write_1h": "6.00", "long_above": 272000, "long_input": "5.00", "long_output": "22.50", "long_cached_input": "0.50",
                                                               "priority_input": "5.00", "priority_output": "30.00", "priority_cached_input": "0.50", "flex_input": "1.25",
                                                               "flex_output": "7.50", "audio_input": "32.00", "audio_output": "64.00", "searches": "30.00"},
                "l": price("1.00", "1.00", "1.00", "2.00") | {"long_above": 128000, "long_input": "5.00", "long_output": "6.00"}}
    dry = cli.run("prices", "import", str(path), "--dry-run", "--json")
    assert cli.version() == version and prices(cli)["alpha"] is None and "dry run" in dry.stderr
    done = cli.run("prices", "import", str(path), "--json")
    assert json.loads(done.stdout) == json.loads(dry.stdout)
    assert {r["alias"]: r["price"] for r in json.loads(done.stdout)} == expected == prices(cli)
    assert {r["alias"]: (r["listed_as"], r["result"]) for r in json.loads(done.stdout)} == {
        "alpha": ("alpha", "set"), "b": ("beta", "set"), "g": ("groq/gamma", "set"), "v": ("vectors", "set"), "café": ("café", "set"), "kept": (None, "not listed"), "free": (None, "unpriced"),
        "t": ("tiers", "set"), "l": ("lengths", "set")}
    assert "7 set, 0 unchanged, 2 not in the list, 0 refused; 1 alias stays unpriced" in done.stderr
    assert "lengths: the list has prices for several lengths of prompt; the dearest is used" in done.stderr and "beta:" not in done.stderr
    assert cli.version() == version + 1
    again = cli.run("prices", "import", "-", feed=LIST)
    assert "0 set, 7 unchanged" in again.stderr and cli.version() == version + 1
    models = {m["alias"]: m for m in cli.json("model", "list")}
    assert models["alpha"]["max_output"] is None and models["alpha"]["targets"][0]["model"] == "x"
    cli.run("prices", "import", str(path), "--sizes")
    models = {m["alias"]: (m["context_window"], m["max_output"], m["price"]) for m in cli.json("model", "list")}
    assert models["alpha"] == (128000, 16384, expected["alpha"]) and models["b"][:2] == (None, 5)
    shown = cli.run("prices").stdout
    assert re.search(r"^free +unpriced", shown, re.M) and re.search(r"^b +3\.00 +0\.30 +3\.75 +15\.00", shown, re.M) and shown == cli.run("prices", "list").stdout
    assert re.search(r"^b .* long_above=200000 long_input=6\.00 long_output=15\.00$", shown, re.M) and re.search(r"^g .* -$", shown, re.M)
    exported = json.loads(cli.run("export").stdout)
    assert {m["alias"]: m.get("price") for m in exported["models"]} == expected | {"free": None}
    cli.apply(exported)
    assert prices(cli) == expected


def test_prices_that_do_not_fit_are_refused_by_name_and_the_others_taken(cli):
    bad = ["fine", "dear", "below", "words", "half", "image", "list", "noisy"]
    routes(cli, *((n, "up", "x", {"price": {"input": "7", "output": "7"}} if n == "dear" else {}) for n in [*bad, "alpha"]))
    done = cli.run("prices", "import", "-", "--json", feed=LIST, code=1)
    faults = {r["alias"]: r["fault"] for r in json.loads(done.stdout) if r["result"] == "refused"}
    assert sorted(faults) == sorted(bad)
    for name, field in (("fine", "input_cost_per_token: is finer"), ("dear", "output_cost_per_token: is above"), ("below", "input_cost_per_token: is below 0"),
                        ("words", "input_cost_per_token: must be a number"), ("half", "output_cost_per_token: is missing"), ("noisy", "input_cost_per_token_priority: is finer"), ("image", "mode"), ("list", "must be an object")):
        assert faults[name].startswith(field) and f"{name}: refused: {field}" in done.stderr
    found = prices(cli)
    assert found.pop("alpha") == price("0.15", "0.075", "0.15", "0.60") and found.pop("dear") == price("7.00", "7.00", "7.00", "7.00")
    assert set(found.values()) == {None}


@pytest.mark.parametrize("text, word", [("", "not JSON"), ("[]", "must be an object"), ('{"a": {}, "\\u0061": {}}', "twice"), ('{"a": 1e}', "not JSON")])
def test_a_list_that_is_none_is_refused_whole(cli, text, word):
    version = cli.version()
    assert word in cli.run("prices", "import", "-", feed=text, code=1).stderr
    assert cli.version() == version


def test_the_built_in_list(cli):
    routes(cli, ("gpt-4o-mini", "up", "gpt-4o-mini", {}), ("smart", "up", "gpt-4o", {}), ("mine", "az", "gpt-4o", {}), ("other", "up", "other", {}))
    done = cli.run("prices", "import", "--json")
    assert prices(cli) == {"gpt-4o-mini": price("0.15", "0.075", "0.15", "0.60"), "smart": price("2.50", "1.25", "2.50", "10.00"), "mine": None, "other": None}
    assert "as of" in done.stderr and "2 aliases stay unpriced" in done.stderr


def test_init_prices_what_it_adds_and_says_of_when(bare):
    done = bare.run("init", OPENAI_API_KEY="sk-a", ANTHROPIC_API_KEY="sk-b", GROQ_API_KEY="c", AZURE_OPENAI_API_KEY="d", AZURE_OPENAI_ENDPOINT="https://x.openai.azure.com",
                    GEMINI_API_KEY="e", OLLAMA_HOST="127.0.0.1")
    found = prices(bare)
    assert found["gpt-4o-mini"] == price("0.15", "0.075", "0.15", "0.60") and found["claude-sonnet-4-5"] == price("3.00", "0.30", "3.75", "15.00") | {
        "searches": "10.00", "long_above": 200000, "long_input": "6.00", "long_output": "22.50"}
    assert found["llama-3.1-8b"] == price("0.05", "0.05", "0.05", "0.08") and found["text-embedding-3-small"] == price("0.02", "0.02", "0.02", "0.00")
    assert {a for a, p in found.items() if p is None} == {"azure-gpt-4o-mini", "azure-gpt-4o", "llama3.2", "qwen3", "nomic-embed-text"}
    assert re.search(r"17 of them priced from the built-in list \(.*, as of \w+ 20\d\d\)", done.stderr)
    assert "unchanged" in bare.run("prices", "import").stderr and ", 0 unchanged" not in bare.run("prices", "import").stderr
    assert limits(bare) == []


def test_init_mock_gives_every_user_60_requests_a_minute_once(bare):
    bare.run("init", "--mock")
    assert [{k: r[k] for k in ("scope", "metric", "shape", "seconds", "limit", "mode")} for r in limits(bare)] == [
        {"scope": "user/*", "metric": "requests", "shape": "window", "seconds": 60, "limit": 60, "mode": "hard"}]
    assert prices(bare)["gpt-4o-mini"] == price("0.15", "0.075", "0.15", "0.60")
    bare.run("limit", "remove", "user/*", "--metric", "requests")
    bare.run("init", "--mock")
    assert limits(bare) == []


# ---- doctor ----

def test_doctor_finds_the_ledgers_time_ahead(cli, conf):
    assert findings(cli, "--lighttpd", conf)["ledger clock"][0] == "ok"
    cli.sql("UPDATE ledger_state SET time = ?", int(time.time() * 1000) + 50_000)
    assert findings(cli, "--lighttpd", conf)["ledger clock"][0] == "ok"
    cli.sql("UPDATE ledger_state SET time = ?", int(time.time() * 1000) + 3_700_000)
    status, detail = findings(cli, "--lighttpd", conf)["ledger clock"]
    assert status == "warn" and re.search(r"3[67]\d\d s ahead", detail)


def test_doctor_finds_limits_on_cost_over_models_without_a_price(cli, conf):
    cli.apply(MOCK)
    assert findings(cli, "--lighttpd", conf)["prices"][0] == "ok"
    cli.run("limit", "set", "user/*", "--metric", "cost", "--shape", "total", "--amount", "5", "--mode", "observe")
    assert findings(cli, "--lighttpd", conf)["prices"][0] == "ok"
    cli.run("limit", "set", "user/*", "--metric", "cost", "--shape", "total", "--amount", "5")
    status, detail = findings(cli, "--lighttpd", conf)["prices"]
    assert status == "warn" and "unpriced" in detail and "model_price_unknown" in detail
