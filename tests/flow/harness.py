"""What flow and fault tests stand on: the mock provider, a data directory, lighttpd with Weir behind it, and one
test's view of them, which counts every request it sends and afterwards checks audit log and upstream against it.

No assertion about a single feature here; only what must hold after every test.
"""
import asyncio
import contextlib
import ctypes
import datetime
import http.client
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
import ssl
import subprocess
import sys
import tempfile
import time

import anthropic
import httpx2
import openai

import scan

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", "build"))
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD
SLOW = float(os.environ.get("WEIR_TEST_SLOW", "1"))  # sanitizers and valgrind: a factor for every bound in seconds
PROVIDER_KEY = "sk-upstream-0123456789-never-show-this"
SECRET = "sk-weir-flow-tests-0123456789abcdef0123456789abcdef"  # of the client key `flow`
MODEL_PATHS = ("/v1/chat/completions", "/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages",
               "/v1/messages/count_tokens")
MESSAGES = [{"role": "user", "content": "What does a weir do?"}]
NO_ROW = "no audit row"
TRUST = ssl.create_default_context()
_serial = itertools.count(1)
_earlier = set()  # request ids of tests that are over: a late row of theirs is not the next test's fault


def until(what, condition, seconds=5.0):
    """Waits for a condition and returns what it gave; fails naming it."""
    end = time.monotonic() + seconds * SLOW
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds * SLOW} s: {what}")
        time.sleep(0.005)


async def when(condition):
    """until() for an event loop; the time-out is that of whoever runs it."""
    while not condition():
        await asyncio.sleep(0.01)


def events(body):
    """The objects of a stream's data lines; a comment is skipped, [DONE] is kept as text."""
    out = []
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        if lines:
            joined = b"\n".join(lines)
            out.append("[DONE]" if joined == b"[DONE]" else json.loads(joined))
    return out


def text_of(chunks):
    """What a stream's events say; an error event says nothing."""
    return "".join(choice["delta"].get("content") or "" for e in chunks if e != "[DONE]" for choice in e.get("choices", ()))


def is_whole(stream, body):
    """Does the body of a 200 end as it should?"""
    return body.endswith(b"data: [DONE]\n\n") if stream else body.endswith(b"}")


