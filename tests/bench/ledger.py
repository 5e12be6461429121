"""The bench's second part: what an exact ledger costs, on gateways that differ in one thing and are measured in turn.

    limits     five limits on each request, beside none
    growth     100,000 keys, 100,000 limits, 2,000,000 audit rows, beside 200 of each: 200 callers in turn
    tail       Weir's checkpointer beside SQLite's autocheckpoint, at half of saturation
    wal        the largest the log file gets in 60 s of saturation
    processes  two web servers with a responder each on one data directory, beside one, at half of one's saturation

Each group gives lines for the table: (title, three values, ratio, target, reached). Ratios and differences are medians
over the rounds, each of two runs side by side in time, so that other load on the machine strikes both.
"""
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import threading

from gateway import Failed, PATH, spawn

CALLERS = 200
MANY = "1000000000000000"
FIVE = [["user/*", "--metric", "requests", "--shape", "window", "--seconds", "60", "--amount", MANY],
        ["team/load", "--metric", "tokens", "--shape", "bucket", "--capacity", MANY, "--refill", "1000000"],
        ["team/load", "--metric", "tokens", "--shape", "calendar", "--period", "month", "--amount", MANY],
        ["global", "--metric", "tokens", "--shape", "total", "--amount", MANY],
        ["key/*", "--metric", "concurrency", "--amount", "1000000"]]
# The targets of the project's third issue.
THROUGHPUT_RATIO, MORE_CPU_US, MORE_P50_US, GROWTH, WAL_MB, TWO_RATIO = 0.85, 25, 120, 1.1, 80, 2.0
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {} - 1) "
FILLS = {
    "keys": [NUMBERS.format(CALLERS, 100000) + """INSERT INTO client_key (name, user, team, created)
                 SELECT 'c' || i, 'u' || i, 'load', 0 FROM n""",
             """INSERT INTO client_secret (hash, key_id) SELECT randomblob(32), id FROM client_key
                 WHERE id NOT IN (SELECT key_id FROM client_secret)"""],
    "limits": [NUMBERS.format(CALLERS, 100000) + """INSERT INTO limit_rule (scope, metric, shape, amount, created)
                   SELECT 'user/u' || i, 'tokens', 'total', 1000000000000000, 0 FROM n"""],
    "rows": [NUMBERS.format(0, 2000000) + """INSERT INTO audit (time, request_id, user, team, key, ip, endpoint, alias, provider,
                 model, stream, status, outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens,
                 completion_tokens, cost, usage_source, first_byte_ms, latency_ms)
                 SELECT unixepoch() * 1000 - 8000000 + i * 4, 'req-' || i, 'u' || i % 1000, 'load', 'c' || i % 1000, '192.0.2.1',
                 '/v1/chat/completions', 'bench-plain', 'bench', 'plain', 0, 200, 'ok', 1, 'bypass', 60, 0, 0, 20, NULL, 'provider',
                 5, 9 FROM n"""],
}


class Side:
    """A gateway with its own data directory, and what was measured on it."""

    def __init__(self, name, bench):
        self.name, self.bench, self.running, self.figures, self.sent = name, bench, [], [], 0
        self.rows_before = bench.audit_rows()
        self.keys = None

    def start(self, **env):
        server = self.bench.start_weir(**env)
        server.name = self.name
        server.keys = self.keys
        server.wait_ready()
        self.sent += server.answered
        self.running.append(server)

    def stop(self):
        for server in self.running:
            server.stop()

    def check(self, run):
        """Every request has its row, and the ledger's books are right."""
        rows = self.bench.audit_rows() - self.rows_before
        if rows != self.sent:
            run.errors.append(f"{self.name}: {rows:,} audit rows of {self.sent:,} requests")
        try:
            self.bench.weir("ledger", "check")
        except Failed as e:
            run.errors.append(f"{self.name}: {e}")


def make_side(run, name, limits=FIVE):
    bench = run.bench.another(name)
    bench.init_weir()
    for limit in limits:
        bench.weir("limit", "set", *limit)
    return Side(name, bench)


def measure(run, sides, what, seconds, rounds):
    """Each side once a round, in turn: a list of rounds, each {name: figures}."""
    got = []
    for r in range(rounds):
        got.append({})
        for side in sides[r % len(sides):] + sides[:r % len(sides)]:
            x = run.load(side.running[0], [*what, "--seconds", str(seconds), "--warmup", str(min(0.3, seconds / 3)), "--timeout", "10"],
                         seconds + 15)
            side.sent += x["all_requests"]
            got[-1][side.name] = x
    return got


