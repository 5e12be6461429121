"""Break everything once: the n-th allocation, statement, write and connection of a request fails, over a plain, a streamed
and an administrator's request; and a rotation of the master key is killed at every change of a file it makes. Every n ends
in a clean answer, a settled ticket and books that are right, and the process lives on.

inject.c is preloaded and does what the mapped file says.
"""
import contextlib
import errno
import http.client
import json
import mmap
import os
import pathlib
import struct
import subprocess
import tempfile

import pytest

import harness
from harness import BUILD, MESSAGES, SLOW, clean_env, until

NONE, ALLOCATION, STATEMENT, WRITE, CONNECTION, KILL, SYNC = range(7)
SQLITE_NOMEM, SQLITE_IOERR, SQLITE_FULL, SQLITE_BUSY = 7, 10, 13, 5
MOST_KILLS = 24 if SLOW == 1 else 8  # of a rotation's changes of files, besides the last ones
FOREVER = 2 ** 32 - 1
LIBRARY = BUILD / "fault/inject.so"

pytestmark = [pytest.mark.skipif("tsan" in BUILD.name, reason="TSan's own allocator cannot be preloaded"),
              pytest.mark.timeout(120 * SLOW)]


class Injector:
    """The file both sides have mapped: struct control of inject.c."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="weir-inject-")
        self.file.truncate(4096)
        self.map = mmap.mmap(self.file.fileno(), 4096)
        self.env = {"LD_PRELOAD": LIBRARY, "WEIR_INJECT": self.file.name}
        if "asan" in BUILD.name:
            self.env |= {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def arm(self, program, kind, at=0, last=None, code=0):
        self.map[:4] = struct.pack("I", NONE)
        self.map[4:40] = struct.pack("IIIII16s", at, at if last is None else last, code, 0, 0, program.encode())
        self.map[:4] = struct.pack("I", kind)

    def disarm(self):
        """(calls so far, how many of them failed)"""
        self.map[:4] = struct.pack("I", NONE)
        return struct.unpack("II", self.map[16:24])


@pytest.fixture(scope="module")
def inject():
    assert LIBRARY.exists(), f"{LIBRARY} is missing: make fault-library"
    return Injector()


class Victim:
    """A gateway that things go wrong in."""

    def __init__(self, web, injector, secret, admin):
        self.web, self.site, self.inject, self.secret, self.admin = web, web.site, injector, secret, admin
        self.pids, self.left = web.responders(), 0

    def ask(self, method, path, body, key):
        c = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=30 * SLOW)
        try:
            c.request(method, path, json.dumps(body), {"content-type": "application/json", "authorization": f"Bearer {key}"})
            r = c.getresponse()
            try:
                return r.status, r.headers.get("content-type", ""), r.read(), True
            except (http.client.IncompleteRead, ConnectionError) as e:
                return r.status, r.headers.get("content-type", ""), getattr(e, "partial", b""), False
        finally:
            c.close()

    def plain(self):
        status, kind, body, whole = self.ask("POST", "/v1/chat/completions", {"model": "steady", "messages": MESSAGES}, self.secret)
        assert whole and kind.startswith("application/json"), (status, kind, body, whole)
        check_object(status, json.loads(body), "choices")
        return status

    def stream(self):
        asked = {"model": "flowing", "messages": MESSAGES, "stream": True}
        status, kind, body, whole = self.ask("POST", "/v1/chat/completions", asked, self.secret)
        if status != 200:
            assert whole and kind.startswith("application/json"), (status, kind, body, whole)
            check_object(status, json.loads(body), None)
            return status
        assert kind.startswith("text/event-stream"), kind
        events = [e for e in body.decode().split("\n\n") if e and not e.startswith(":")]
        last = events[-1] if events else ""
        ended = body.endswith(b"data: [DONE]\n\n")
        failed = last.startswith("data: ") and "error" in json.loads(last[6:]) if not ended and whole else False
        assert ended or failed or not whole, body[-600:]
        return status if ended else 0

    def config(self):
        asked = {"scope": "team", "id": "broken", "capacity": 5000, "refillPerSec": 25}
        status, kind, body, whole = self.ask("POST", "/config/budget", asked, self.admin)
        assert whole and kind.startswith("application/json"), (status, kind, body, whole)
        check_object(status, json.loads(body), "scope")
        return status

    def count(self, program, kind, ask):
        """How many calls of that kind the way takes. What runs beside it is counted too, so the least of some that are alike."""
        counts = []
        while len(counts) < 3 or sorted(counts)[2] > 1.1 * min(counts) + 2:
            self.inject.arm(program, kind)
            assert ask() == 200
            self.settled()
            counts.append(self.inject.disarm()[0])
            assert len(counts) < 100, f"never alike: {counts}"
        return min(counts)

    def settled(self):
        """Waits for the tickets to be settled; returns how many were not, counting each once."""
        with contextlib.suppress(AssertionError):
            until("the ticket to be settled", lambda: self.site.open_tickets() <= self.left, 5)
            return 0
        new = self.site.open_tickets() - self.left
        self.left += new
        return new


def check_object(status, answer, member):
    if status == 200:
        assert member in answer, answer
        return
    assert status in (401, 403, 404, 429, 500, 502, 503, 504, 507), status
    assert set(answer["error"]) == {"message", "type", "param", "code"} and answer["error"]["message"], answer


@pytest.fixture(scope="module")
def victim(make_site, mock, inject):
    site = make_site()
    site.apply({"models": [{"alias": "steady", "targets": [{"provider": "mock", "model": "ok#inject"}], "price": {"input": "1", "output": "2"}},
                           {"alias": "flowing", "targets": [{"provider": "mock", "model": "stream:4:0#inject"}], "price": {"input": "1", "output": "2"}}],
                "limits": [{"scope": "user/*", "metric": "tokens", "shape": "window", "seconds": 3600, "amount": 100000000},
                           {"scope": "team/looms", "metric": "cost", "shape": "calendar", "period": "month", "amount": "1000"},
                           {"scope": "global", "metric": "concurrency", "amount": 50}]})
    admin = site.weir("admin", "add", "breaker", "--role", "operator").stdout.strip()
    site.weir("provider", "close", "mock")  # its breaker, which would take the failures for the provider's
    web = harness.Web(site, **inject.env)
    web.start()
    v = Victim(web, inject, harness.SECRET, admin)
    for warm in (v.plain, v.stream, v.config) * 3:
        warm()
    yield v
    inject.disarm()
    web.stop()


CODES = {ALLOCATION: [errno.ENOMEM], STATEMENT: [SQLITE_IOERR, SQLITE_NOMEM], WRITE: [errno.EIO, errno.ENOSPC], CONNECTION: [errno.ECONNRESET]}
LASTING = (STATEMENT, WRITE)  # such trouble may also last until the answer is there
NAMES = {ALLOCATION: "allocation", STATEMENT: "statement", WRITE: "write", CONNECTION: "connection"}
WAYS = {"plain": "weir.fcgi", "stream": "weir.fcgi", "config": "weir-admin.fcgi"}


def works(ask):
    with contextlib.suppress(AssertionError):
        return ask() == 200


def break_once(v, program, kind, code, ask, n, last, found):
    """Returns the status; what was wrong with the answer goes to found."""
    status = None
    v.inject.arm(program, kind, n, last, code)
    try:
        status = ask()
    except Exception as e:
        found.append(f"{NAMES[kind]} {n}{'' if last == n else ' and all behind it'} (code {code}): {e!r}"[:400])
    finally:
        failed = v.inject.disarm()[1]
    if v.settled():
        found.append(f"{NAMES[kind]} {n}{'' if last == n else ' and all behind it'} (code {code}): a ticket that is not settled")
    return status, failed


@pytest.mark.parametrize(("kind", "way"), [pytest.param(k, w, id=f"{NAMES[k]}-{w}") for k in NAMES for w in WAYS
                                           if (k, w) != (CONNECTION, "config")])  # it calls nobody
def test_the_nth_of_a_kind_fails_and_the_answer_is_clean(victim, kind, way):
    v, ask = victim, getattr(victim, way)
    count = v.count(WAYS[way], kind, ask)
    if kind == CONNECTION:
        count = max(count, 8)  # a connection that broke is followed by one that is made
    broken, spoilt, found = 0, 0, []
    for code in CODES[kind]:
        for n in range(1, count + 1):
            status, failed = break_once(v, WAYS[way], kind, code, ask, n, n, found)
            if not failed:
                break  # the first time took more calls
            broken += failed
            spoilt += status != 200
        for n in range(1, count + 1, 12) if kind in LASTING else ():
            break_once(v, WAYS[way], kind, code, ask, n, FOREVER, found)
            until("the gateway to work again", lambda: works(ask), 10)
    print(f"{way}: {count} calls of kind {NAMES[kind]}, {broken} failed, {spoilt} answers of another status than 200")
    assert not found, "\n".join(found) + "\n" + v.web.tail(2000)
    assert broken, "nothing was made to fail"
    until("the gateway to work again", lambda: works(ask), 10)
    assert v.web.responders() == v.pids, "a process died"
    assert v.site.books() == 0


def test_what_survives_power_is_on_the_disk_before_the_answer_ends(victim):
    v = victim
    assert v.count("weir.fcgi", SYNC, v.plain) == 0
    v.site.weir("settings", "durability", "power")
    try:
        count, found = v.count("weir.fcgi", SYNC, v.plain), []
        assert count >= 2  # the hold is, before the provider is asked; and the charge, before the answer
        for n in range(1, count + 1):
            assert break_once(v, "weir.fcgi", SYNC, errno.EIO, v.plain, n, n, found)[1] == 1
        assert break_once(v, "weir.fcgi", SYNC, errno.EIO, v.plain, 1, FOREVER, found)[0] == 507
        until("the gateway to work again", lambda: works(v.plain), 10)
    finally:
        v.site.weir("settings", "durability", "process")
    assert not found, "\n".join(found)
    assert v.site.books() == 0
    assert v.count("weir.fcgi", SYNC, v.plain) == 0


# ---- a rotation of the master key that is killed ----


class Keys:
    """A site with every kind of secret, and what has to hold of it whatever was killed."""

    def __init__(self, make_site, mock, env):
        self.site, self.mock = make_site(), mock
        self.site.apply({"models": [{"alias": "steady", "targets": [{"provider": "mock", "model": "ok#rotate"}]}],
                         "jwt": [{"name": "app", "algorithm": "HS256", "secret": "a-secret-of-tokens-0123456789abcdef"}],
                         "settings": {"audit_content": "all"}})
        self.env = clean_env(WEIR_DATA=self.site.data, **env)
        self.asked = 0

    def rotate(self):
        return subprocess.run([str(BUILD / "weir"), "master-key", "rotate"], env=self.env, capture_output=True, text=True, timeout=60 * SLOW)

    def files(self):
        return sorted(p.name for p in pathlib.Path(self.site.data).glob("master.key*"))

    def ask(self, web):
        """A call that needs the client's key and the provider's."""
        c = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30 * SLOW)
        c.request("POST", "/v1/chat/completions", json.dumps({"model": "steady", "messages": MESSAGES}),
                  {"content-type": "application/json", "authorization": f"Bearer {harness.SECRET}",
                   "x-request-id": f"rotate-{self.asked}"})
        r = c.getresponse()
        body = r.read()
        c.close()
        assert r.status == 200, (r.status, body, web.tail(2000))
        seen = self.mock.seen("ok#rotate")[-1]
        assert dict(seen["headers"]).get("Authorization", dict(seen["headers"]).get("authorization")) == f"Bearer {harness.PROVIDER_KEY}"
        self.asked += 1

    @contextlib.contextmanager
    def web(self, **env):
        w = harness.Web(self.site, **env)
        try:
            yield w.start()
        finally:
            w.stop()

    def doctor(self):
        lines = json.loads(self.site.weir("doctor", "--json", check=False).stdout)
        return {line["check"]: line["status"] for line in lines}


def test_a_rotation_killed_at_any_change_of_a_file_leaves_one_key_that_all_programs_know(make_site, mock, inject):
    keys = Keys(make_site, mock, inject.env)
    with keys.web() as running:  # sees every rotation while it runs
        kill_at_every_change(keys, inject, running)
    assert keys.rotate().returncode == 0
    with keys.web() as fresh:
        keys.ask(fresh)
    for i in range(keys.asked):  # sealed under many keys by now
        kept = json.loads(keys.site.weir("audit", "--content", f"rotate-{i}").stdout)
        assert kept["prompt"]["messages"] == MESSAGES, kept
    for log in pathlib.Path(keys.site.data).glob("web-*.log"):
        assert "provider_key_unreadable" not in log.read_text(), log.read_text()[-2000:]


def kill_at_every_change(keys, inject, running):
    keys.ask(running)
    inject.arm("weir", KILL)
    assert keys.rotate().returncode == 0
    count, before, renamed = inject.disarm()[0], 0, 0
    assert count >= 8
    sample = range(1, count, 1 + count // MOST_KILLS)
    backwards = (n for n in range(count, 0, -1) if n not in sample)
    for n in [*sample, *backwards]:  # these until the short time between the commit and the renaming is hit
        if renamed and n not in sample:
            break
        key = pathlib.Path(keys.site.data, "master.key").read_bytes()
        inject.arm("weir", KILL, n)
        done = keys.rotate()
        if inject.disarm()[1] == 0:  # the first rotation made more changes
            assert done.returncode == 0, (n, done)
            continue
        assert done.returncode == -9, (n, done)
        left = keys.files()
        assert left in (["master.key"], ["master.key", "master.key.new"]), left
        if len(left) == 2:
            found = keys.doctor()  # which changes nothing
            assert found["sealed keys"] == found["master key"] == "ok" and found["vault"] == "warn", (n, found)
            keys.ask(running)
        keys.site.create_key(f"after-{n}")
        assert keys.files() == ["master.key"], "the next command that needs the key puts it right"
        keys.ask(running)
        renamed += left != ["master.key"] and pathlib.Path(keys.site.data, "master.key").read_bytes() != key
        before += left != ["master.key"] and pathlib.Path(keys.site.data, "master.key").read_bytes() == key
    assert before and renamed, "no kill fell between the file and the commit, or between the commit and the renaming"


def test_a_gateway_that_starts_in_the_middle_of_a_rotation_ends_it(make_site, mock, inject):
    keys = Keys(make_site, mock, inject.env)
    inject.arm("weir", KILL)
    keys.rotate()
    count = inject.disarm()[0]
    for n in range(count, 0, -1):  # the renaming is among the last
        inject.arm("weir", KILL, n)
        keys.rotate()
        inject.disarm()
        if "master.key.new" in keys.files():
            break
    with keys.web() as web:
        keys.ask(web)
    assert keys.files() == ["master.key"]


def test_rotation_of_a_key_that_lies_outside_the_data_directory(make_site, mock, inject):
    with tempfile.TemporaryDirectory(prefix="weir-keys-") as elsewhere:
        path = pathlib.Path(elsewhere, "the.key")
        keys = Keys(make_site, mock, inject.env)
        pathlib.Path(keys.site.data, "master.key").rename(path)
        keys.env["WEIR_MASTER_KEY_FILE"] = str(path)
        key = path.read_bytes()
        with keys.web(WEIR_MASTER_KEY_FILE=path) as web:
            keys.ask(web)
            assert keys.rotate().returncode == 0
            keys.ask(web)
        assert path.read_bytes() != key and path.stat().st_mode & 0o777 == 0o600
        assert os.listdir(elsewhere) == ["the.key"]