def exited(pid):
    """Has that process ended? A zombie has, whoever is to collect it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def die_with_parent():
    """In a child before exec: SIGTERM to it when the tests themselves are killed (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port():
    """Below those that the kernel gives to outgoing connections, of which one could take it before its server does."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def clean_env(**more):
    """An environment without provider keys, proxies or WEIR settings of whoever runs the tests."""
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "ASAN_OPTIONS",
                                                         "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "WEIR_FENCE")}
    return keep | {k: str(v) for k, v in more.items()}


def http_client(kind=httpx2.Client, **kw):
    """One that looks for no proxy, and does not read the system's certificates anew: 40 ms each time."""
    return kind(trust_env=False, verify=TRUST, **({"timeout": 20 * SLOW} | kw))


class Mock:
    """The mock provider's process, seen from its control port."""

    def __init__(self, cert):
        command = [sys.executable, str(ROOT / "tests/mock/provider.py"), "--cert", cert]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports, self.cert = json.loads(self.process.stdout.readline()), cert
        self.port = self.ports["port"]
        self.control = http_client(base_url=f"http://127.0.0.1:{self.ports['control']}")

    def stop(self):
        self.control.close()
        self.process.stdin.close()
        assert self.process.wait(5) == 0

    def seen(self, model=None, since=0):
        """What arrived for that name of a model (all: None), oldest first."""
        return self.control.get("/seen", params={"since": since} | ({"model": model} if model else {})).json()

    def mark(self):
        """How many requests have arrived: for seen(since=)."""
        return self.control.get("/mark").json()

    def go(self, gate):
        self.control.post("/go/" + gate)

    def script(self, model, steps):
        self.control.post("/script", json={"model": model, "steps": steps})

    def asked(self, model, count=1):
        """Waits until that many requests for the model arrived whole."""
        return until(f"{count} requests for {model} at the mock",
                     lambda: (s if len(s := self.seen(model)) >= count else None))

    def left(self, model, seconds=5.0):
        """Waits until the first request's connection was closed before its answer ended; returns how."""
        return until(f"the connection of {model} to be closed by the gateway",
                     lambda: (s[0]["closed"] if (s := self.seen(model)) and s[0]["closed"] else None), seconds)


class Site:
    """A data directory: made, configured and read by the command line."""

    def __init__(self):
        self.data = tempfile.mkdtemp(prefix="weir-", dir="/tmp")  # short: a socket's path has 107 bytes
        self.weir("init")

    def query(self, sql, *values):
        """Rows of the database as it stands, read beside whoever writes."""
        db = sqlite3.connect(f"file:{self.data}/weir.db?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def open_tickets(self):
        return self.query("select count(*) from ticket")[0][0]

    def books(self):
        """Holds every counter against audit rows and open tickets; returns how many tickets are open."""
        done = self.weir("ledger", "check", "--json", check=False)
        assert done.returncode in (0, 1) and done.stdout.startswith("{"), f"weir ledger check: {done.returncode}\n{done.stderr}{done.stdout}"
        found = json.loads(done.stdout)
        assert found["differences"] == [] and done.returncode == 0, f"the books are wrong: {found}"
        assert found["limits_checked"] == self.query("select count(*) from limit_rule")[0][0], found
        return found["open_tickets"]

    def weir(self, *args, check=True, feed=None):
        done = subprocess.run([str(BUILD / "weir"), "--data", self.data, *args], input=feed, capture_output=True, text=True,
                              env=clean_env(), timeout=30 * SLOW)
        scan.look_at_command(args, done, feed)
        if check and done.returncode != 0:
            raise AssertionError(f"weir {' '.join(args)}: exit {done.returncode}\n{done.stderr}{done.stdout}")
        return done

    def apply(self, document):
        path = pathlib.Path(self.data, f"apply-{next(_serial)}.json")
        path.write_text(json.dumps(document))
        scan.note_document(document)
        try:
            return self.weir("apply", str(path))
        finally:
            path.unlink()

    def mark(self):
        """The newest audit row's id: for audit(after=)."""
        return self.query("select coalesce(max(id), 0) from audit")[0][0]

    def count(self, after=0):
        return self.query("select count(*) from audit where id > ?", after)[0][0]

    def audit(self, after=0):
        """All rows behind that mark, oldest first, as the command line tells them."""
        while True:
            new = self.query("select id, time from audit where id > ? order by id", after)
            if not new:
                return []
            since = datetime.datetime.fromtimestamp(min(time for _, time in new) // 1000, datetime.timezone.utc)
            lines = self.weir("audit", "--json", "--since", f"{since:%Y-%m-%dT%H:%M:%SZ}").stdout.splitlines()
            if self.mark() == new[-1][0]:  # else one more was written meanwhile
                return [json.loads(line) for line in lines[-len(new):]]

    def json(self, *args):
        return json.loads(self.weir(*args, "--json").stdout)

    def forget_health(self):
        """What earlier tests had fail on purpose is nobody's trouble now: no breaker open, no key resting."""
        with contextlib.closing(sqlite3.connect(f"{self.data}/weir.db", timeout=10)) as db, db:
            if not db.execute("DELETE FROM health").rowcount:
                return
        pathlib.Path(self.data, "health.stamp").write_bytes(os.urandom(8))

    def create_key(self, name, *args):
        return self.weir("key", "create", "--name", name, *args).stdout.strip()

    def remove(self):
        scan.look_at_site(self.data)
        shutil.rmtree(self.data, ignore_errors=True)


class Web:
    """lighttpd in the foreground with Weir's processes below it."""

    def __init__(self, site, conf=None, mount="", **env):
        self.site, self.port, self.mount = site, free_port(), mount
        self.url = f"http://127.0.0.1:{self.port}{mount}"
        self.log = pathlib.Path(site.data, f"web-{self.port}.log")
        text = (ROOT / "lighttpd.conf").read_text() if conf is None else conf
        if BUILD != ROOT / "build":
            text = text.replace("build/weir", f"{BUILD}/weir")
        self.conf = pathlib.Path(site.data, f"web-{self.port}.conf")
        self.conf.write_text(text)
        self.env = clean_env(PORT=self.port, WEIR_DATA=site.data, WEIR_BUILD=BUILD, WEIR_ROOT=ROOT, **env)
        self.process = None

    def start(self, ready="/health"):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["lighttpd", "-D", "-f", str(self.conf)], cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=die_with_parent)
        try:
            if ready:
                until(f"{ready} to answer 200", lambda: self.alive(ready), 15)
        except BaseException as e:  # pytest's own time-out too
            self.stop()
            raise AssertionError(f"{e}\n{self.tail()}") from None
        return self

    def alive(self, path="/health"):
        if self.process.poll() is not None:
            raise AssertionError(f"lighttpd ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            c.request("GET", self.mount + path)
            return c.getresponse().status == 200
        except OSError:
            return False
        finally:
            c.close()

    def responders(self):
        """Process ids of the weir.fcgi below this lighttpd."""
        out = []
        for p in pathlib.Path("/proc").iterdir():
            if p.name.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    stat = (p / "stat").read_text().rsplit(")", 1)[1].split()
                    if int(stat[1]) == self.process.pid and stat[0] != "Z" and \
                            b"weir.fcgi" in (p / "cmdline").read_bytes():
                        out.append(int(p.name))
        return out

    def rss(self):
        """Kilobytes resident in all responders (0 under a sanitizer, which holds freed memory back)."""
        return 0 if SLOW > 1 else sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{p}/status").read_text())[1]) for p in self.responders())

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        below = self.responders()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20 * SLOW)
        until("the responders to end after lighttpd", lambda: all(exited(p) for p in below), 15)
        # lighttpd 1.4.69 ends with 1 when SIGTERM finds a client's idle connection open, else with 0
        assert status in (0, 1), f"lighttpd ended with {status}:\n{self.tail()}"

    def tail(self, size=6000):
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""


class Alias(str):
    """The name callers use; .models are the names the upstream sees, .first the first of them, .providers whose they are."""

    models: list
    providers: list

    @property
    def first(self):
        return self.models[0]


class Sent:
    """One POST to a model endpoint, as the test sent it."""

    def __init__(self, request_id, path, alias):
        self.id, self.path, self.alias, self.status, self.headers, self.row = request_id, path, alias, None, {}, None


class Gateway:
    """One test's view: clients that count, aliases of its own, and check() at the end."""

    def __init__(self, web, mock, key, secret):
        self.web, self.site, self.mock, self.key, self.secret = web, web.site, mock, key, secret
        self.url, self.base = web.url, web.url + "/v1"
        self.sent, self.aliases, self.closing = [], {}, []
        self.site.forget_health()
        self.rows_before, self.seen_before = self.site.mark(), mock.mark()
        self.more_keys = False  # its providers have keys that begin like PROVIDER_KEY
        self.usage_checked, self.overloads = True, False  # overloads: a 503 is one, and leaves no row

    # ---- aliases ----
    def alias(self, *behaviours, **fields):
        """A new alias whose targets behave like that, in order: "status:503", or "PROVIDER/behaviour" for another
        provider than `mock` (`hasty`, `refused`, `tls`, `other`)."""
        return self.aliased([tuple(b.split("/", 1)) if "/" in b else ("mock", b) for b in behaviours], **fields)

    def aliased(self, targets, name=None, **fields):
        n = next(_serial)
        alias = Alias(name or f"alias-{n}")
        alias.models = [f"{b}#{n}.{i}" for i, (_, b) in enumerate(targets)]
        alias.providers = [p for p, _ in targets]
        self.site.apply({"models": [{"alias": alias, "targets": [{"provider": p, "model": m} for (p, _), m in
                                                                 zip(targets, alias.models, strict=True)], **fields}]})
        self.aliases[alias] = alias
        return alias

    def gate(self):
        return f"gate{next(_serial)}"

    # ---- clients ----
    def _note(self, request):
        scan.note_request(request)
        path = request.url.path
        path = path[len(self.web.mount):] if self.web.mount and path.startswith(self.web.mount) else path
        if request.method == "POST" and path in MODEL_PATHS:
            if "x-request-id" not in request.headers and not request.headers.get("x-test-no-id"):
                request.headers["x-request-id"] = f"t{os.getpid()}-{next(_serial)}"
            alias = None
            with contextlib.suppress(Exception):
                alias = json.loads(request.content).get("model")
            request.extensions["sent"] = sent = Sent(request.headers.get("x-request-id"), path, alias)
            self.sent.append(sent)

    def _heard(self, response):
        scan.look(repr(list(response.headers.items())), f"the headers of an answer to {response.request.url.path}")
        sent = response.request.extensions.get("sent")
        if sent:
            sent.status, sent.headers = response.status_code, dict(response.headers)
            if sent.id is None:
                sent.id = response.headers.get("x-request-id")

    def transport(self, **kw):
        client = http_client(event_hooks={"request": [self._note], "response": [self._heard, scan.look_at_answer]}, **kw)
        self.closing.append(client)
        return client

    def async_transport(self, **kw):
        async def note(request):
            self._note(request)

        async def heard(response):
            self._heard(response)
        return http_client(httpx2.AsyncClient, event_hooks={"request": [note], "response": [heard]}, **kw)

    def sdk(self, secret=None, retries=0, **kw):
        return openai.OpenAI(base_url=self.base, api_key=secret or self.secret, max_retries=retries,
                             http_client=self.transport(), **kw)

    def claude(self, secret=None, retries=0, bearer=False, **kw):
        """Anthropic's SDK, with the key as x-api-key or as a bearer token."""
        credential = {"auth_token": secret or self.secret} if bearer else {"api_key": secret or self.secret}
        return anthropic.Anthropic(base_url=self.url, max_retries=retries, http_client=self.transport(), **credential, **kw)

    def async_sdk(self, **kw):
        return openai.AsyncOpenAI(base_url=self.base, api_key=self.secret, max_retries=0,
                                  http_client=self.async_transport(), **kw)

    def http(self, secret=None, headers=None):
        """Raw HTTP with the key in place."""
        return self.transport(base_url=self.url, headers={"authorization": f"Bearer {secret or self.secret}"} | (headers or {}))

    def chat(self, model, http=None, path="/v1/chat/completions", headers=None, **fields):
        """One raw chat request, answered whole."""
        return (http or self.http()).post(path, json={"model": model, "messages": MESSAGES} | fields, headers=headers)

    def raw(self, data, *, count=True, status=None, close_after=False, request_id=None, path="/v1/chat/completions"):
        """Bytes over a socket of their own; the answer's bytes until the other side closes. With count the request is
        one that must leave its row (request_id must be inside the bytes)."""
        sent = Sent(request_id, path, None)
        with socket.create_connection(("127.0.0.1", self.web.port), timeout=10 * SLOW) as s:
            with contextlib.suppress(ConnectionError):
                s.sendall(data)
                if close_after:
                    s.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while part := s.recv(65536):
                    answer += part
        scan.look(answer, f"the answer to {path}")
        if answer:
            sent.status = int(answer.split(b" ", 2)[1])
        if count:
            self.sent.append(sent)
        return answer

    def skip(self, *, last=1):
        """The last requests are such that leave no row: not authenticated, or never handed over by the web server."""
        for s in self.sent[-last:]:
            s.row = NO_ROW

    # ---- afterwards ----
    def audit(self, which=-1):
        """The row of one sent request (default the last), once it is there."""
        wanted = self.sent[which].id
        until(f"the audit row of {wanted}",
              lambda: self.site.query("select 1 from audit where id > ? and request_id = ?", self.rows_before, wanted))
        return next(r for r in self.site.audit(self.rows_before) if r["request_id"] == wanted)

    def rows(self, alias, count=1, seconds=5.0):
        """The audit rows of an alias, once there are so many."""
        until(f"{count} audit rows of {alias}",
              lambda: self.site.query("select count(*) from audit where id > ? and alias = ?", self.rows_before, alias)[0][0] >= count, seconds)
        return [r for r in self.site.audit(self.rows_before) if r["alias"] == alias]

    def seen(self, alias, i=0):
        return self.mock.seen(alias.models[i])

    def check(self):
        """What holds after every test."""
        for c in self.closing:
            c.close()
        late = _earlier.copy()
        _earlier.update(s.id for s in self.sent)
        expected = [s for s in self.sent if s.row is not NO_ROW and s.status not in (401, 507) and not (self.overloads and s.status == 503)]
        with contextlib.suppress(AssertionError):  # rows of cancelled requests come after the client has left
            until("rows", lambda: self.site.count(self.rows_before) >= len(expected), 3)
        rows = self.site.audit(self.rows_before)
        by_id = {}
        for r in rows:
            by_id.setdefault(r["request_id"], []).append(r)
        for s in expected:
            mine = by_id.get(s.id) or []
            same = [x for x in expected if x.id == s.id]
            assert len(mine) == len(same), f"{len(mine)} audit rows, not {len(same)}, for {s.path} {s.alias} {s.status} ({s.id}): {mine}"
            if len(same) == 1:
                check_row(self, s, mine[0])
        strangers = [r for r in rows if r["request_id"] not in late | {s.id for s in expected}]
        assert not strangers, f"audit rows of no request that should have one: {strangers}"
        self.check_upstream(rows)

    def check_upstream(self, rows):
        seen = self.mock.seen(since=self.seen_before)
        for e in seen:
            if e["method"] != "GET":  # a probe
                check_clean(self, e)
        if not self.usage_checked:
            return
        for alias in self.aliases.values():
            mine = [r for r in rows if r["alias"] == alias]
            if mine and all(r["outcome"] == "ok" for r in mine) and any(r["usage_source"] == "provider" for r in mine):
                told = [e["usage"] for e in seen if e["model"] in alias.models and e["usage"]]
                assert sum(r["prompt_tokens"] for r in mine) == sum(u.get("prompt_tokens", 0) for u in told), (mine, told)
                assert sum(r["completion_tokens"] for r in mine) == sum(u.get("completion_tokens", 0) for u in told), (mine, told)


AUDIT_FIELDS = {"time", "request_id", "user", "team", "role", "rolegroup", "key", "ip", "endpoint", "alias", "provider", "model",
                "stream", "status", "outcome", "attempts", "cache", "prompt_tokens", "cached_tokens", "cache_write_tokens",
                "completion_tokens", "cost", "usage_source", "first_byte_ms", "latency_ms", "error", "context"}


def check_row(gateway, sent, row):
    where = f"{sent.path} {sent.alias} told {sent.status}: {row}"
    assert AUDIT_FIELDS <= set(row), f"fields missing: {AUDIT_FIELDS - set(row)} in {where}"
    stamp = datetime.datetime.fromisoformat(row["time"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - stamp).total_seconds()) < 300, where
    assert row["endpoint"].endswith(sent.path.removeprefix("/v1")), where
    assert row["ip"] == "127.0.0.1", where
    assert row["usage_source"] in ("provider", "estimated", "none"), where
    assert row["latency_ms"] >= 0 and row["attempts"] >= 0, where
    if sent.status is None:
        assert row["outcome"] == "cancelled", where
        return
    if row["outcome"] != "cancelled":
        assert row["status"] == sent.status, where
    if sent.path.endswith("/count_tokens") and sent.status == 200:
        assert row["outcome"] == "ok" and row["provider"] is None and row["attempts"] == row["prompt_tokens"] == 0, where
    elif sent.status == 200:
        assert row["outcome"] in ("ok", "truncated", "cancelled", "failed"), where
        assert row["provider"] and row["model"] and (row["attempts"] >= 1 or row["cache"] in ("hit", "joined", "stale")), where
        assert row["cache"] == sent.headers.get("x-weir-cache", row["cache"]), where
        if row["cache"] in ("hit", "joined"):
            assert (row["attempts"], row["prompt_tokens"], row["completion_tokens"], row["cost"]) == (0, 0, 0, "0.00"), where
        assert row["first_byte_ms"] is not None, where
        assert str(row["attempts"]) == sent.headers.get("x-weir-attempts", str(row["attempts"])), where
        assert row["provider"] == sent.headers.get("x-weir-provider", row["provider"]), where
        assert row["model"] == sent.headers.get("x-weir-model", row["model"]), where
    else:
        assert row["outcome"] in ("refused", "failed"), where
        assert row["error"], where
        if sent.status < 500 or row["usage_source"] != "provider":  # an attempt that failed may have cost something
            assert row["prompt_tokens"] == row["completion_tokens"] == 0, where


FORBIDDEN_UPSTREAM = {"x-api-key", "cookie", "x-user-id", "x-team-id", "x-role", "x-llm-rolegroup", "x-test-no-id", "x-forwarded-for",
                      "proxy-authorization", "x-real-ip"}


KEY_HEADERS = {"anthropic": "x-api-key", "azure": "api-key"}


def check_clean(gateway, entry):
    """Nothing of the caller's identity and nothing of ours goes upstream."""
    names = [k.lower() for k, _ in entry["headers"]]
    headers = {k.lower(): v for k, v in entry["headers"]}
    kind = entry["target"].split("/")[1]
    forbidden = FORBIDDEN_UPSTREAM - ({"x-api-key"} if kind == "anthropic" else set())
    assert not forbidden & set(names), f"forwarded upstream: {forbidden & set(names)}"
    assert not [n for n in names if n.startswith("x-weir")], f"forwarded upstream: {names}"
    assert len(names) == len(set(names)), f"doubled upstream: {names}"
    assert "sk-weir" not in json.dumps(entry), f"a client's key went upstream: {entry['headers']}"
    assert entry["method"] == "POST", entry["method"]
    assert headers.get("content-type", "").split(";")[0] == "application/json", headers
    assert "content-length" in headers and "expect" not in headers, headers
    if entry["target"].startswith("/other/"):
        assert "authorization" not in headers, "a provider without keys was sent one"
    elif kind in KEY_HEADERS:
        assert headers.get(KEY_HEADERS[kind]) == PROVIDER_KEY and "authorization" not in headers, headers
    else:
        given = headers.get("authorization", "")
        assert given == f"Bearer {PROVIDER_KEY}" or (gateway.more_keys and given.startswith(f"Bearer {PROVIDER_KEY}")), given
    if isinstance(entry["json"], dict) and entry["json"].get("stream"):
        assert "gzip" not in headers.get("accept-encoding", ""), "a stream was asked for compressed"
