"""The ledger when everything goes on at once, and when things break: callers that race for the last token, processes that
are killed or ended, a database that others write, a disk that is full.

Each test has a data directory of its own. After it nothing is held, no ticket is open, every counter is what rows and
providers say, and the books agree.
"""
import asyncio
import collections
import contextlib
import decimal
import fcntl
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time

import httpx2
import pytest

import behaviours
import harness
from harness import MESSAGES, SLOW, Gateway, Web, exited, is_whole, until, when
from test_abort import leave

NANO = 10 ** 9
PRICE = {"input": "1", "cached_input": "1", "cache_write": "1", "output": "2"}


def nano(text):
    return int(decimal.Decimal(text) * NANO)


# ---- many callers ----
class Answer:
    def __init__(self, request_id, stream, status, headers, body):
        self.id, self.stream, self.status, self.headers, self.body = request_id, stream, status, headers, body
        self.whole = status == 200 and is_whole(stream, body)

    @property
    def code(self):
        return json.loads(self.body)["error"]["code"] if self.status != 200 else None


class Callers:
    """Clients at one or several web servers, in one event loop."""

    def __init__(self, bases, secret, most=256):
        self.bases, self.count = bases, itertools.count(1)
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
        self.http = harness.http_client(httpx2.AsyncClient, timeout=30 * SLOW, limits=limits, headers={"authorization": f"Bearer {secret}"})
        self.mark = f"c{os.getpid()}-{id(self) % 10 ** 6}"

    async def ask(self, alias, stream=False, path="/chat/completions", **fields):
        """None where the connection broke."""
        n = next(self.count)
        request_id = f"{self.mark}-{n}"
        body = {"model": alias, "messages": MESSAGES, "stream": stream} if path == "/chat/completions" else {"model": alias}
        try:
            r = await self.http.post(self.bases[n % len(self.bases)] + path, json=body | fields, headers={"x-request-id": request_id})
            return Answer(request_id, stream, r.status_code, r.headers, r.content)
        except httpx2.HTTPError:
            return None


def run(bases, secret, what, seconds=60):
    """Runs what(callers) to its end."""
    async def all_of_it():
        callers = Callers(bases, secret)
        async with callers.http:
            return await asyncio.wait_for(what(callers), seconds * SLOW)
    return asyncio.run(all_of_it())


# ---- what is looked at ----
def reported(gw, alias=None):
    """Usage that the provider itself reported since the test began."""
    names = set(alias.models) if alias else None
    return [e["usage"] for e in gw.mock.seen(since=gw.seen_before) if e["usage"] and (names is None or e["model"] in names)]


def total(usages):
    return sum(u["prompt_tokens"] + u.get("completion_tokens", 0) for u in usages)


def counter(site, scope, metric):
    """(used, held) of a limit that has one counter."""
    rows = site.query("select c.used, c.held from counter c join limit_rule r on r.id = c.rule where r.scope = ? and r.metric = ?", scope, metric)
    assert len(rows) == 1, rows
    return rows[0]


def settled(site, seconds=5.0):
    until("no ticket to be open", lambda: site.open_tickets() == 0, seconds)
    assert site.query("select member, held from counter where held <> 0") == []
    assert site.books() == 0
    db = sqlite3.connect(f"{site.data}/weir.db")
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()


def sums_are_counters(site, scopes):
    """Every limit that counts for ever has counted what the audit rows say."""
    prompt, completion, cost = site.query("select sum(prompt_tokens), sum(completion_tokens), sum(coalesce(cost, 0)) from audit")[0]
    for scope in scopes:
        assert counter(site, scope, "tokens") == (prompt + completion, 0), scope
        assert counter(site, scope, "cost") == (cost, 0), scope


def log_is_quiet(gw, *more):
    """Nobody met a busy database, and nothing was written late."""
    log = gw.web.log.read_text(errors="replace")
    for word in ("busy", "locked", "audit_row_late", "Sanitizer") + more:
        assert word not in log, [line for line in log.splitlines() if word in line][:5]


@pytest.fixture
def own(make_site, mock):
    """Gateways on data directories of the test's own, looked at by the test itself."""
    webs = []

    def make(site=None, **env):
        w = Web(site or make_site(), **env)
        webs.append(w)
        w.start()
        return Gateway(w, mock, "flow", harness.SECRET)
    yield make
    for w in webs:
        w.stop()


def limit(scope, metric, amount, shape="total", **fields):
    one = {"scope": scope, "metric": metric, "shape": shape, "amount": f"{decimal.Decimal(amount).scaleb(-9):f}" if metric == "cost" else amount}
    if metric == "concurrency":
        del one["shape"]
    return one | fields


