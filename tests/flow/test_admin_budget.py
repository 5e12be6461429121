"""/config/budget: token budgets in TokenGuard's form, set and read by administrators' keys, in force on the next request."""
import concurrent.futures
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess

import pytest

import harness
from harness import BUILD, SLOW, _serial, clean_env, until

PATH = "/config/budget"
KINDS = ("team", "rolegroup", "role", "user", "key", "ip", "model", "provider")


class Admin:
    """Administrators' keys of a site, one of each role, and calls with them."""

    def __init__(self, web):
        self.web, self.site = web, web.site
        self.secrets = {role: self.key(role)[1] for role in ("viewer", "operator", "admin")}
        self.http = harness.http_client(base_url=web.url)

    def key(self, role, *more):
        name = f"admin-{next(_serial)}"
        return name, self.site.weir("admin", "add", name, "--role", role, *more).stdout.strip()

    def ask(self, method, headers=None, role="operator", path=PATH, **kw):
        with_key = {"x-api-key": self.secrets[role]} if headers is None else headers
        r = self.http.request(method, path, headers=with_key, **kw)
        assert r.headers["x-request-id"] and r.headers["cache-control"] == "no-store", r.headers
        if r.status_code >= 400:
            assert set(r.json()["error"]) == {"message", "type", "param", "code"}, r.text
        assert not [s for s in self.secrets.values() if s in r.text]
        return r

    def set(self, scope, id, capacity, refill, status=200, **more):
        body = {"scope": scope, "capacity": capacity, "refillPerSec": refill} | ({"id": id} if id else {}) | more
        r = self.ask("POST", json=body)
        assert r.status_code == status, r.text
        return r.json()

    def get(self, scope, id=None, status=200):
        r = self.ask("GET", role="viewer", params={"scope": scope} | ({"id": id} if id else {}))
        assert r.status_code == status, r.text
        return r.json()

    def exported(self, scope):
        limits = json.loads(self.site.weir("export").stdout)["limits"]
        return [x for x in limits if x["scope"] == scope]

    def version(self):
        return self.site.query("select version from config_version")[0][0]


@pytest.fixture(scope="module")
def admin(web):
    a = Admin(web)
    yield a
    a.http.close()


def new(kind="team"):
    return f"{kind}-{next(_serial)}"


def caller(gw, team):
    return gw.http(gw.site.create_key(new("key"), "--team", team))


# ---- setting and reading ----

