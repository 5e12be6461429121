#!/usr/bin/env python3
"""make bench: what Weir costs beside lighttpd's own mod_proxy, on the same load and the same fast upstream.

    python3 tests/bench/run.py                 the whole bench, some twelve minutes
    python3 tests/bench/run.py gateway         what the whole gateway costs, under six minutes
    python3 tests/bench/run.py cache           what the answer cache saves and costs
    python3 tests/bench/run.py ledger          what the ledger costs: its groups limits, growth, tail, wal, processes
    python3 tests/bench/run.py tail wal        some groups
    python3 tests/bench/run.py --quick         some seconds: does the harness work? (its figures mean nothing)
    python3 tests/bench/run.py --only chat32 --rounds 9 --seconds 5     one measure, longer
    python3 tests/bench/run.py --only chat32 --sides weir --seconds 20  to hold a load on Weir while profiling it

Needs tests/bench's load and upstream built (make bench does it) in $WEIR_BUILD/bench (default build/bench), lighttpd, and
weir.fcgi and weir in $WEIR_BUILD. Everything runs on loopback, in a temporary directory, and ends by itself.

How it measures. The load tool and the upstream share one core; the gateway (lighttpd, and for Weir its responder) has
the other to itself. Each round measures every side once, directly, through mod_proxy, through Weir, beginning with another
side each round; the table shows medians over the rounds, and ratios of medians. CPU a request is the CPU time of all the
gateway's processes (their CPU clocks, so ended threads count) over all requests of a run. Added time is the side's
median less the direct one's. Errors of any kind are shown and make the exit status 1; a target not reached does not.
mod_proxy has the connection limits of Weir's lighttpd.conf; it opens a connection to the upstream for each request, as it is.

The measures of group gateway (--only takes them by name; those of the others are told in tests/bench/ledger.py):
    chat32   short chat, 32 connections: throughput, CPU a request
    chat1    short chat, 1 connection: latency
    stream1  a stream of 5 events 1 ms apart, 1 connection: first streamed byte
    prompt1  200 KB prompt, 1 connection        answer1  200 KB answer, 1 connection
    streams  2,000 streams open together, one event a second for 20 s, WEIR_THREADS_MAX=2200: errors, delay, memory
    cold     from starting lighttpd to the first 200; and from exec of the responder to its first answer
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import answers
import gateway
import ledger
import routes
from gateway import Bench, Failed, cpu_seconds, memory_mb

MEASURES = {  # name: what the load tool is told
    "chat32": ["--model", "bench-plain", "--connections", "32"],
    "chat1": ["--model", "bench-plain"],
    "stream1": ["--model", "bench-sse-5-1", "--stream"],
    "prompt1": ["--model", "bench-plain", "--prompt-bytes", "200000"],
    "answer1": ["--model", "bench-big"],
}
TITLES = {"chat32": "short chat, 32 connections", "chat1": "short chat, 1 connection", "stream1": "stream, 1 connection",
          "prompt1": "200 KB prompt, 1 connection", "answer1": "200 KB answer, 1 connection"}
CHECKS = [("bench-plain", False), ("bench-big", False), ("bench-sse-5-0", True), ("bench-sse-5-1", True)]  # model, streamed?
SIDES = ["direct", "mod_proxy", "weir"]
GROUPS = ledger.GROUPS | answers.GROUPS | routes.GROUPS
# The targets of the project's second issue; CPU of the third, for with the ledger no request goes without it.
CPU_RATIO, THROUGHPUT_RATIO, ADDED_RATIO = 2.2, 0.55, 1.8
STREAMS_MB, IDLE_MB, COLD_MS = 130, 25, 100
HEADROOM = 5


def jiffies(core):
    """Busy and stolen seconds of a core since boot."""
    with open("/proc/stat") as f:
        for line in f:
            if line.startswith(f"cpu{core} "):
                t = [int(x) / os.sysconf("SC_CLK_TCK") for x in line.split()[1:9]]
                return t[0] + t[1] + t[2] + t[5] + t[6], t[7]
    return 0.0, 0.0


class Run:
    """All the figures of one bench."""

    def __init__(self, bench, args):
        self.bench, self.args = bench, args
        self.figures = {}        # (measure, side): list of what one load run gave
        self.errors = []
        self.foreign = []        # share of a core used by neither side
        self.stolen = 0.0
        self.notes = {}
        self.ledger = {}         # group: lines of the table
        self.sent_to_weir = 0

    def load(self, side, what, seconds_max):
        """One run of the load tool against a running side: its JSON, with CPU times added."""
        b = self.bench
        argv = [os.path.join(b.build, "bench/load"), "--url", f"http://127.0.0.1:{side.port}{gateway.PATH}",
                *(["--keys", side.keys] if side.keys else ["--header", f"authorization: Bearer {side.key}"]), *what]
        ours = [] if side is b.upstream else side.pids()
        before, upstream_before = cpu_seconds(ours), cpu_seconds([b.upstream.process.pid])
        cores = [jiffies(c) for c in (b.load_core, b.gateway_core)]
        used = os.times()
        begin = time.monotonic()
        p = gateway.spawn(argv, b.load_core, stdout=subprocess.PIPE, text=True)
        try:
            out, _ = p.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            raise Failed(f"the load tool did not end: {' '.join(what)}")
        wall = time.monotonic() - begin
        if p.returncode not in (0, 1) or not out:
            raise Failed(f"the load tool failed with {p.returncode}")
        now = os.times()
        got = json.loads(out)
        got["load_cpu"] = now.children_user + now.children_system - used.children_user - used.children_system
        got["gateway_cpu"] = cpu_seconds(ours) - before
        got["upstream_cpu"] = cpu_seconds([b.upstream.process.pid]) - upstream_before
        got["wall"] = wall
        self.account(side, what, got, [(x[0] - y[0], x[1] - y[1]) for x, y in zip([jiffies(c) for c in (b.load_core, b.gateway_core)], cores)])
        return got

    def account(self, side, what, got, cores):
        """Keeps errors, and how busy the cores were with what is not ours."""
        if side.name == "weir":
            self.sent_to_weir += got["all_requests"]
        known = got["load_cpu"] + got["upstream_cpu"] + got["gateway_cpu"]
        self.foreign.append((sum(c[0] for c in cores) - known) / (2 * got["wall"]))
        self.stolen += sum(c[1] for c in cores)
        if any(got["errors"].values()):
            text = ", ".join(f"{n} {kind}" for kind, n in got["errors"].items() if n)
            self.errors.append(f"{side.name}, {' '.join(what)}: {text} of {got['all_requests']}"
                               + (f" (first status {got['first_bad_status']})" if got["first_bad_status"] else ""))

    def ready(self, side):
        if side.name == "weir":
            self.sent_to_weir += side.answered

    def rounds(self, sides):
        names = [m for m in MEASURES if m in self.args.only]
        for r in range(self.args.rounds):
            for m in names:
                seconds = self.args.seconds * (1.5 if m == "chat32" else 1)
                turn = sides[r % len(sides):] + sides[:r % len(sides)]
                for side in turn:
                    what = [*MEASURES[m], "--seconds", str(seconds), "--warmup", str(min(0.3, seconds / 3)), "--timeout", "10"]
                    self.figures.setdefault((m, side.name), []).append(self.load(side, what, seconds + 15))
            tell(f"round {r + 1} of {self.args.rounds}")

    def median(self, measure, side, of):
        runs = self.figures.get((measure, side))
        return statistics.median(of(x) for x in runs) if runs else None


def tell(text):
    print(text, file=sys.stderr, flush=True)


def same_answers(bench, sides):
    """Each side must give what the upstream gives, before its speed counts. Stamps in streams differ."""
    for model, stream in CHECKS:
        want = None
        for side in sides:
            status, body = gateway.post(side.port, model, side.key, stream)
            body = re.sub(rb"@\d{20}", b"@", body)
            want = want or body
            if status != 200 or body != want:
                raise Failed(f"{side.name}: {model} gave {status}, {len(body)} bytes, not the upstream's {len(want)}: {body[:300]!r}")


def idle_memory(run, weir):
    time.sleep(0.5)
    for name, pids in (("responder", weir.responders()), ("web server", [weir.process.pid])):
        run.notes[f"idle {name}"] = sum(memory_mb(p, "VmRSS") for p in pids)


def many_streams(run, side):
    n, events = (50, 4) if run.args.quick else (2000, 21)
    what = ["--model", f"bench-sse-{events}-1000", "--stream", "--once", "--connections", str(n), "--ramp", "0.5" if run.args.quick else "2",
            "--events", str(events), "--timeout", str(events + 15), "--max", str(events + 20)]
    got = run.load(side, what, events + 30)
    got["streams"] = n
    for p in side.responders():
        got["responder_peak_mb"] = got.get("responder_peak_mb", 0) + memory_mb(p, "VmHWM")
    got["web_peak_mb"] = memory_mb(side.process.pid, "VmHWM")
    run.figures[("streams", side.name)] = [got]


def cold_starts(run, with_weir):
    times = {}
    for _ in range(1 if run.args.quick else 5):
        for name, start in (("mod_proxy", run.bench.start_proxy), ("weir", run.bench.start_weir)):
            if name == "weir" and not with_weir:
                continue
            begin = time.monotonic()
            side = start()
            try:
                side.wait_ready()
                times.setdefault(name, []).append((time.monotonic() - begin) * 1000)
                run.ready(side)
            finally:
                side.stop()
        if with_weir:
            times.setdefault("responder", []).append(run.bench.responder_cold_ms())
            run.sent_to_weir += 1
    run.notes["cold"] = {k: statistics.median(v) for k, v in times.items()}


# ---- the table -------------------------------------------------------------------------------------------------------

def number(x, unit):
    if x is None:
        return "-"
    text = f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}"
    return f"{text} {unit}".strip()


def line(title, values, ratio="", target="", reached=None):
    verdict = "" if reached is None else "reached" if reached else "NOT REACHED"
    print(f"{title:<44}" + "".join(f"{v:>14}" for v in values) + f"{ratio:>9}  {target:<10} {verdict}".rstrip())


def ratio_line(run, title, measure, of, unit, most=None, least=None, added=False):
    """One row: the three medians; Weir's over mod_proxy's, of what each adds to the direct way when `added`."""
    direct, proxy, weir = (run.median(measure, s, of) for s in SIDES)
    shown = [number(v, unit) for v in (direct, proxy, weir)]
    if added:
        line(title, shown)
        title = "  added to direct"
        proxy, weir = (None if None in (direct, v) else v - direct for v in (proxy, weir))
        shown = ["", *(number(v, unit) for v in (proxy, weir))]
    ratio = weir / proxy if weir is not None and proxy and proxy > 0 else None
    target = f"<= {most}" if most else f">= {least}" if least else ""
    reached = None if ratio is None or not target else ratio <= most if most else ratio >= least
    line(title, shown, f"{ratio:.2f}" if ratio is not None else "-", target, reached)


def table_requests(run):
    for m in [m for m in MEASURES if m in run.args.only]:
        print(TITLES[m])
        p50 = lambda x: x["latency_us"]["p50"]
        if m == "chat32":
            ratio_line(run, "  requests a second", m, lambda x: x["per_second"], "", least=THROUGHPUT_RATIO)
            ratio_line(run, "  p50", m, p50, "us")
            ratio_line(run, "  p99", m, lambda x: x["latency_us"]["p99"], "us")
        elif m == "stream1":
            ratio_line(run, "  first streamed byte, p50", m, lambda x: x["first_byte_us"]["p50"], "us", most=ADDED_RATIO, added=True)
            ratio_line(run, "  delay of an event, p50", m, lambda x: x["event_delay_us"]["p50"], "us")
        else:
            ratio_line(run, "  p50", m, p50, "us", most=ADDED_RATIO, added=True)
            ratio_line(run, "  p99", m, lambda x: x["latency_us"]["p99"], "us")
        if run.median(m, "mod_proxy", p50) is not None or run.median(m, "weir", p50) is not None:
            cpu = lambda x: x["gateway_cpu"] * 1e6 / max(x["all_requests"], 1)
            values = [run.median(m, s, cpu) for s in SIDES[1:]]
            ratio = values[1] / values[0] if None not in values else None
            most = CPU_RATIO if m == "chat32" else None
            line("  gateway CPU a request", ["-", *(number(v, "us") for v in values)], f"{ratio:.2f}" if ratio else "-",
                 f"<= {most}" if most else "", ratio <= most if most and ratio else None)


def table_headroom(run):
    """Is the upstream fast enough for the figures to be the gateway's?"""
    direct = run.figures.get(("chat32", "direct"))
    if not direct:
        return
    alone = statistics.median(x["all_requests"] / x["upstream_cpu"] for x in direct)
    print("headroom of load and upstream at 32 connections")
    for side in SIDES[1:]:
        rate = run.median("chat32", side, lambda x: x["per_second"])
        if rate is None:
            continue
        both = run.median("chat32", "direct", lambda x: x["per_second"])
        busy = run.median("chat32", side, lambda x: (x["load_cpu"] + x["upstream_cpu"]) / x["wall"])
        full = run.median("chat32", side, lambda x: x["gateway_cpu"] / x["wall"])
        line(f"  upstream by its CPU / {side}", ["", "", f"{alone:,.0f}/s"], f"{alone / rate:.1f}", f">= {HEADROOM}", alone / rate >= HEADROOM)
        print(f"    with the load tool on the same core {both / rate:.1f} times; that core {busy:.0%} busy, the gateway's {full:.0%}")