# ---- races ----
def test_64_callers_at_two_processes_never_pass_a_hard_limit_and_can_use_it(own):
    """All ask at once, plain and streamed, of a provider that takes its time, for more than there is, until each was told
    that no time will help. Six rounds of that: each raises the limit."""
    gw = own()
    second = own(gw.site)
    plain, streamed = gw.alias("slow:40", price=PRICE), gw.alias("stream:15:4", price=PRICE)
    rounds, share = 6, 2000  # 64 answers cost more than that
    amount = rounds * share
    gw.site.apply({"limits": [
        limit("team/looms", "tokens", share), limit("user/*", "tokens", 10 * amount, mode="soft"), limit("global", "cost", 10 * NANO),
        limit("key/flow", "concurrency", 500), limit("model/*", "requests", 10 ** 6, "window", seconds=60),
        limit("provider/mock", "tokens", 10 * amount)]})

    async def race(callers):
        async def one(i):
            answers = []
            while not answers or answers[-1] is None or answers[-1].code != "insufficient_quota":
                answers.append(await callers.ask(streamed if i % 2 else plain, stream=i % 2 == 1, max_tokens=20))
                if answers[-1].status == 429:
                    await asyncio.sleep(0.01)
            return answers
        return sum(await asyncio.gather(*(one(i) for i in range(64))), [])
    answers = []
    for i in range(rounds):
        gw.site.apply({"limits": [limit("team/looms", "tokens", (i + 1) * share)]})
        answers += run([gw.base, second.base], gw.secret, race)
        assert share * (i + 0.8) <= total(reported(gw)) <= share * (i + 1)
    assert {a.status for a in answers} == {200, 429} and {a.code for a in answers} <= {None, "rate_limit_exceeded", "insufficient_quota"}
    assert all(a.whole for a in answers if a.status == 200)
    assert {a.stream for a in answers if a.status == 200} == {False, True}
    settled(gw.site)
    told = total(reported(gw))
    assert 0.8 * amount <= told <= amount, told
    assert counter(gw.site, "team/looms", "tokens") == counter(gw.site, "user/*", "tokens") == (told, 0)
    assert counter(gw.site, "provider/mock", "tokens") == (told, 0)
    assert gw.site.query("select sum(used) from counter where member glob 'model/*'") == [(sum(a.status == 200 for a in answers),)]
    sums_are_counters(gw.site, [])
    rows = gw.site.audit()
    assert collections.Counter(r["request_id"] for r in rows) == collections.Counter(a.id for a in answers)
    log_is_quiet(gw)
    log_is_quiet(second)


@pytest.mark.parametrize("cache_ttl", [0, 600], ids=["fetched", "hits"])
def test_requests_of_a_hard_limit_are_given_out_to_the_last_one_by_two_processes(own, cache_ttl):
    gw = own()
    second = own(gw.site)
    alias = gw.alias("ok", "ok", cache_ttl=cache_ttl)
    assert gw.chat(alias).status_code == 200
    gw.site.apply({"limits": [limit("user/ada", "requests", 150), limit("global", "requests", 10 ** 6)]})

    async def race(callers):
        return await asyncio.gather(*(callers.ask(alias, stream=i % 2 == 1) for i in range(220)))
    answers = run([gw.base, second.base], gw.secret, race)
    assert collections.Counter(a.status for a in answers) == {200: 150, 429: 70} and all(a.whole for a in answers if a.status == 200)
    assert {a.headers["x-weir-cache"] for a in answers if a.status == 200} <= ({"hit"} if cache_ttl else {"bypass"})
    rows = gw.site.audit()[1:]
    assert {r["request_id"]: (r["status"], r["outcome"]) for r in rows} == {a.id: (a.status, "ok" if a.status == 200 else "refused") for a in answers}
    assert len(rows) == len(answers) == 220
    settled(gw.site)
    assert counter(gw.site, "user/ada", "requests") == counter(gw.site, "global", "requests") == (150, 0)


# ---- short answers ----
# Whoever has written the row of a short answer sends it: so many (BOUND_SENT) wait for that without a thread, the others in
# their own.
SENT = 64


def short(gw, **fields):
    """An alias that keeps its answers, with one that is kept; and one that does not, whose answers wait at the gate that is
    returned."""
    gate = gw.gate()
    kept, fetched = gw.alias("ok", cache_ttl=600, **fields), gw.alias(f"gated:{gate}", **fields)
    until("a hit", lambda: gw.chat(kept).headers["x-weir-cache"] == "hit")
    return kept, fetched, gate


def open_files(pid):
    names = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(os.readlink(fd))
    return names


def accepted(pid):
    """Connections of the web server that a responder has."""
    sockets = {}
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and "weir" in words[7]:
            sockets[f"socket:[{words[6]}]"] = words[3]
    return sum(sockets.get(name) == "00000000" for name in open_files(pid))