def test_what_was_set_is_answered_read_and_exported(admin):
    team = new()
    want = {"scope": "team", "id": team, "capacity": 5000, "refillPerSec": 25, "mode": "soft", "tokens": 5000, "used": 0, "held": 0}
    assert admin.set("team", team, 5000, 25) == want
    assert admin.get("team", team) == want
    assert admin.exported(f"team/{team}") == [{"scope": f"team/{team}", "metric": "tokens", "shape": "bucket", "capacity": 5000,
                                               "refill_per_sec": 25, "mode": "soft"}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("star", [False, True])
def test_every_kind_of_scope_and_its_default_can_be_set(apart, kind, star):
    id = "*" if star else "10.1.0.0/16" if kind == "ip" else "a/b c+d&e=ü%"
    got = apart.set(kind, id, 10 ** 9, 1)
    assert (got["scope"], got["id"]) == (kind, id) and apart.get(kind, id) == got
    assert len(apart.exported(f"{kind}/{id}")) == 1


def test_global_has_no_id(apart):
    got = apart.set("global", None, 10 ** 9, 1)
    assert got["id"] is None and apart.get("global") == got
    r = apart.ask("POST", json={"scope": "global", "id": None, "capacity": 10 ** 9, "refillPerSec": 1})
    assert r.status_code == 200 and r.json() == got
    assert apart.exported("global")[0]["capacity"] == 10 ** 9


@pytest.mark.parametrize("written, read", [("0.5", "0.5"), ("25.0", "25"), ("0.000000001", "0.000000001"), ("33.333333333", "33.333333333"),
                                           ("9000000000", "9000000000"), ("1", "1")])
def test_a_refill_may_be_a_fraction_and_stays_exact(admin, written, read):
    team = new()
    r = admin.ask("POST", content=f'{{"scope":"team","id":"{team}","capacity":7,"refillPerSec":{written}}}',
                  headers={"x-api-key": admin.secrets["operator"], "content-type": "application/json"})
    assert r.status_code == 200 and f'"refillPerSec":{read},' in r.text
    assert f'"refillPerSec":{read},' in admin.ask("GET", params={"scope": "team", "id": team}).text
    assert admin.site.query("select refill_nano from limit_rule where scope = ?", f"team/{team}") == [(round(float(read) * 10 ** 9),)]


def test_the_list_has_token_budgets_only_and_all_of_them(apart):
    a = apart
    a.site.apply({"limits": [{"scope": "user/bo", "metric": "requests", "shape": "bucket", "capacity": 5, "refill_per_sec": 1},
                             {"scope": "user/bo", "metric": "tokens", "shape": "total", "amount": 5},
                             {"scope": "user/bo", "metric": "tokens", "shape": "bucket", "capacity": 8, "refill_per_sec": 0.5,
                              "mode": "observe"}]})
    a.set("user", "ann", 10, 1)
    got = a.ask("GET", role="viewer").json()
    assert got["object"] == "list"
    mine = [x for x in got["data"] if x["scope"] == "user" and x["id"] in ("ann", "bo")]
    assert [(x["id"], x["capacity"], x["refillPerSec"], x["mode"]) for x in mine] == [("ann", 10, 1, "soft"), ("bo", 8, 0.5, "observe")]
    assert a.get("user", "nobody", status=404)["error"]["code"] == "not_found"


def test_the_same_again_changes_nothing_and_another_changes_only_that(admin):
    team = new()
    admin.site.apply({"limits": [{"scope": f"team/{team}", "metric": "tokens", "shape": "bucket", "capacity": 1, "refill_per_sec": 1,
                                  "mode": "hard", "warn_percent": 55}]})
    first = admin.set("team", team, 600, 2.5)
    version, row = admin.version(), admin.site.query("select * from limit_rule where scope = ?", f"team/{team}")
    assert admin.set("team", team, 600, 2.5) == first
    assert admin.version() == version and admin.site.query("select * from limit_rule where scope = ?", f"team/{team}") == row
    assert admin.set("team", team, 600, 2.5, mode="hard") == first | {"mode": "hard"}
    assert admin.version() == version + 1
    assert admin.exported(f"team/{team}")[0]["warn_percent"] == 55  # what this form does not know stays


def test_many_at_once_all_count(admin):
    teams = [new() for _ in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda t: admin.set("team", t, 100, 1), teams))
    assert [g["id"] for g in got] == teams
    listed = {x["id"] for x in admin.ask("GET").json()["data"]}
    assert set(teams) <= listed


# ---- in force ----

def test_a_hard_budget_refuses_on_the_next_request_and_a_raised_one_lets_in(gw, admin):
    team, alias = new(), gw.alias("ok")
    http = caller(gw, team)
    assert gw.chat(alias, http).status_code == 200
    admin.set("team", team, 20, 0.001, mode="hard")
    r = gw.chat(alias, http)
    assert r.status_code == 429 and f"team/{team}" in r.json()["error"]["message"]
    assert gw.audit()["outcome"] == "refused"
    admin.set("team", team, 100000, 0.001, mode="hard")
    assert gw.chat(alias, http).status_code == 200
    row = gw.audit()
    used = row["prompt_tokens"] + row["completion_tokens"]
    until("the charge to show", lambda: admin.get("team", team)["used"] == used)
    got = admin.get("team", team)
    assert (got["tokens"], got["held"]) == (100000 - used, 0)
    admin.set("team", team, used, 0.001, mode="hard")  # a changed amount keeps the count
    assert admin.get("team", team)["tokens"] == 0
    assert gw.chat(alias, http).status_code == 429
    assert gw.site.books() == 0