def table_streams(run):
    for side in SIDES[1:]:
        got = run.figures.get(("streams", side), [None])[0]
        if not got:
            continue
        bad = sum(got["errors"].values())
        print(f"{got['streams']} streams, one event a second, through {side}")
        line("  errors", ["", "", str(bad)], "", "0", bad == 0 and got["open_peak"] == got["streams"])
        delay, first = got["event_delay_us"], got["first_byte_us"]
        print(f"    open together {got['open_peak']}, events {got['events']:,}; event delay p50 {delay['p50'] / 1000:.1f} ms, p99 {delay['p99'] / 1000:.1f} ms,"
              f" max {delay['max'] / 1000:.0f} ms; first byte p50 {first['p50'] / 1000:.1f} ms, p99 {first['p99'] / 1000:.1f} ms;"
              f" gateway CPU {got['gateway_cpu'] * 1e6 / max(got['events'], 1):.0f} us an event")
        if "responder_peak_mb" in got:
            peak = got["responder_peak_mb"]
            line("  responder, peak memory", ["", "", f"{peak:.1f} MB"], "", f"< {STREAMS_MB} MB", peak < STREAMS_MB)
        print(f"    web server, peak {got['web_peak_mb']:.1f} MB")


def table_rest(run):
    n = run.notes
    if "idle responder" in n:
        print("memory")
        line("  responder idle, RSS", ["", "", f"{n['idle responder']:.1f} MB"], "", f"< {IDLE_MB} MB", n["idle responder"] < IDLE_MB)
        print(f"    web server idle {n['idle web server']:.1f} MB" + (f"; responder after all rounds {n['used responder']:.1f} MB" if "used responder" in n else ""))
    cold = n.get("cold", {})
    if cold:
        print("cold start (programs in the page cache)")
        weir = cold.get("weir")
        line("  starting lighttpd to the first 200", ["-", f"{cold['mod_proxy']:.0f} ms", f"{weir:.0f} ms" if weir else "-"], "",
             f"<= {COLD_MS} ms", weir <= COLD_MS if weir else None)
        if "responder" in cold:
            print(f"    exec of the responder to its first answer {cold['responder']:.0f} ms")