def threads(pid):
    return int(re.search(r"Threads:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def text_of(answer):
    return json.loads(answer.body)["choices"][0]["message"]["content"] if not answer.stream else harness.text_of(harness.events(answer.body))


@pytest.mark.parametrize("kind", ["hits", "fetched"])
def test_200_short_answers_at_once_have_their_rows_before_they_are_read(own, kind):
    """The database is held until all are under way, more of them than may be sent by another. Each is looked for in the
    database as soon as its end was read."""
    n = 200
    gw = own()
    kept, fetched, gate = short(gw, price=PRICE)
    gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 9), limit("user/ada", "requests", 10 ** 6), limit("global", "cost", 10 ** 12)]})
    pid, = gw.web.responders()
    db = sqlite3.connect(f"file:{gw.site.data}/weir.db?mode=ro", uri=True, timeout=10)
    missing, seen = [], []

    async def load(callers):
        async def one(i):
            stream = i % 4 == 3
            a = await callers.ask(kept if kind == "hits" else fetched, stream=stream, **({} if kind == "hits" else {"seed": i}))
            seen.append(a)
            if not db.execute("select count(*) from audit where request_id = ?", (a.id,)).fetchone()[0]:
                missing.append(a.id)
            if i % 20 == 0:
                told = len(seen)
                r = await callers.http.get(gw.base + "/usage")
                line = next(x for x in r.json()["limits"] if x["metric"] == "requests")
                assert line["used"] >= told, (line, told)
            return a
        calls = [asyncio.create_task(one(i)) for i in range(n)]
        if kind == "fetched":
            await when(lambda: len(gw.mock.seen(fetched.first)) == n)
        with locked(gw.site, "transaction"):
            gw.mock.go(gate)
            await when(lambda: sum(e["answered_at"] is not None for e in gw.mock.seen(fetched.first)) == n if kind == "fetched" else accepted(pid) >= n)
            assert kind == "fetched" or threads(pid) >= n - SENT
        return await asyncio.gather(*calls)
    answers = run([gw.base], gw.secret, load)
    assert all(a.whole and text_of(a) == "".join(behaviours.WORDS) for a in answers)
    assert all(a.headers["x-weir-cache"] == ("hit" if kind == "hits" else "bypass") for a in answers)
    assert missing == [], f"{len(missing)} answers were there before their rows"
    db.close()
    settled(gw.site)
    rows = collections.Counter(r["request_id"] for r in gw.site.audit())
    assert {a.id: rows[a.id] for a in answers} == {a.id: 1 for a in answers} and len({a.id for a in answers}) == n
    assert counter(gw.site, "user/ada", "requests") == (n, 0) and len(gw.seen(kept)) == 1
    if kind == "fetched":
        assert len(gw.seen(fetched)) == n and counter(gw.site, "user/ada", "tokens") == (total(reported(gw, fetched)), 0)
    log_is_quiet(gw)


@pytest.mark.parametrize("kind", ["hits", "fetched"])
def test_200_clients_that_leave_before_their_short_answer_leave_nothing_behind(own, kind):
    """Every other one is reset. All are under way when they go: the database, or the provider, is released only then. As many
    that stayed have shown before how many connections to a provider such a crowd leaves."""
    n = 200
    gw = own()
    kept, fetched, gate = short(gw)
    pid, = gw.web.responders()

    def descriptors():
        names = open_files(pid)
        sockets = sum(name.startswith("socket:") for name in names)
        return sockets, len(names) - sockets
    others = descriptors()[1]

    def held():
        return locked(gw.site, "transaction") if kind == "hits" else contextlib.nullcontext()

    async def stay(callers):
        with held():
            calls = [asyncio.create_task(callers.ask(kept if kind == "hits" else fetched)) for _ in range(n)]
            await when(lambda: accepted(pid) == n and (kind == "hits" or len(gw.mock.seen(fetched.first)) == n))
        gw.mock.go(gate)
        return await asyncio.gather(*calls)
    assert all(a.whole for a in run([gw.base], gw.secret, stay))
    until("their connections to be closed", lambda: accepted(pid) == 0)
    sockets = descriptors()[0]

    gate = gw.gate()
    fetched, before = gw.alias(f"gated:{gate}"), gw.site.mark()
    gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 9), limit("user/ada", "requests", 10 ** 6), limit("user/ada", "concurrency", 1000)]})
    with held():
        left = [leave(gw, {"model": kept if kind == "hits" else fetched, "messages": MESSAGES, "stream": i % 4 == 3}) for i in range(n)]
        until("all to be under way", lambda: accepted(pid) == n and (kind == "hits" or len(gw.mock.seen(fetched.first)) == n), 10)
        for s in left[::2]:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for s in left:
            s.close()
    gw.mock.go(gate)
    until("their connections to be closed", lambda: accepted(pid) == 0, 10)
    settled(gw.site)
    # What is opened once and kept: eight readers of the database, eight of the cache, each with its log.
    until("their descriptors to be closed", lambda: descriptors()[0] <= sockets + 32 and descriptors()[1] <= others + 34)
    rows = gw.site.audit(before)
    assert collections.Counter(r["request_id"] for r in rows) == {s.id: 1 for s in gw.sent[-n:]}
    assert {r["outcome"] for r in rows} <= ({"ok"} if kind == "hits" else {"ok", "cancelled"})
    assert counter(gw.site, "user/ada", "requests") == (n, 0)
    assert gw.chat(kept).headers["x-weir-cache"] == "hit" and gw.web.responders() == [pid]
    log_is_quiet(gw)


# ---- exactness ----
EXACT = {  # behaviours of the targets, in order: streamed or not
    "plain": (["ok"], False), "gzip": (["gzip"], False), "long": (["long:20000"], False), "stream": (["stream:20"], True),
    "finish": (["usage-in-finish"], True), "everywhere": (["usage-everywhere"], True), "groq": (["groq-usage"], True),
    "tools": (["tool-deltas"], True), "torn": (["split-random:7"], True), "over": (["status:500", "ok"], False),
    "over-stream": (["cut-role", "error-event-first", "ok"], True), "unsent": (["refused/ok", "ok"], False),
    "lost": (["stream-as-json", "ok"], True),
    "bad": (["status:400"], False), "down": (["status:503", "status:500"], False), "vectors": (["ok"], None),
}