def test_soft_goes_by_estimates_where_hard_goes_by_bounds(gw, admin):
    team, alias = new(), gw.alias("ok", max_output=16)
    http = caller(gw, team)
    fields = {"max_tokens": 16}
    for _ in range(3):  # an experience of how long answers are
        assert gw.chat(alias, http, **fields).status_code == 200
    room = 40
    admin.set("team", team, room, 0.001, mode="hard")
    assert gw.chat(alias, http, **fields).status_code == 429
    assert admin.set("team", team, room, 0.001)["mode"] == "soft"
    assert gw.chat(alias, http, **fields).status_code == 200
    for _ in range(20):  # once it is used up soft refuses too
        if gw.chat(alias, http, **fields).status_code == 429:
            break
    assert gw.sent[-1].status == 429


def test_a_default_holds_for_each_member_and_global_for_all(make_site, make_gw):
    site = make_site()
    gw = make_gw(site)
    a, alias = Admin(gw.web), gw.alias("ok")
    one, two = caller(gw, "t1"), caller(gw, "t2")
    a.set("team", "*", 20, 0.001, mode="hard")
    assert [gw.chat(alias, h).status_code for h in (one, two)] == [429, 429]
    a.set("team", "t1", 10 ** 6, 1, mode="hard")
    assert [gw.chat(alias, h).status_code for h in (one, two)] == [200, 429]
    a.set("team", "*", 10 ** 6, 1, mode="hard")
    a.set("global", None, 20, 0.001, mode="hard")
    assert [gw.chat(alias, h).status_code for h in (one, two)] == [429, 429]
    assert a.get("team", "*")["used"] == 0
    a.http.close()


# ---- who may ----

def test_every_role_reads_and_only_operators_and_admins_set(admin):
    team = new()
    for role, status in (("viewer", 403), ("operator", 200), ("admin", 200)):
        r = admin.ask("POST", role=role, json={"scope": "team", "id": team, "capacity": 5, "refillPerSec": 1})
        assert r.status_code == status, (role, r.text)
        if status == 403:
            assert r.json()["error"]["code"] == "role_not_allowed" and "viewer" in r.json()["error"]["message"]
            assert not admin.exported(f"team/{team}")
        assert admin.ask("GET", role=role).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whoever_has_no_live_admin_key_gets_the_one_401(admin, gw, method):
    name, revoked = admin.key("admin")
    assert admin.ask(method, {"x-api-key": revoked}).status_code != 401
    admin.site.weir("admin", "revoke", name)
    _, expired = admin.key("admin", "--expires", "1s")
    until("the key to expire", lambda: admin.ask("GET", {"x-api-key": expired}).status_code == 401, 4)
    said = set()
    for headers in ({}, {"x-api-key": ""}, {"x-api-key": gw.secret}, {"authorization": f"Bearer {gw.secret}"}, {"x-api-key": revoked},
                    {"x-api-key": expired}, {"x-api-key": "sk-weir-" + "0" * 43}, {"authorization": f"Basic {admin.secrets['admin']}"},
                    {"authorization": "Bearer"}, {"x-api-key": "x" * 20000}):
        body = {} if method == "GET" else {"json": {"scope": "team", "id": "x", "capacity": 5, "refillPerSec": 1}}
        r = admin.ask(method, headers, **body)
        assert r.status_code == 401 and r.json()["error"]["code"] == "invalid_api_key", (headers, r.text)
        said.add(r.json()["error"]["message"])
    assert len(said) == 1


def test_an_admin_key_is_no_client_key(admin, gw):
    alias = gw.alias("ok")
    assert gw.chat(alias, gw.http(admin.secrets["admin"])).status_code == 401