def report(run):
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown CPU")
    b = run.bench
    print(f"\nbench: {cpu}, {os.cpu_count()} cores; load and upstream on core {b.load_core}, gateway on core {b.gateway_core};"
          f" {run.args.rounds} rounds of {run.args.seconds:g} s")
    if run.foreign:
        foreign = statistics.mean(run.foreign)
        print(f"other programs used {max(foreign, 0):.1%} of both cores meanwhile, {run.stolen:.1f} s were stolen by the host"
              + ("; TOO MUCH: these figures are not to be trusted" if foreign > 0.05 else ""))
    if "gateway" in run.args.groups:
        line("", ["direct", "mod_proxy", "weir"], "ratio", "target")
        table_requests(run)
        table_headroom(run)
        table_streams(run)
        table_rest(run)
    for name, lines in run.ledger.items():
        print(f"{name}")
        for of in lines:
            line(*of)
    if "audit" in run.notes:
        rows, sent = run.notes["audit"]
        print(f"audit rows {rows:,} of {sent:,} requests" + ("" if rows == sent else "  DIFFERENT"))
        if rows != sent:
            run.errors.append("audit rows differ from requests")
    for e in run.errors:
        print("ERROR", e)


# ---- the whole -------------------------------------------------------------------------------------------------------

def whole(run, args):
    upstream = run.bench.start_upstream()
    upstream.name = "direct"
    try:
        if "gateway" in args.groups:
            whole_gateway(run, args)
        for name in args.groups:
            if name in GROUPS:
                run.ledger[name] = GROUPS[name](run, args)
                tell(name)
    finally:
        upstream.stop()