def test_2000_mixed_requests_are_charged_to_the_token_and_the_nano_dollar(own):
    gw = own()
    rnd, aliases, prices = random.Random(3), {}, {}
    for name, (targets, _) in EXACT.items():
        for i in range(2):
            parts = [rnd.randrange(1, 10 ** 10) for _ in range(4)]
            price = dict(zip(("input", "cached_input", "cache_write", "output"), (f"{decimal.Decimal(p).scaleb(-9):f}" for p in parts), strict=True))
            aliases[name, i] = gw.alias(*targets, price=price)
            prices[aliases[name, i]] = parts
    scopes = ["global", "team/looms", "user/ada"]
    gw.site.apply({"limits": [limit(s, m, 10 ** 15) for s in scopes for m in ("tokens", "cost")] +
                   [limit("key/*", "tokens", 10 ** 12, "window", seconds=3600), limit("role/dev", "cost", 10 ** 15, "calendar", period="month"),
                    limit("user/ada", "requests", 10 ** 6), limit("provider/mock", "tokens", 10 ** 12, mode="soft")]})
    asked = {}

    async def load(callers):
        names = list(aliases) * 67
        rnd.shuffle(names)
        work = iter(list(enumerate(names[:2000])))

        async def one():
            for n, key in work:
                stream, words = EXACT[key[0]][1], f"request {n}. " + "x" * rnd.randrange(200)
                if stream is None:
                    a = await callers.ask(aliases[key], path="/embeddings", input=words)
                else:
                    a = await callers.ask(aliases[key], stream=stream, messages=[{"role": "user", "content": words}], max_tokens=50)
                assert a is not None
                asked[n] = (a, aliases[key])
        await asyncio.gather(*(one() for _ in range(32)))
    run([gw.base], gw.secret, load, 90)
    assert len(asked) == 2000
    settled(gw.site)
    told = collections.defaultdict(list)
    for e in gw.mock.seen(since=gw.seen_before):
        if e["method"] != "POST":
            continue  # a probe of the provider's health
        words = e["json"].get("input") or e["json"]["messages"][0]["content"]
        if e["usage"]:
            told[int(words.split(" ", 2)[1].rstrip("."))].append(e["usage"])
    rows = {r["request_id"]: r for r in gw.site.audit()}
    assert len(rows) == 2000
    for n, (a, alias) in asked.items():
        row, used = rows[a.id], told.get(n, [])
        per_input, per_cached, _, per_output = prices[alias]
        cached = sum(u.get("prompt_tokens_details", {}).get("cached_tokens", 0) for u in used)
        prompt, completion = sum(u["prompt_tokens"] for u in used), sum(u.get("completion_tokens", 0) for u in used)
        cost = -(-(per_input * (prompt - cached) + per_cached * cached + per_output * completion) // 10 ** 6)
        assert row["status"] == a.status and (a.status == 200) == (row["outcome"] == "ok") == bool(used), (row, used)
        assert (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"]) == (prompt, cached, completion), (row, used)
        assert nano(row["cost"]) == cost, (row, used, prices[alias])
        assert row["usage_source"] == ("provider" if used else "none")
    assert sum(a.status == 200 for a, _ in asked.values()) > 1500
    every = [u for us in told.values() for u in us]
    assert counter(gw.site, "global", "tokens") == counter(gw.site, "key/*", "tokens") == counter(gw.site, "provider/mock", "tokens") == (total(every), 0)
    sums_are_counters(gw.site, scopes)
    assert counter(gw.site, "role/dev", "cost") == counter(gw.site, "global", "cost")
    admitted = sum("x-weir-attempts" in a.headers for a, _ in asked.values())  # not those that every open breaker refused
    assert counter(gw.site, "user/ada", "requests") == (admitted, 0) and admitted > 1500
    sums = gw.site.query("select sum(requests), sum(prompt_tokens + completion_tokens), sum(cost) from rollup")[0]
    assert sums == (2000, total(every), counter(gw.site, "global", "cost")[0])
    log_is_quiet(gw)


# ---- processes that end ----
@pytest.mark.timeout(240)
def test_20_kills_under_load_leave_nothing_held_and_nothing_uncharged(own):
    """What a killed process held is charged and marked; whoever has a whole answer has an exact row; then the rest of the
    limit can be used, and no more."""
    live, kills = 40, 20
    gw = own()
    streamed, plain = gw.alias("stream:8:10", price=PRICE), gw.alias("slow:80", price=PRICE)
    scopes = ["team/looms", "user/ada"]
    gw.site.apply({"limits": [limit(s, m, 10 ** 9) for s in scopes for m in ("tokens", "cost")] +
                   [limit("key/flow", "concurrency", 1000), limit("global", "tokens", 10 ** 9, "window", seconds=3600)]})
    answered, stop = [], []

    async def load(callers):
        async def one(i):
            while not stop:
                a = await callers.ask(streamed if i % 2 else plain, stream=i % 2 == 1, max_tokens=20)
                if a is not None and a.whole:
                    answered.append(a.id)
                elif a is None or a.status != 200:
                    await asyncio.sleep(0.02)  # cut off, or lighttpd's own 500 and 503 while there is no process

        async def more():
            wanted = len(answered) + live
            await when(lambda: len(answered) >= wanted)

        async def killer():
            for _ in range(kills):
                await more()
                pids = gw.web.responders()
                assert pids
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            await more()
            stop.append(True)
        tasks = [asyncio.create_task(one(i)) for i in range(live)]
        try:
            await killer()
        finally:
            stop.append(True)
            await asyncio.gather(*tasks)
    run([gw.base], gw.secret, load, 120)
    settled(gw.site, 5)
    rows = collections.defaultdict(list)
    for r in gw.site.audit():
        rows[r["request_id"]].append(r)
    assert all(len(r) == 1 for r in rows.values()), "a request with two rows"
    orphans = [r[0] for r in rows.values() if r[0]["outcome"] == "orphaned"]
    assert len(orphans) >= kills, f"only {len(orphans)} orphans: nothing was in flight when it was killed"
    assert all(rows[i][0]["outcome"] == "ok" and rows[i][0]["usage_source"] == "provider" for i in answered)
    for r in orphans:
        assert r["usage_source"] == "estimated" and r["status"] == 0 and r["prompt_tokens"] > 0 and r["completion_tokens"] == 20, r
        assert nano(r["cost"]) == r["prompt_tokens"] * 1000 + r["completion_tokens"] * 2000
    used, held = counter(gw.site, "team/looms", "tokens")
    assert total(reported(gw)) <= used and held == 0
    sums_are_counters(gw.site, scopes)
    assert counter(gw.site, "global", "tokens")[0] == used
    # the rest
    amount = used + 3000
    gw.site.apply({"limits": [limit("team/looms", "tokens", amount)]})

    async def rest(callers):
        async def one(i):
            while True:
                a = await callers.ask(streamed if i % 2 else plain, stream=i % 2 == 1, max_tokens=20)
                if a is not None and a.code == "insufficient_quota":
                    return
        await asyncio.gather(*(one(i) for i in range(8)))
    run([gw.base], gw.secret, rest, 20)
    settled(gw.site)
    assert amount - 300 <= counter(gw.site, "team/looms", "tokens")[0] <= amount


def test_released_orphans_count_as_requests_and_cost_nothing(own):
    gw = own()
    gw.site.weir("settings", "orphans", "release")
    gate = gw.gate()
    alias = gw.alias(f"gated:{gate}")
    gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 6), limit("user/ada", "requests", 100), limit("user/ada", "concurrency", 10)]})

    async def load(callers):
        calls = [asyncio.create_task(callers.ask(alias, stream=i % 2 == 1)) for i in range(6)]
        await when(lambda: len(gw.mock.seen(alias.first)) >= 6)
        for pid in gw.web.responders():
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*calls)
    run([gw.base], gw.secret, load)
    assert counter(gw.site, "user/ada", "tokens")[1] > 0
    until("a process to be there again", gw.web.alive, 5)
    settled(gw.site, 5)
    gw.mock.go(gate)
    assert counter(gw.site, "user/ada", "tokens") == (0, 0) and counter(gw.site, "user/ada", "requests") == (6, 0)
    assert [(r["outcome"], r["usage_source"], r["prompt_tokens"] + r["completion_tokens"]) for r in gw.site.audit()] == [("orphaned", "none", 0)] * 6