@pytest.mark.parametrize("form", [lambda s: {"authorization": f"Bearer {s}"}, lambda s: {"authorization": f"bEARER   {s}"},
                                  lambda s: {"x-api-key": s}, lambda s: {"x-api-key": s, "authorization": f"Bearer {s}"}])
def test_the_key_may_come_in_either_header(admin, form):
    assert admin.ask("GET", form(admin.secrets["viewer"])).status_code == 200


@pytest.mark.parametrize("double", [lambda s: [("x-api-key", s), ("x-api-key", s)], lambda s: [("x-api-key", s), ("x_api_key", s)],
                                    lambda s: [("authorization", f"Bearer {s}"), ("authorization", f"Bearer {s}")],
                                    lambda s: [("x-api-key", s), ("authorization", "Bearer sk-weir-another")]])
def test_doubled_joined_or_differing_credentials_are_refused(admin, double):
    r = admin.ask("GET", double(admin.secrets["admin"]))
    assert r.status_code == 400 and "header" in r.json()["error"]["message"], r.text


def test_the_use_of_a_key_is_noted_and_the_list_has_no_secrets(admin):
    name, secret = admin.key("viewer")

    def listed():
        return next(k for k in json.loads(admin.site.weir("admin", "list", "--json").stdout) if k["name"] == name)
    assert listed() == {"name": name, "role": "viewer", "state": "active", "created": listed()["created"], "last_used": None,
                        "expires": None, "revoked": None}
    assert admin.ask("GET", {"x-api-key": secret}).status_code == 200
    until("last_used", lambda: listed()["last_used"])
    admin.site.weir("admin", "revoke", name)
    assert listed()["state"] == "revoked"
    assert re.fullmatch(r"sk-weir-[A-Za-z0-9_-]{43}", secret)
    assert secret not in admin.site.weir("admin", "list").stdout + admin.web.log.read_text()


@pytest.mark.parametrize("words, code, said", [(("x",), 2, "--role"), (("x", "--role", "owner"), 2, "viewer|operator|admin"), ((), 2, ""),
                                               (("a\tb", "--role", "admin"), 1, "control"), (("n" * 129, "--role", "admin"), 1, "128")])
def test_admin_add_says_what_is_wrong(admin, words, code, said):
    done = admin.site.weir("admin", "add", *words, check=False)
    assert done.returncode == code and said in done.stderr and not done.stdout


def test_admin_names_are_taken_once_and_revoking_is_for_good(admin):
    name, _ = admin.key("viewer")
    assert "is there already" in admin.site.weir("admin", "add", name, "--role", "admin", check=False).stderr
    assert "revoked" in admin.site.weir("admin", "revoke", name).stderr
    assert "before" in admin.site.weir("admin", "revoke", name).stderr
    assert admin.site.weir("admin", "revoke", "no-such", check=False).returncode == 1
    assert admin.site.weir("admin", "add", name, "--role", "admin", check=False).returncode == 1


# ---- what is refused ----

GOOD = {"scope": "team", "id": "refused", "capacity": 5, "refillPerSec": 1}