def p50(x):
    return x["latency_us"]["p50"]


def cpu_us(x):
    return x["gateway_cpu"] * 1e6 / max(x["all_requests"], 1)


def rate_of(x):
    return x["per_second"]


def median(rounds, name, of):
    return statistics.median(of(r[name]) for r in rounds)


def ratio(rounds, name, to, of):
    return statistics.median(of(r[name]) / of(r[to]) for r in rounds)


def more(rounds, name, than, of):
    return statistics.median(of(r[name]) - of(r[than]) for r in rounds)


def closing(run, sides):
    for side in sides:
        side.stop()
    for side in sides:
        side.check(run)


# ---- groups ----------------------------------------------------------------------------------------------------------

def limits(run, args):
    sides = [make_side(run, "without", []), make_side(run, "five")]
    try:
        for side in sides:
            side.start()
        many = measure(run, sides, ["--model", "bench-plain", "--connections", "32"], args.seconds * 1.5, args.rounds)
        one = measure(run, sides, ["--model", "bench-plain"], args.seconds, args.rounds)
    finally:
        closing(run, sides)
    fast, us, wait = ratio(many, "five", "without", rate_of), more(many, "five", "without", cpu_us), more(one, "five", "without", p50)

    def values(rounds, of, unit):
        return ["", *(f"{median(rounds, n, of):,.0f}{unit}" for n in ("without", "five"))]
    return [("five limits on each request", ["", "none", "five"]),
            ("  requests a second, 32 connections", values(many, rate_of, ""), f"{fast:.2f}", f">= {THROUGHPUT_RATIO}", fast >= THROUGHPUT_RATIO),
            ("  gateway CPU a request, 32 connections", values(many, cpu_us, " us"), f"{us:+.0f} us", f"<= {MORE_CPU_US} us", us <= MORE_CPU_US),
            ("  p50, 1 connection", values(one, p50, " us"), f"{wait:+.0f} us", f"<= {MORE_P50_US} us", wait <= MORE_P50_US)]


def fill(bench, statements):
    with sqlite3.connect(f"{bench.data}/weir.db", timeout=10) as db:
        db.execute("PRAGMA synchronous = OFF")
        for s in statements:
            db.execute(s)
        db.execute("UPDATE config_version SET version = version + 1")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def growth(run, args):
    few = make_side(run, "few")
    keys = os.path.join(few.bench.dir, "keys")
    with open(keys, "w") as f:
        for i in range(CALLERS):
            f.write(few.bench.weir("key", "create", "--name", f"c{i}", "--user", f"u{i}", "--team", "load"))
    fill(few.bench, [FILLS["limits"][0].replace(NUMBERS.format(CALLERS, 100000), NUMBERS.format(0, CALLERS))])
    sides = [few]
    for name, statements in FILLS.items():
        bench = run.bench.another(name)
        shutil.copytree(few.bench.data, bench.data)
        bench.key = few.bench.key
        fill(bench, [s.replace("2000000", "20000") if args.quick else s for s in statements])
        sides.append(Side(name, bench))
    try:
        for side in sides:
            side.keys = keys
            side.start()
        many = measure(run, sides, ["--model", "bench-plain", "--connections", "32"], args.seconds, args.rounds)
        one = measure(run, sides, ["--model", "bench-plain"], args.seconds, args.rounds)
    finally:
        closing(run, sides)
    lines = [(f"{CALLERS} callers in turn, each with six limits", ["", "few", "many"])]
    for name, title in (("keys", "100,000 keys"), ("limits", "100,000 limits"), ("rows", "2,000,000 rows")):
        for rounds, of, what in ((many, cpu_us, "CPU, 32 connections"), (one, p50, "p50, 1 connection")):
            times = ratio(rounds, name, "few", of)
            lines.append((f"  {title}: {what}", ["", *(f"{median(rounds, n, of):.0f} us" for n in ("few", name))], f"{times:.2f}",
                          f"< {GROWTH}", times < GROWTH))
    return lines


class LogSize:
    """Watches the largest the log file gets."""

    def __init__(self, side):
        self.path, self.most, self.over = f"{side.bench.data}/weir.db-wal", 0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.over.wait(0.05):
            try:
                self.most = max(self.most, os.path.getsize(self.path))
            except FileNotFoundError:
                pass

    def mb(self):
        self.over.set()
        self.thread.join()
        return self.most / 1e6