def whole_gateway(run, args):
    bench = run.bench
    with_weir = "weir" in args.sides
    started = []
    try:
        sides = [bench.upstream] if "direct" in args.sides else []
        if with_weir:
            bench.init_weir()
        if "mod_proxy" in args.sides:
            sides.append(bench.start_proxy())
            started.append(sides[-1])
        if with_weir:
            sides.append(bench.start_weir())
            started.append(sides[-1])
        for side in sides:
            side.wait_ready()
            run.ready(side)
        same_answers(bench, sides)
        if with_weir:
            run.sent_to_weir += len(CHECKS)
            idle_memory(run, sides[-1])
        run.rounds(sides)
        if with_weir:
            run.notes["used responder"] = sum(memory_mb(p, "VmRSS") for p in sides[-1].responders())
        for side in started[::-1]:
            started.remove(side)
            if side.stop():
                run.errors.append(f"{side.name} did not end on SIGTERM")
        if "streams" in args.only:
            for name in [s for s in SIDES[1:] if s in args.sides]:
                side = bench.start_proxy() if name == "mod_proxy" else bench.start_weir(WEIR_THREADS_MAX="2200")
                started.append(side)
                side.wait_ready()
                run.ready(side)
                many_streams(run, side)
                tell(f"streams through {name}")
                started.remove(side)
                if side.stop():
                    run.errors.append(f"{side.name} did not end on SIGTERM")
        if "cold" in args.only:
            cold_starts(run, with_weir)
        if with_weir:
            run.notes["audit"] = (bench.audit_rows(), run.sent_to_weir)
    finally:
        for side in reversed(started):
            side.stop()


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("groups", nargs="*", help="gateway, ledger, or groups of the latter; default all")
    p.add_argument("--quick", action="store_true", help="a smoke run of some seconds")
    p.add_argument("--rounds", type=int, help="default 5")
    p.add_argument("--seconds", type=float, help="of one run of the load, default 2 (chat32 half as much more)")
    p.add_argument("--only", help="measures of group gateway, comma between")
    p.add_argument("--sides", default=",".join(SIDES), help="direct, mod_proxy, weir; comma between")
    p.add_argument("--json", metavar="FILE", help="write every run's figures there too")
    p.add_argument("--keep-log", metavar="FILE", help="copy the servers' logs there")
    args = p.parse_args()
    names = ["gateway", *GROUPS]
    groups = [n for g in args.groups or (["gateway"] if args.only else names) for n in (ledger.GROUPS if g == "ledger" else [g])]
    for g in groups:
        if g not in names:
            p.error(f"{g}: none of ledger, {', '.join(names)}")
    args.groups = groups
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.seconds = args.seconds or (0.3 if args.quick else 2)
    args.only = args.only.split(",") if args.only else [*MEASURES, "streams", "cold"]
    args.sides = args.sides.split(",")
    for given, known in ((args.only, [*MEASURES, "streams", "cold"]), (args.sides, SIDES)):
        for g in given:
            if g not in known:
                p.error(f"{g}: none of {', '.join(known)}")
    return args


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        tell("bench: one core only; load and gateway share it, and no figure can be trusted")
    directory = tempfile.mkdtemp(prefix="weir-bench-")
    try:
        bench = Bench(os.environ.get("WEIR_BUILD", os.path.join(gateway.ROOT, "build")), directory, cores[0], cores[-1])
        if "weir" in args.sides and not bench.has_weir():
            raise Failed(f"no lighttpd.conf, or no weir.fcgi and weir in {bench.build} (--sides direct,mod_proxy does without)")
        run = Run(bench, args)
        whole(run, args)
        report(run)
        if args.json:
            with open(args.json, "w") as f:
                json.dump({"figures": {" ".join(k): v for k, v in run.figures.items()}, "notes": run.notes, "errors": run.errors}, f, indent=1)
        return 1 if run.errors else 0
    except Failed as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    finally:
        if args.keep_log:
            with open(args.keep_log, "wb") as out:
                for name in ("log", "proxy.log", "weir.log"):
                    if os.path.exists(os.path.join(directory, name)):
                        with open(os.path.join(directory, name), "rb") as f:
                            out.write(f.read())
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