@pytest.mark.parametrize("change, param, says", [
    ({"scope": None}, "scope", "text"), ({"scope": "planet"}, "scope", "global|team"), ({"scope": ""}, "scope", "empty"),
    ({"scope": "team/data"}, "scope", "one of"), ({"scope": 5}, "scope", "text"), ({"scope": ...}, "scope", "missing"),
    ({"id": ...}, "id", "missing"), ({"id": ""}, "id", "empty"), ({"id": 7}, "id", "text"), ({"id": None}, "id", "missing"),
    ({"id": "n" * 129}, "id", "too long"), ({"id": "n" * 300}, "id", "256"), ({"id": "a\nb"}, "id", "control"),
    ({"id": "a\u0000b"}, "id", "NUL"), ({"scope": "ip", "id": "house"}, "id", "address"), ({"scope": "global"}, "id", "does not belong"),
    ({"capacity": ...}, "capacity", "missing"), ({"capacity": 0}, "capacity", "above 0"), ({"capacity": -5}, "capacity", "above 0"),
    ({"capacity": 1.5}, "capacity", "whole"), ({"capacity": "5"}, "capacity", "number"), ({"capacity": None}, "capacity", "number"),
    ({"capacity": 10 ** 19}, "capacity", "whole"), ({"capacity": [5]}, "capacity", "number"), ({"capacity": 10 ** 18 + 1}, "capacity", "from 1"),
    ({"refillPerSec": ...}, "refillPerSec", "missing"), ({"refillPerSec": 0}, "refillPerSec", "above 0"),
    ({"refillPerSec": -0.5}, "refillPerSec", "above 0"), ({"refillPerSec": "1"}, "refillPerSec", "number"),
    ({"refillPerSec": True}, "refillPerSec", "number"), ({"refillPerSec": 0.0000000001}, "refillPerSec", "9 decimals"),
    ({"refillPerSec": 10 ** 10}, "refillPerSec", "9000000000"), ({"refillPerSec": {}}, "refillPerSec", "number"),
    ({"mode": "observe"}, "mode", "hard|soft"), ({"mode": 1}, "mode", "text"), ({"mode": "HARD"}, "mode", "hard|soft"),
    ({"refill_per_sec": 1}, "refill_per_sec", "no member"), ({"warn_percent": 5}, "warn_percent", "no member"),
])
def test_a_bad_field_is_named_and_nothing_is_set(admin, change, param, says):
    body = {k: v for k, v in (GOOD | change).items() if v is not ...}
    version = admin.version()
    r = admin.ask("POST", json=body)
    error = r.json()["error"]
    assert r.status_code == 400 and error["type"] == "invalid_request_error", r.text
    assert error["param"] == param and error["message"].startswith(param) and says in error["message"], error
    assert admin.version() == version


@pytest.mark.parametrize("body, says", [
    (b"", "JSON"), (b"{", "JSON"), (b"[]", "object"), (b"null", "object"), (b'{"scope":"team"} x', "JSON"), (b"\xff", "JSON"),
    (b'{"scope":"team","scope":"user"}', "twice"), (b"[" * 5000, "deep"), (b'{"sc\\u006fpe":"planet","capacity":5,"refillPerSec":1}', "global|team"),
    (b'{"scope":"team","id":"x","capacity":NaN,"refillPerSec":1}', "JSON"), (b'{"scope":"team","id":"x","capacity":5,"refillPerSec":1e3}', "plain"),
])
def test_a_body_that_is_no_object_of_that_form_is_refused(admin, body, says):
    r = admin.ask("POST", content=body, headers={"x-api-key": admin.secrets["admin"], "content-type": "application/json"})
    assert r.status_code == 400 and says in r.json()["error"]["message"], r.text


@pytest.mark.parametrize("query, param", [("scope=planet", "scope"), ("id=x", "scope"), ("scope=team", "id"), ("scope=global&id=x", "id"),
                                          ("scope=team&id=", "id"), ("scope=team&id=a&id=b", "id"), ("team=x", "team"), ("scope=ip&id=x", "id"),
                                          ("scope=team&id=" + "x" * 3000, "id")])
def test_a_bad_query_is_refused(admin, query, param):
    r = admin.ask("GET", path=PATH + "?" + query)
    assert r.status_code == 400 and r.json()["error"]["param"] == param, r.text