def test_a_second_process_sweeps_what_a_killed_one_held(own):
    """Nobody has to come back for it: another that lives does it, within 5 s."""
    gw = own()
    second = own(gw.site)
    gate = gw.gate()
    alias = gw.alias(f"gated:{gate}")
    gw.site.apply({"limits": [limit("global", "tokens", 10 ** 6), limit("global", "concurrency", 4)]})

    async def load(callers):
        calls = [asyncio.create_task(callers.ask(alias)) for _ in range(4)]
        await when(lambda: len(gw.mock.seen(alias.first)) >= 4)
        pids = gw.web.responders()
        os.kill(gw.web.process.pid, signal.SIGSTOP)  # lighttpd shall not start another
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        await when(lambda: not gw.site.open_tickets())
        assert time.monotonic() - killed < 5 * SLOW
        os.kill(gw.web.process.pid, signal.SIGCONT)
        await asyncio.gather(*calls)
    try:
        run([gw.base], gw.secret, load, 20)
    finally:
        os.kill(gw.web.process.pid, signal.SIGCONT)
    gw.mock.go(gate)
    settled(gw.site)
    assert second.chat(gw.alias("ok")).status_code == 200, "concurrency has not healed"
    assert [r["outcome"] for r in gw.site.audit()] == ["orphaned"] * 4 + ["ok"]