def saturation(run, side, args):
    """Requests a second at 32 connections; the load that a group offers is half of it."""
    return statistics.median(rate_of(r[side.name]) for r in measure(run, [side], ["--model", "bench-plain", "--connections", "32"],
                                                                    args.seconds, 3))


def tail(run, args):
    own, auto = sides = [make_side(run, "own"), make_side(run, "auto")]
    try:
        own.start()
        auto.start(LD_PRELOAD=os.path.join(run.bench.build, "bench/autocheckpoint.so"))
        sizes = [LogSize(s) for s in sides]
        rate = saturation(run, own, args) / 2
        rounds = measure(run, sides, ["--model", "bench-plain", "--connections", "256", "--rate", f"{rate:.0f}"], args.seconds * 3, args.rounds)
        own_mb, auto_mb = (s.mb() for s in sizes)
    finally:
        closing(run, sides)
    lines = [(f"half of saturation, {rate:,.0f} requests a second", ["", "autocheckpoint", "own"])]
    for mark, name in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
        of = lambda x: x["latency_us"][mark] / 1000
        lines.append((f"  {name}", ["", *(f"{median(rounds, n, of):.2f} ms" for n in ("auto", "own"))], f"{ratio(rounds, 'own', 'auto', of):.2f}"))
    return [*lines, ("  log file, largest", ["", f"{auto_mb:.0f} MB", f"{own_mb:.0f} MB"])]


def wal(run, args):
    side = make_side(run, "wal")
    seconds = 2 if args.quick else 60
    try:
        side.start()
        size = LogSize(side)
        got = measure(run, [side], ["--model", "bench-plain", "--connections", "32"], seconds, 1)[0]["wal"]
        most = size.mb()
    finally:
        closing(run, [side])
    return [(f"{seconds} s of saturation, {got['per_second']:,.0f} requests a second", ["", "", ""]),
            ("  log file, largest", ["", "", f"{most:.0f} MB"], "", f"<= {WAL_MB} MB", most <= WAL_MB)]


def offered(run, side, rate, seconds):
    """One load spread evenly over the side's servers, at the same time: the worst of their figures."""
    share = f"{rate / len(side.running):.0f}"
    loads = [spawn([os.path.join(run.bench.build, "bench/load"), "--url", f"http://127.0.0.1:{s.port}{PATH}", "--header",
                    f"authorization: Bearer {s.key}", "--model", "bench-plain", "--connections", "256", "--rate", share, "--seconds",
                    str(seconds), "--warmup", "0.3", "--timeout", "10"], run.bench.load_core, stdout=subprocess.PIPE, text=True)
             for s in side.running]
    got = [json.loads(p.communicate(timeout=seconds + 20)[0]) for p in loads]
    for x in got:
        side.sent += x["all_requests"]
        if any(x["errors"].values()):
            run.errors.append(f"{side.name}: {x['errors']} of {x['all_requests']}")
    return {mark: max(x["latency_us"][mark] for x in got) / 1000 for mark in ("p50", "p99", "p999")}


def busy_told(side):
    """Lines of the log that say something was late or refused for a busy database."""
    with open(os.path.join(side.bench.dir, "weir.log"), errors="replace") as f:
        return sum("database_" in text or "audit_row_late" in text for text in f)


def processes(run, args):
    one, two = sides = [make_side(run, "one"), make_side(run, "two")]
    rounds = []
    try:
        one.start()
        two.start()
        two.start()
        rate = saturation(run, one, args) / 2
        for r in range(args.rounds):
            rounds.append({s.name: offered(run, s, rate, args.seconds * 2) for s in (sides if r % 2 else sides[::-1])})
    finally:
        closing(run, sides)
    lines = [(f"{rate:,.0f} requests a second, half of saturation", ["", "1 process", "2 processes"])]
    for mark, name in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
        times = ratio(rounds, "two", "one", lambda x: x[mark])
        target = (f"< {TWO_RATIO:g}", times < TWO_RATIO) if mark == "p99" else ()
        lines.append((f"  {name}", ["", *(f"{median(rounds, n, lambda x: x[mark]):.2f} ms" for n in ("one", "two"))], f"{times:.2f}", *target))
    busy = busy_told(one) + busy_told(two)
    return [*lines, ("  told of a busy database", ["", "", str(busy)], "", "0", busy == 0)]


GROUPS = {"limits": limits, "growth": growth, "tail": tail, "wal": wal, "processes": processes}
