"""The bench's third part: what the answer cache saves, and what it costs.

    cache      hits beside relayed requests; hits among 100,000 entries beside hits among one; putting into a full cache
"""
import json
import os
import sqlite3
import subprocess

from ledger import closing, cpu_us, make_side, measure, median, rate_of, ratio

# The targets of the project's seventh issue.
CPU_RATIO, THROUGHPUT_RATIO, GROWTH, PAUSE_MS = 0.6, 1.6, 1.1, 20
ENTRIES = 100000
FILL = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
          INSERT INTO entry (hash, used, hits, created, expires, gone, bytes, form, provider, model, name, body)
          SELECT randomblob(32), used, 0, created, expires, gone, bytes, form, provider, model, name, body FROM n, (SELECT * FROM entry LIMIT 1)"""


def cached(bench):
    """The same aliases, with a cache."""
    path = os.path.join(bench.dir, "cached.json")
    document = json.loads(bench.weir("export"))
    with open(path, "w") as f:
        json.dump({"models": [m | {"cache_ttl": 3600} for m in document["models"]]}, f)
    bench.weir("apply", path)


def fill(bench, entries):
    with sqlite3.connect(f"{bench.data}/cache.db", timeout=10) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute(FILL.format(entries))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def full_cache(run):
    """Pauses of those who put into a full cache and of those who look, in milliseconds: the longest."""
    directory = os.path.join(run.bench.dir, "full")
    os.mkdir(directory)
    done = subprocess.run([os.path.join(run.bench.build, "bench/cache"), directory], stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def cache(run, args):
    sides = [make_side(run, name, []) for name in ("relayed", "hits", "many")]
    for side in sides[1:]:
        cached(side.bench)
    try:
        for side in sides:
            side.start()
        fill(sides[2].bench, ENTRIES // (100 if args.quick else 1))
        many = measure(run, sides, ["--model", "bench-plain", "--connections", "32"], args.seconds, args.rounds)
        streams = measure(run, sides[:2], ["--model", "bench-sse-5-0", "--stream", "--connections", "32"], args.seconds, args.rounds)
    finally:
        closing(run, sides)
    full = full_cache(run)
    lines = [("32 connections", ["", "relayed", "hits"])]
    for title, rounds in (("short chat", many), ("stream of 5", streams)):
        cpu, fast = ratio(rounds, "hits", "relayed", cpu_us), ratio(rounds, "hits", "relayed", rate_of)
        lines += [(f"  {title}: gateway CPU a request", ["", *(f"{median(rounds, n, cpu_us):.0f} us" for n in ("relayed", "hits"))],
                   f"{cpu:.2f}", f"<= {CPU_RATIO}", cpu <= CPU_RATIO),
                  (f"  {title}: requests a second", ["", *(f"{median(rounds, n, rate_of):,.0f}" for n in ("relayed", "hits"))],
                   f"{fast:.2f}", f">= {THROUGHPUT_RATIO}", fast >= THROUGHPUT_RATIO)]
    grown = ratio(many, "many", "hits", cpu_us)
    lines += [(f"  {ENTRIES:,} entries beside one: CPU a hit", ["", *(f"{median(many, n, cpu_us):.0f} us" for n in ("hits", "many"))],
               f"{grown:.2f}", f"< {GROWTH}", grown < GROWTH), ("full cache, the longest pause", ["", "put", "look-up"])]
    longest = [full[n]["max"] / 1000 for n in ("put", "get")]
    return [*lines, ("  of 20,000 puts, and look-ups meanwhile", ["", *(f"{ms:.1f} ms" for ms in longest)], f"{max(longest):.1f} ms", f"<= {PAUSE_MS} ms",
                     max(longest) <= PAUSE_MS)]


GROUPS = {"cache": cache}