def test_sigterm_during_streams_settles_them_all(own):
    """Those that end in time by their usage, those that do not by what was delivered."""
    gw = own(WEIR_DRAIN_S=1)
    gate = gw.gate()
    quick, stuck, plain = gw.alias(f"gated:{gate}", price=PRICE), gw.alias("stall-mid", price=PRICE), gw.alias(f"gated:{gate}", price=PRICE)
    scopes = ["user/ada"]
    gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 7), limit("user/ada", "cost", 10 ** 12), limit("user/ada", "concurrency", 100)]})

    async def load(callers):
        calls = [asyncio.create_task(callers.ask(a, stream=a != plain)) for a in (quick, stuck, plain) * 8]
        await when(lambda: sum(len(gw.mock.seen(a.first)) for a in (quick, stuck, plain)) == 24 and
                   all(len(e["sent"]) >= 3 for a in (quick, stuck) for e in gw.mock.seen(a.first)))
        pid, = gw.web.responders()
        os.kill(pid, signal.SIGTERM)
        gw.mock.go(gate)
        answers = await asyncio.gather(*calls)
        await when(lambda: exited(pid))
        return answers
    answers = run([gw.base], gw.secret, load, 20)
    assert [a is not None and a.whole for a in answers] == [True, False, True] * 8
    settled(gw.site, 0.5)
    rows = gw.site.audit()
    assert collections.Counter((r["alias"], r["outcome"]) for r in rows) == {(quick, "ok"): 8, (plain, "ok"): 8, (stuck, "truncated"): 8}
    delivered = -(-len("".join(behaviours.WORDS[:3])) // 4)
    assert {(r["completion_tokens"], r["usage_source"]) for r in rows if r["alias"] == stuck} == {(delivered, "estimated")}
    assert sum(r["prompt_tokens"] + r["completion_tokens"] for r in rows if r["outcome"] == "ok") == total(reported(gw))
    sums_are_counters(gw.site, scopes)
    assert "signaled" not in gw.web.log.read_text()


@pytest.mark.parametrize("lasts", [False, True])
def test_sigterm_while_short_answers_wait_for_the_database_ends_them_all(own, lasts):
    """Those without a thread are waited for as if each had one. If the database is given back, all are answered; if not, what
    was fetched waits no longer than else, has its row all the same, and hits are refused once the time to stop is over."""
    hits, fetches = (20, 40) if lasts else (80, 80)
    gw = own(WEIR_DRAIN_S=1 if lasts else 10)
    kept, fetched, gate = short(gw)
    gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 9), limit("user/ada", "requests", 10 ** 6), limit("user/ada", "concurrency", 1000)]})
    pid, = gw.web.responders()
    took = {kept: [], fetched: []}

    async def load(callers):
        async def one(alias, **fields):
            a = await callers.ask(alias, **fields)
            took[alias].append(time.monotonic() - begun)
            return a
        calls = [asyncio.create_task(one(fetched, seed=i)) for i in range(fetches)]
        await when(lambda: len(gw.mock.seen(fetched.first)) == fetches)
        with locked(gw.site, "transaction"):
            begun = time.monotonic()
            calls += [asyncio.create_task(one(kept)) for _ in range(hits)]
            await when(lambda: accepted(pid) == hits + fetches)
            gw.mock.go(gate)
            await when(lambda: all(e["answered_at"] is not None for e in gw.mock.seen(fetched.first)))
            os.kill(pid, signal.SIGTERM)
            if lasts:
                await asyncio.wait(calls)
            await when(lambda: time.monotonic() - begun > 1)
            assert lasts or took == {kept: [], fetched: []}
        given_back = time.monotonic()
        answers = await asyncio.gather(*calls)
        await when(lambda: exited(pid))
        assert time.monotonic() - given_back < 5 * SLOW
        return answers
    answers = run([gw.base], gw.secret, load, 20)
    told = [a for a in answers if a.status == 200]
    assert all(a.whole and text_of(a) == "".join(behaviours.WORDS) for a in told) and len(told) == fetches + (0 if lasts else hits)
    assert all((a.status, a.code) == (507, "storage_full") for a in answers if a not in told)
    if lasts:
        assert min(took[fetched]) > 2 and max(took[fetched]) < 4 * SLOW and max(took[kept]) < 8 * SLOW, took
    settled(gw.site, 0.5)
    rows = gw.site.audit()[-len(told):]
    assert collections.Counter(r["request_id"] for r in rows) == {a.id: 1 for a in told}
    assert collections.Counter((r["cache"], r["outcome"]) for r in rows) == collections.Counter({("hit", "ok"): len(told) - fetches, ("bypass", "ok"): fetches})
    assert counter(gw.site, "user/ada", "requests") == (len(told), 0)
    assert counter(gw.site, "user/ada", "tokens") == (total(reported(gw, fetched)), 0)
    log = gw.web.log.read_text()
    assert "signaled" not in log and "requests_left_behind" not in log


