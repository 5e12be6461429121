"""Who may come in from where: proxies in front, nobody at all, web pages, and those who guess."""
import json
import socket

import harness
import pytest
from conftest import SECRET
from harness import MESSAGES, until
from test_auth import new_key, post, refused_401


@pytest.fixture(scope="module")
def open_web(make_site):
    site = make_site()
    site.apply({"settings": {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8", "2001:db8:ffff::/48"],
                             "cors_origins": ["https://app.example", "http://localhost:3000"]}})
    w = harness.Web(site)
    yield w.start()
    w.stop()


@pytest.fixture
def behind(open_web, mock):
    """Weir behind trusted proxies, its pages at two origins."""
    g = harness.Gateway(open_web, mock, "flow", SECRET)
    yield g
    g.check()


# ---- the client's address ----

@pytest.mark.parametrize("headers,address", [
    ([], "127.0.0.1"),
    ([("x-forwarded-for", "198.51.100.7")], "198.51.100.7"), ([("x-forwarded-for", "198.51.100.7:1234")], "198.51.100.7"),
    ([("x-forwarded-for", "10.1.1.1, 198.51.100.7")], "198.51.100.7"), ([("x-forwarded-for", "192.0.2.1, 198.51.100.7, 10.9.9.9")], "198.51.100.7"),
    ([("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
    ([("x-forwarded-for", "2001:db8::7")], "2001:db8::7"), ([("x-forwarded-for", "[2001:DB8::7]:443")], "2001:db8::7"),
    ([("x-forwarded-for", "::ffff:198.51.100.7")], "198.51.100.7"), ([("x-forwarded-for", "2001:db8::7, 2001:db8:ffff::1")], "2001:db8::7"),
    ([("x-forwarded-for", "10.1.1.1")], "10.1.1.1"), ([("x-forwarded-for", "198.51.100.7, unknown")], None),
    ([("x-forwarded-for", "198.51.100.7, nonsense, 10.1.1.1")], None), ([("x-forwarded-for", "198.51.100.7,")], None),
    ([("x-forwarded-for", "1.2.3.4, " * 500 + "198.51.100.7")], None),
    ([("forwarded", "for=198.51.100.7;proto=https;by=10.0.0.1")], "198.51.100.7"), ([("forwarded", 'For="[2001:db8::7]:4711"')], "2001:db8::7"),
    ([("forwarded", "for=192.0.2.1, for=198.51.100.7, for=10.0.0.2")], "198.51.100.7"), ([("forwarded", "for=198.51.100.7, for=_hidden")], None),
    ([("forwarded", 'for="198.51.100.7, for=10.0.0.1')], None), ([("forwarded", "proto=https")], None),
    ([("forwarded", "for=198.51.100.7"), ("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
    ([("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "198.51.100.7")], None),
    ([("x-forwarded-for", "198.51.100.7"), ("x_forwarded_for", "192.0.2.1")], None),
    ([("x-real-ip", "198.51.100.7"), ("client-ip", "198.51.100.7"), ("true-client-ip", "198.51.100.7")], "127.0.0.1")])
def test_the_address_behind_trusted_proxies(behind, headers, address):
    """None: it cannot be told, and then no range lets the caller in, the proxy's own least of all."""
    _, here = new_key(behind, "--allow-ip", address or "127.0.0.1,10.0.0.0/8")
    _, elsewhere = new_key(behind, "--allow-ip", "203.0.113.0/24")
    models = behind.transport()
    assert models.get(behind.base + "/models", headers=[("x-api-key", here), *headers]).status_code == (200 if address else 403)
    r = models.get(behind.base + "/models", headers=[("x-api-key", elsewhere), *headers])
    assert r.status_code == 403 and r.json()["error"]["code"] == "ip_not_allowed"


# ---- keys ----

def test_a_key_is_used_at_its_endpoints_only(gw):
    alias = gw.alias("ok")
    name, secret = new_key(gw, "--endpoints", "/v1/embeddings,/v1/completions")
    r = post(gw, alias, {"x-api-key": secret})
    assert r.status_code == 403 and r.json()["error"]["code"] == "endpoint_not_allowed" and r.headers["x-should-retry"] == "false"
    assert gw.audit()["error"] == "endpoint_not_allowed" and not gw.seen(alias)
    assert gw.transport().post(gw.url + "/chat/completions", json={"model": alias, "messages": MESSAGES}, headers={"x-api-key": secret}).status_code == 403
    assert gw.transport().post(gw.base + "/completions", json={"model": alias, "prompt": "x"}, headers={"x-api-key": secret}).status_code == 200
    for path in ("/models", "/usage"):
        assert gw.transport().get(gw.base + path, headers={"x-api-key": secret}).status_code == 200
    exported = next(k for k in json.loads(gw.site.weir("export").stdout)["keys"] if k["name"] == name)
    assert exported["endpoints"] == ["/v1/embeddings", "/v1/completions"]
    done = gw.site.weir("key", "create", "--name", "x", "--endpoints", "/v1/models", check=False)
    assert done.returncode == 1 and done.stderr.startswith("endpoints[0]: ")


def test_a_change_is_felt_at_once_by_every_process(make_gw, make_site):
    site = make_site()
    one, two = make_gw(site), make_gw(site)
    for g in (one, two):
        g.usage_checked = False
    name, secret = new_key(one)
    old = secret
    ask = [lambda key, g=g, c=g.transport(): c.get(g.base + "/models", headers={"x-api-key": key}).status_code for g in (one, two)]
    assert [a(secret) for a in ask] == [200, 200]
    new = site.weir("key", "rotate", name).stdout.strip()
    assert [a(old) for a in ask] == [401, 401] and [a(new) for a in ask] == [200, 200]
    site.weir("key", "revoke", name)
    assert [a(new) for a in ask] == [401, 401]


# ---- nobody ----

def test_nobody_comes_in_only_when_switched_on_and_with_small_limits(make_gw, make_site):
    site = make_site()
    gw = make_gw(site)
    alias = gw.alias("ok")
    refused_401(gw, alias, {})
    assert "user/anonymous" in site.weir("settings", "anonymous", "true").stderr
    limits = {(x["metric"], x["shape"], x["mode"]) for x in json.loads(site.weir("limit", "list", "user/anonymous", "--json").stdout)}
    assert limits == {("requests", "window", "hard"), ("tokens", "calendar", "hard")}
    assert post(gw, alias, {}).status_code == 200
    row = gw.audit()
    assert (row["user"], row["key"], row["ip"]) == ("anonymous", None, "127.0.0.1")
    r = post(gw, alias, {"x-user-id": "root"})
    assert r.status_code == 403 and r.json()["error"]["code"] == "identity_not_allowed"
    before = len(gw.seen(alias))
    for wrong in ({"x-api-key": "nonsense"}, {"authorization": "Bearer x"}, {"authorization": "Token x"}):
        assert post(gw, alias, wrong).status_code == 401
    assert len(gw.seen(alias)) == before
    got = [post(gw, alias, {}).status_code for _ in range(10)]
    assert got.count(429) >= 1 and got[0] == 200 and gw.seen(alias)
    site.weir("settings", "anonymous", "false")
    assert post(gw, alias, {}).status_code == 401


def test_limits_that_nobody_has_already_stay(make_site):
    site = make_site()
    site.apply({"limits": [{"scope": "user/anonymous", "metric": "requests", "shape": "total", "amount": 3}], "settings": {"anonymous": True}})
    assert len(json.loads(site.weir("limit", "list", "user/anonymous", "--json").stdout)) == 1


# ---- web pages ----

def preflight(gw, origin, asked="authorization,content-type,x-stainless-os,anthropic-version,x-evil", path="/v1/chat/completions", **more):
    return gw.transport().request("OPTIONS", gw.url + path, headers={"origin": origin, "access-control-request-method": "POST",
                                                                     "access-control-request-headers": asked} | more)


def test_a_page_of_a_configured_origin_may_ask_and_read(behind):
    r = preflight(behind, "https://app.example")
    assert r.status_code == 204 and r.headers["access-control-allow-origin"] == "https://app.example" and r.headers["vary"] == "Origin"
    assert r.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os, anthropic-version"
    assert "POST" in r.headers["access-control-allow-methods"] and int(r.headers["access-control-max-age"]) <= 600
    assert "access-control-allow-credentials" not in r.headers
    alias = behind.alias("ok")
    http = behind.http(headers={"origin": "http://localhost:3000"})
    for r in (behind.chat(alias, http), behind.chat(behind.alias("stream:3:1"), http, stream=True), behind.chat("nothing", http), http.get("/v1/models")):
        assert r.headers["access-control-allow-origin"] == "http://localhost:3000" and "x-request-id" in r.headers["access-control-expose-headers"]
    r = behind.transport().get(behind.base + "/models", headers={"origin": "https://app.example"})
    assert r.status_code == 401 and r.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("origin", ["https://other.example", "https://app.example.evil.example", "https://app.example/", "http://app.example", "HTTPS://APP.EXAMPLE",
                                    "https://app.example:444", "null", "*", "x" * 600])
def test_a_page_of_another_origin_may_not(behind, origin):
    r = preflight(behind, origin)
    assert r.status_code == 204 and not [h for h in r.headers if h.startswith("access-control")]
    r = behind.http(headers={"origin": origin}).get("/v1/models")
    assert r.status_code == 200 and not [h for h in r.headers if h.startswith("access-control")]


def test_without_origins_there_is_no_cors_and_a_star_is_one(gw, make_gw, make_site):
    assert not [h for h in preflight(gw, "https://app.example").headers if h.startswith("access-control")]
    site = make_site()
    other = make_gw(site)
    site.weir("settings", "cors_origins", '["*"]')
    assert preflight(other, "https://any.example").headers["access-control-allow-origin"] == "*"


def test_answers_are_not_kept_or_guessed_at(gw):
    for r in (gw.chat(gw.alias("ok")), gw.chat("nothing"), gw.http().get("/v1/models"), gw.http().get("/v1/usage"), gw.transport().get(gw.base + "/models"), gw.http().get("/health")):
        assert r.headers["x-content-type-options"] == "nosniff" and r.headers["cache-control"] == "no-store", r.request.url
    r = gw.chat(gw.alias("stream:3:1"), stream=True)
    assert r.headers["x-content-type-options"] == "nosniff" and r.headers["cache-control"] == "no-cache"


# ---- guessing ----

def test_failures_of_an_address_are_braked_and_of_no_other(behind):
    """600 at once, then 10 a second (fcgi/base/bounds.h)."""
    alias = behind.alias("ok")
    _, known = new_key(behind)
    host = ("127.0.0.1", behind.web.port)
    assert behind.transport().get(behind.base + "/models", headers={"x-api-key": known, "x-forwarded-for": "203.0.113.5"}).status_code == 200
    one = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.5\r\nx-api-key: sk-weir-guess-%d\r\n\r\n"
    statuses = []
    with socket.create_connection(host, timeout=20 * harness.SLOW) as s, s.makefile("rb") as answers:
        for i in range(4000):
            s.sendall(one % i)
            statuses.append(int(answers.readline().split()[1]))
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                if statuses[-1] == 429 and line.lower().startswith(b"retry-after:"):
                    assert 1 <= int(line.split(b":")[1]) <= 60
            answers.read(length)
            if statuses[-1] == 429:
                break
    assert set(statuses) == {401, 429} and statuses.count(401) >= 600
    assert behind.transport().get(behind.base + "/models", headers={"x-api-key": known, "x-forwarded-for": "203.0.113.5"}).status_code == 200
    assert behind.transport().get(behind.base + "/models", headers={"x-api-key": "wrong", "x-forwarded-for": "203.0.113.6"}).status_code == 401
    _, fresh = new_key(behind)
    until("room for a new key from that address", lambda: behind.transport().get(
        behind.base + "/models", headers={"x-api-key": fresh, "x-forwarded-for": "203.0.113.5"}).status_code == 200)
    assert not behind.seen(alias)