def test_bounds_methods_and_paths(admin):
    key = {"x-api-key": admin.secrets["admin"]}
    assert admin.ask("POST", content=b" " * 65537, headers=key).status_code == 413
    assert admin.ask("POST", content=b" " * (9 << 20), headers=key).status_code == 413
    assert admin.ask("POST", content=json.dumps(GOOD).encode().ljust(65536), headers=key).status_code == 200
    assert admin.ask("POST", data=GOOD, headers=key).status_code == 415
    for method in ("PUT", "DELETE", "PATCH"):
        r = admin.ask(method)
        assert r.status_code == 405 and r.headers["allow"] == "GET, HEAD, POST, OPTIONS", r.headers
    r = admin.ask("OPTIONS", {})
    assert r.status_code == 204 and r.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    r = admin.ask("HEAD")
    assert r.status_code == 200 and not r.content
    for path in (PATH + "/", PATH + "s", PATH + "/x"):
        assert admin.ask("GET", path=path).status_code == 404, path
    assert admin.http.get("/config").status_code == 404  # the gateway's own
    assert admin.ask("GET", key | {"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert admin.ask("GET", key | {"x-request-id": "not mine"}).headers["x-request-id"].startswith("req_")


# ---- the program ----

def cgi(site, method, secret, query="", body=b"", mount=""):
    """The same program as plain CGI, one process a request: status line and JSON."""
    env = clean_env(WEIR_DATA=site.data, WEIR_MOUNT=mount, REQUEST_METHOD=method, REQUEST_URI=f"{mount}{PATH}?{query}", QUERY_STRING=query,
                    HTTP_X_API_KEY=secret, CONTENT_TYPE="application/json", CONTENT_LENGTH=len(body), SCRIPT_NAME=PATH,
                    GATEWAY_INTERFACE="CGI/1.1")
    done = subprocess.run([str(BUILD / "weir-admin.fcgi")], input=body, env=env, capture_output=True, timeout=20 * SLOW)
    assert done.returncode == 0, done.stderr
    head, _, text = done.stdout.partition(b"\r\n\r\n")
    assert b"x-request-id: " in head
    return int(head.split()[1]), json.loads(text)


def test_as_plain_cgi_below_a_prefix(admin):
    team = new()
    body = json.dumps({"scope": "team", "id": team, "capacity": 9, "refillPerSec": 0.25}).encode()
    status, got = cgi(admin.site, "POST", admin.secrets["operator"], body=body, mount="/llm")
    assert status == 200 and got["refillPerSec"] == 0.25
    assert cgi(admin.site, "GET", admin.secrets["viewer"], f"scope=team&id={team}", mount="/llm") == (200, got)
    assert cgi(admin.site, "GET", "sk-weir-no")[0] == 401 and admin.get("team", team) == got


def test_sigterm_ends_it_well(admin, tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen(8)
        log = tmp_path / "log"
        p = subprocess.Popen([str(BUILD / "weir-admin.fcgi")], stdin=listening, env=clean_env(WEIR_DATA=admin.site.data, WEIR_LOG=log))
        try:
            until("it to start", lambda: log.exists() and '"started"' in log.read_text())
            os.kill(p.pid, signal.SIGTERM)
            assert p.wait(5 * SLOW) == 0
        finally:
            p.kill()
    assert '"stopped"' in log.read_text()


def test_a_database_held_by_another_is_503_and_reading_goes_on(apart):
    apart.set("team", "kept", 5, 1)
    other = sqlite3.connect(apart.site.data + "/weir.db", isolation_level=None)
    other.execute("begin immediate")
    try:
        r = apart.ask("POST", json={"scope": "team", "id": "kept", "capacity": 6, "refillPerSec": 1})
        assert r.status_code == 503 and r.json()["error"]["code"] == "overloaded" and r.headers["retry-after"] == "1", r.text
        assert apart.get("team", "kept")["capacity"] == 5
    finally:
        other.execute("rollback")
        other.close()
    assert apart.set("team", "kept", 6, 1)["capacity"] == 6


@pytest.fixture(scope="module")
def apart(make_site):
    """A site and web server of its own: budgets that would touch other tests' callers."""
    w = harness.Web(make_site())
    a = Admin(w.start())
    yield a
    a.http.close()
    w.stop()