# ---- a database that others write ----
@contextlib.contextmanager
def locked(site, how):
    """Holds the right to write as another program would."""
    if how == "transaction":
        db = sqlite3.connect(f"{site.data}/weir.db", isolation_level=None, timeout=10)
        db.execute("begin immediate")
        try:
            yield
        finally:
            db.execute("rollback")
            db.close()
    else:
        fd = os.open(f"{site.data}/writer.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(fd)


class Stream(threading.Thread):
    """A streamed request; .whole when it has ended."""

    def __init__(self, gw, alias):
        super().__init__(daemon=True)
        self.gw, self.alias, self.begun, self.whole, self.status = gw, alias, threading.Event(), None, None
        self.http = gw.http()
        self.start()

    def run(self):
        body = b""
        with contextlib.suppress(httpx2.HTTPError), \
                self.http.stream("POST", "/v1/chat/completions", json={"model": self.alias, "messages": MESSAGES, "stream": True}) as r:
            self.status = r.status_code
            for part in r.iter_bytes():
                body += part
                self.begun.set()
        self.whole = is_whole(True, body)
        self.begun.set()


SHORT = 70  # more than those whose end waits without a thread


@pytest.mark.parametrize("how", ["transaction", "flock"])
def test_another_s_lock_for_5_s_delays_requests_ends_streams_and_loses_nothing(own, how):
    gw = own()
    gate = gw.gate()
    streamed, alias = gw.alias(f"gated:{gate}", price=PRICE), gw.alias("ok", price=PRICE)
    gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 7), limit("user/ada", "cost", 10 ** 12), limit("user/ada", "requests", 1000),
                              limit("user/ada", "concurrency", 100)]})
    streams = [Stream(gw, streamed) for _ in range(4)]
    for s in streams:
        assert s.begun.wait(5 * SLOW)
    answers, told = [], []
    short = [threading.Thread(target=lambda: told.append((gw.chat(streamed), time.monotonic()))) for _ in range(SHORT)]
    for t in short:
        t.start()
    gw.mock.asked(streamed.first, 4 + SHORT)
    with locked(gw.site, how):
        begun = time.monotonic()
        waiting = [threading.Thread(target=lambda: answers.append(gw.chat(alias))) for _ in range(8)]
        for t in waiting:
            t.start()
        gw.mock.go(gate)
        for s in streams:
            s.join(4 * SLOW)
            assert s.whole, "a stream in flight waits for the database"
        for t in short:
            t.join(4 * SLOW)
        assert [(r.status_code, r.json()["choices"][0]["message"]["content"]) for r, _ in told] == [(200, "".join(behaviours.WORDS))] * SHORT
        assert all(2 < at - begun < 4 * SLOW for _, at in told), "a short answer that was fetched waits for the database"
        until("5 s with the lock", lambda: time.monotonic() - begun > 5, 6)
        assert answers == [] and gw.seen(alias) == [], "something went upstream that is not booked"
        assert gw.site.open_tickets() == 4 + SHORT
    for t in waiting:
        t.join(5 * SLOW)
    assert [r.status_code for r in answers] == [200] * 8
    settled(gw.site)
    rows = gw.site.audit()
    assert collections.Counter((r["alias"], r["outcome"]) for r in rows) == {(streamed, "ok"): 4 + SHORT, (alias, "ok"): 8}
    assert len({r["request_id"] for r in rows}) == len(rows) == 12 + SHORT
    assert counter(gw.site, "user/ada", "tokens") == (total(reported(gw)), 0) and counter(gw.site, "user/ada", "requests") == (12 + SHORT, 0)
    sums_are_counters(gw.site, ["user/ada"])


def test_a_lock_that_does_not_end_is_507_and_what_was_refused_is_not_booked_later(own):
    gw = own()
    alias, kept = gw.alias("ok"), gw.alias("ok", cache_ttl=600)
    assert gw.chat(alias).status_code == 200
    until("a hit", lambda: gw.chat(kept).headers["x-weir-cache"] == "hit")
    gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 7), limit("user/ada", "requests", 1000)]})
    before, pid = gw.site.count(), gw.web.responders()
    answers = []
    with locked(gw.site, "transaction"):
        begun = time.monotonic()
        waiting = [threading.Thread(target=lambda a=a, i=i: answers.append(gw.chat(a, stream=i % 8 == 7))) for a, n in ((kept, SHORT), (alias, 5)) for i in range(n)]
        for t in waiting:
            t.start()
        for t in waiting:
            t.join(14 * SLOW)
        assert [(r.status_code, r.json()["error"]["code"]) for r in answers] == [(507, "storage_full")] * len(waiting)
        assert 9.5 < time.monotonic() - begun < 13 * SLOW
        assert accepted(pid[0]) == 0
    until("a request to succeed", lambda: gw.chat(alias).status_code == 200, 5)
    until("a hit", lambda: gw.chat(kept, stream=True).headers["x-weir-cache"] == "hit", 5)
    settled(gw.site)
    assert len(gw.seen(alias)) == 2 and len(gw.seen(kept)) == 1 and gw.web.responders() == pid
    assert counter(gw.site, "user/ada", "requests") == (2, 0)
    assert [r["status"] for r in gw.site.audit()[before:] if r["status"] != 507] == [200, 200]


def test_an_answer_that_waits_for_its_row_is_told_in_time_though_the_process_stops(own):
    """Its stop waits for a stream; the answer does not."""
    gw = own(WEIR_DRAIN_S=20)
    gates = gw.gate(), gw.gate()
    plain, streamed = (gw.alias(f"gated:{g}") for g in gates)
    stream = Stream(gw, streamed)
    assert stream.begun.wait(5 * SLOW)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(gw.chat(plain)))
    asking.start()
    gw.mock.asked(plain.first)
    with locked(gw.site, "flock"):
        gw.mock.go(gates[0])
        until("the provider to have answered", lambda: gw.mock.seen(plain.first)[0]["usage"])
        pid, = gw.web.responders()
        os.kill(pid, signal.SIGTERM)
        asking.join(6 * SLOW)
        assert [r.status_code for r in answers] == [200]
    gw.mock.go(gates[1])
    until("the process to end", lambda: exited(pid))
    assert stream.whole
    settled(gw.site)
    assert collections.Counter((r["alias"], r["outcome"]) for r in gw.site.audit()) == {(plain, "ok"): 1, (streamed, "ok"): 1}


def test_what_waits_for_its_row_holds_a_thread_if_it_is_large(own):
    """So the memory of requests is bounded by the number of threads."""
    gw = own(WEIR_THREADS_MAX=2)
    answers = []
    large = [{"role": "user", "content": "x" * 100000}]
    with locked(gw.site, "flock"):
        waiting = [threading.Thread(target=lambda: answers.append(gw.chat("nobody", messages=large))) for _ in range(2)]
        for t in waiting:
            t.start()
        until("both threads to be held", lambda: not any(gw.web.alive() for _ in range(5)))
    for t in waiting:
        t.join(5 * SLOW)
    assert [r.status_code for r in answers] == [404, 404]


def test_two_processes_at_half_load_meet_no_busy_database(own):
    """About 200 requests a second, half at each, with limits on all of them; another program writes now and then."""
    gw = own(WEIR_LOG_LEVEL="debug")
    second = own(gw.site, WEIR_LOG_LEVEL="debug")
    alias = gw.alias("ok", price=PRICE)
    gw.site.apply({"limits": [limit(s, m, 10 ** 12) for s in ("global", "user/*", "team/*") for m in ("tokens", "cost")]})

    async def load(callers):
        answers, end = [], time.monotonic() + 3

        async def one(i):
            while time.monotonic() < end:
                answers.append(await callers.ask(alias, stream=i % 2 == 1))
                await asyncio.sleep(0.02)
        for n in range(3):
            gw.site.apply({"limits": [limit("role/none", "requests", 5 + n)]})
        await asyncio.gather(*(one(i) for i in range(6)))
        return answers
    answers = run([gw.base, second.base], gw.secret, load)
    assert len(answers) > 100 and all(a is not None and a.whole for a in answers)
    settled(gw.site)
    assert counter(gw.site, "global", "tokens")[0] == total(reported(gw))
    for g in (gw, second):
        log_is_quiet(g)


# ---- a disk that is full ----
@pytest.fixture
def small_disk():
    """A directory with 6 MB of room."""
    folder = tempfile.mkdtemp(prefix="weir-disk-", dir="/tmp")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        os.rmdir(folder)
        pytest.skip(f"mount is not permitted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    os.rmdir(folder)


def fill(path):
    """Until not a byte more fits."""
    with open(path, "ab", buffering=0) as f:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while f.write(b"x" * size):
                    pass


def test_a_full_disk_is_507_sends_nothing_upstream_and_heals_by_itself(own, make_site, small_disk):
    site = make_site()
    shutil.copytree(site.data, f"{small_disk}/d")
    home, site.data = site.data, f"{small_disk}/d"
    try:
        gw = own(site)
        gate = gw.gate()
        alias, streamed = gw.alias("ok", price=PRICE), gw.alias(f"gated:{gate}", price=PRICE)
        kept = gw.alias("ok", price=PRICE, cache_ttl=600)
        gw.site.apply({"limits": [limit("user/ada", "tokens", 10 ** 7), limit("user/ada", "cost", 10 ** 12), limit("user/ada", "requests", 10 ** 6),
                                  limit("user/ada", "concurrency", 100)]})
        until("a hit", lambda: gw.chat(kept).headers["x-weir-cache"] == "hit")
        assert gw.chat(alias).status_code == 200
        streams = [Stream(gw, streamed) for _ in range(3)]
        for s in streams:
            assert s.begun.wait(5 * SLOW)
        told, http, codes, hits = [], gw.http(), [200], []
        short = [threading.Thread(target=lambda: told.append(gw.chat(streamed))) for _ in range(8)]
        for t in short:
            t.start()
        gw.mock.asked(streamed.first, 11)

        def is_refused(of, heard):
            fill(f"{small_disk}/ballast")
            r = gw.chat(of, http)
            heard.append(r.status_code)
            assert r.status_code in (200, 507), r.text
            return r.status_code == 507 and r.json()["error"]["code"] == "storage_full"
        until("a hit to be refused", lambda: is_refused(kept, hits), 20)
        until("a request to be refused", lambda: is_refused(alias, codes), 20)
        before = len(gw.seen(alias))
        assert before == codes.count(200)
        for _ in range(20):
            for of in (alias, kept):
                r = gw.chat(of, http)
                assert (r.status_code, r.json()["error"]["code"]) == (507, "storage_full")
        assert len(gw.seen(alias)) == before, "sent upstream though it could not be booked"
        assert http.get("/readyz").status_code == 503
        gw.mock.go(gate)
        for s in streams:
            s.join(8 * SLOW)
            assert s.whole, "a stream in flight does not end on a full disk"
        for t in short:
            t.join(8 * SLOW)
        assert [r.json()["choices"][0]["message"]["content"] for r in told] == ["".join(behaviours.WORDS)] * 8
        os.unlink(f"{small_disk}/ballast")
        until("a request to succeed", lambda: gw.chat(alias, http).status_code == 200, 10)
        assert gw.chat(kept, http).headers["x-weir-cache"] == "hit" and http.get("/readyz").status_code == 200
        settled(gw.site)
        rows = gw.site.audit()
        of_kept = [r["cache"] for r in rows if r["alias"] == kept and r["status"] == 200]
        assert of_kept.count("miss") == 1 and len(of_kept) >= hits.count(200) + 3
        assert {r["status"] for r in rows} == {200}, "what was refused has a row"
        assert sum(r["alias"] == streamed and r["outcome"] == "ok" for r in rows) == 11, "what ended while the disk was full has no row"
        assert sum(r["status"] == 200 for r in rows) == len(gw.seen(alias)) + 11 + len(of_kept)
        assert counter(gw.site, "user/ada", "tokens") == (total(reported(gw)), 0)
        assert counter(gw.site, "user/ada", "requests") == (len(gw.seen(alias)) + 11 + len(of_kept), 0)
        sums_are_counters(gw.site, ["user/ada"])
        gw.web.stop()
    finally:
        site.data = home
