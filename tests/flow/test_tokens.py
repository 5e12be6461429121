"""Callers with signed tokens: which come in and as whom, and the several hundred that do not."""
import http.server
import ipaddress
import json
import sqlite3
import threading
import time

import harness
import jwt as pyjwt
import openai
import pytest
import tokens
from conftest import SECRET
from harness import MESSAGES, _serial, until

KEYS = {m: tokens.Key(m) for m in tokens.METHODS}
STRANGERS = {m: tokens.Key(m, b"another secret that is long enough for all of the methods 0123456789 0123456789") for m in tokens.METHODS}
NESTED = tokens.Key("HS256", b"the secret of the verifier whose claims are nested, 32 and more")
NARROW = tokens.Key("HS256", b"the secret of the verifier that is bound to a model, 32 and more")


class Issuer:
    """An address that gives out a key set."""

    def __init__(self):
        self.asked, self.status, self.body, self.others = 0, 200, b'{"keys":[]}', {}
        self.elsewhere = {}
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = issuer.others.get(self.path, issuer.body)
                issuer.asked += body is issuer.body
                self.send_response(302 if self.path in issuer.elsewhere else issuer.status)
                if self.path in issuer.elsewhere:
                    self.send_header("location", issuer.elsewhere[self.path])
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *a):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.url = self.base + "/keys?v=1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def gives(self, *jwks):
        self.body = json.dumps({"keys": jwks}).encode()


@pytest.fixture(scope="module")
def issuer():
    i = Issuer()
    yield i
    i.server.shutdown()
    i.server.server_close()


@pytest.fixture(scope="module")
def token_web(make_site):
    site = make_site()
    verifiers = []
    for m, key in KEYS.items():
        v = {"name": f"v-{m}", "algorithm": m} | ({"secret": key.private.decode()} if m[0] == "H" else {"public_key": key.pem})
        verifiers.append(v | ({"issuer": tokens.ISSUER, "audience": tokens.AUDIENCE} if m in ("HS256", "RS256", "ES256") else {}))
    verifiers.append({"name": "nested", "algorithm": "HS256", "secret": NESTED.private.decode(), "leeway": 0,
                      "claims": {"user": "realm.person.id", "team": "https://weir.example/team", "role": "realm.roles.1", "rolegroup": "groups.0"}})
    verifiers.append({"name": "narrow", "algorithm": "HS256", "secret": NARROW.private.decode(), "models": ["only-this"],
                      "endpoints": ["/v1/chat/completions"]})
    said = site.apply({"jwt": verifiers, "settings": {"trusted_proxies": ["127.0.0.1"]}})
    assert "not yet in force" not in said.stderr
    w = harness.Web(site, JWT_SECRET="the secret of the environment 0123456789", JWT_ALGORITHM="HS384")
    yield w.start()
    w.stop()


@pytest.fixture
def gw(token_web, mock):
    g = harness.Gateway(token_web, mock, "flow", SECRET)
    yield g
    g.check()


def post(gw, alias, headers, client=None):
    """headers: a list keeps doubles; values may be bytes."""
    return (client or gw.transport()).post(gw.base + "/chat/completions", json={"model": alias, "messages": MESSAGES},
                                           headers=list(headers.items()) if isinstance(headers, dict) else headers)


def refuse_all(gw, cases, forms=("authorization",)):
    """Each is 401 in the one form, and nothing goes upstream. Each comes from an address of its own, or the brake would
    answer (see test_failures_of_an_address_are_braked)."""
    alias, client = gw.alias("ok"), gw.transport()
    cases = list(cases)
    names = [name for name, _ in cases]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
    wrong, messages = [], set()
    for name, token in cases:
        for form in forms:
            value = f"Bearer {token}" if form == "authorization" else token
            address = str(ipaddress.ip_address(0x0a000000 + next(_serial)))
            r = post(gw, alias, [(form, value.encode("latin-1", "replace")), ("x-forwarded-for", address)], client)
            if r.status_code != 401:
                wrong.append((name, form, r.status_code, r.text[:100]))
            else:
                error = r.json()["error"]
                messages.add(error["message"])
                assert error["code"] == "invalid_api_key" and set(error) == {"message", "type", "param", "code"}
    assert not wrong, wrong
    assert len(messages) == 1, messages
    assert not gw.seen(alias), "a refused token reached the upstream"
    return len(cases)


def accepted(gw, token, alias=None, **headers):
    """The row that a request with the token leaves."""
    r = post(gw, alias or gw.alias("ok"), {"authorization": f"Bearer {token}"} | headers)
    assert r.status_code == 200, r.text
    return gw.audit()


def who(row):
    return row["user"], row["team"], row["role"], row["rolegroup"], row["key"]


# ---- refused ----

@pytest.mark.parametrize("method", tokens.METHODS)
def test_no_token_with_a_wrong_algorithm_comes_in(gw, method):
    assert refuse_all(gw, tokens.wrong_algorithms(KEYS[method])) > 60


@pytest.mark.parametrize("method", tokens.METHODS)
def test_no_token_with_a_wrong_signature_comes_in(gw, method):
    assert refuse_all(gw, tokens.wrong_signatures(KEYS[method], STRANGERS[method])) > 25


@pytest.mark.parametrize("method", ["HS384", "RS384", "ES512"])
def test_no_token_of_another_form_comes_in(gw, method):
    assert refuse_all(gw, tokens.wrong_forms(KEYS[method])) > 50


@pytest.mark.parametrize("method", ["HS512", "RS512", "ES384"])
def test_no_token_out_of_its_time_comes_in(gw, method):
    assert refuse_all(gw, tokens.wrong_times(KEYS[method])) > 30


@pytest.mark.parametrize("method", ["HS384", "ES384"])
def test_no_token_without_a_caller_comes_in(gw, method):
    assert refuse_all(gw, tokens.wrong_claims(KEYS[method]), ("authorization", "x-api-key")) > 30


@pytest.mark.parametrize("method", ["HS256", "RS256", "ES256"])
def test_no_token_of_or_for_somebody_else_comes_in(gw, method):
    assert refuse_all(gw, tokens.wrong_parties(KEYS[method])) > 30


def test_the_environment_verifier_has_one_algorithm(gw):
    secret = b"the secret of the environment 0123456789"
    right = tokens.Key("HS384", secret)
    assert who(accepted(gw, right.token())) == ("ada", "looms", "dev", "eng", None)
    refuse_all(gw, [(m, tokens.Key(m, secret).token()) for m in ("HS256", "HS512")])


def test_doubled_and_disagreeing_credentials_are_refused(gw):
    alias = gw.alias("ok")
    one, two = KEYS["HS384"].token(), KEYS["HS384"].token({"sub": "eve"})
    for headers in ([("authorization", f"Bearer {one}"), ("authorization", f"Bearer {two}")],
                    [("authorization", f"Bearer {one}"), ("authorization", f"Bearer {one}")],
                    [("authorization", f"Bearer {one}"), ("x-api-key", two)], [("authorization", f"Bearer {one}"), ("x-api-key", SECRET)],
                    [("authorization", f"Bearer {SECRET}"), ("x-api-key", one)], [("x-api-key", one), ("x_api_key", two)],
                    [("authorization", f"Bearer {one}, Bearer {two}")], [("authorization", f"Bearer {one},{two}")], [("x-api-key", f"{one},{two}")]):
        r = post(gw, alias, headers)
        gw.skip()
        assert r.status_code == 400 and one not in r.text and two not in r.text, (headers, r.text)
    assert not gw.seen(alias)


@pytest.mark.parametrize("header", ["x-user-id", "x-team-id", "x-role", "x-llm-rolegroup"])
def test_a_token_speaks_for_nobody_else(gw, header):
    alias = gw.alias("ok")
    token = KEYS["HS512"].token({"may_assert_identity": True, "scope": "admin"})
    for value in ("root", "ada", "*", "anonymous"):
        r = post(gw, alias, {"authorization": f"Bearer {token}", header: value})
        assert r.status_code == 403 and r.json()["error"]["code"] == "identity_not_allowed"
        assert who(gw.audit())[0] == "ada"
    assert not gw.seen(alias)


def test_a_verifier_may_be_bound_to_models_and_endpoints(gw):
    only, other = gw.aliased([("mock", "ok")], name="only-this"), gw.alias("ok")
    token = NARROW.token()
    assert who(accepted(gw, token, only))[0] == "ada"
    r = post(gw, other, {"authorization": f"Bearer {token}"})
    assert r.status_code == 403 and r.json()["error"]["code"] == "model_not_allowed"
    r = gw.transport().post(gw.base + "/embeddings", json={"model": only, "input": "x"}, headers={"authorization": f"Bearer {token}"})
    assert r.status_code == 403 and r.json()["error"]["code"] == "endpoint_not_allowed"
    listed = gw.transport().get(gw.base + "/models", headers={"authorization": f"Bearer {token}"}).json()["data"]
    assert [m["id"] for m in listed] == ["only-this"]


# ---- accepted ----

@pytest.mark.parametrize("method", tokens.METHODS)
def test_a_right_token_brings_its_scopes(gw, method):
    key = KEYS[method]
    expected = ("ada", "looms", "dev", "eng", None)
    assert who(accepted(gw, key.token())) == expected
    again = key.token({"sub": "bob", "team": ..., "role": None, "rolegroup": 7})
    assert who(accepted(gw, again)) == ("bob", None, None, "7", None)
    assert who(accepted(gw, again)) == ("bob", None, None, "7", None), "from memory"
    theirs = pyjwt.encode(tokens.right_claims(), key.private, algorithm=method)
    assert who(accepted(gw, theirs)) == expected


def test_right_tokens_of_other_forms_come_in(gw):
    now = int(time.time())
    key = KEYS["RS256"]
    for name, token in (("an array of audiences", key.token({"aud": ["other", "weir"]})), ("an array of one", key.token({"aud": ["weir"]})),
                        ("over, but within the leeway", key.token({"exp": now - 30})), ("soon, within the leeway", key.token({"nbf": now + 30})),
                        ("no type", key.token(header={"typ": ...})), ("a type in small letters", key.token(header={"typ": "jwt"})),
                        ("a kid", key.token(header={"kid": "whatever"})), ("a key of its own, ignored", key.token(header={"jwk": STRANGERS["RS256"].jwk()})),
                        ("an address, ignored", key.token(header={"jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"})),
                        ("other claims", key.token({"iat": now, "jti": "1", "scope": ["a"], "x": {"y": [1.5, None]}})), ("long", key.token({"x": "x" * 6000})),
                        ("escapes", tokens.build({"alg": "RS256"}, json.dumps(tokens.right_claims()).replace("ada", "\\u0061da").encode(), key.sign)),
                        ("blanks", tokens.build(b' {\n"alg" : "RS256" } ', tokens.right_claims(), key.sign))):
        row = accepted(gw, token)
        assert who(row)[0] == "ada", name
    assert who(accepted(gw, key.token({"sub": "Ådå \U0001f9f5"})))[0] == "Ådå \U0001f9f5"


def test_nested_claims_are_found(gw):
    claims = {"sub": ..., "team": ..., "role": ..., "rolegroup": ..., "realm": {"person": {"id": 42}, "roles": ["a", "weaver"]},
              "https://weir.example/team": "looms", "groups": ["g0"]}
    assert who(accepted(gw, NESTED.token(claims))) == ("42", "looms", "weaver", "g0", None)
    assert who(accepted(gw, NESTED.token(claims | {"realm.person.id": "flat", "groups": []}))) == ("flat", "looms", "weaver", None, None)
    refuse_all(gw, [("not that deep", NESTED.token(claims | {"realm": {"person": "id"}})), ("an array for an object", NESTED.token(claims | {"realm": [{"person": {"id": 1}}]})),
                    ("a group that is no text", NESTED.token(claims | {"groups": [["g"]]})), ("no leeway", NESTED.token(claims | {"exp": int(time.time()) - 2}))])


def test_a_token_taken_once_ends_with_its_time(gw):
    alias, client = gw.alias("ok"), gw.transport()
    realm = {"sub": ..., "realm": {"person": {"id": "x"}}, "exp": int(time.time()) + 2}
    token = NESTED.token(realm)
    ask = {"authorization": f"Bearer {token}"}
    assert post(gw, alias, ask, client).status_code == 200
    until("the token to be over", lambda: client.get(gw.base + "/models", headers=ask).status_code == 401, 4)


def test_a_token_taken_once_ends_with_its_verifier(gw):
    key = tokens.Key("HS256", b"a verifier that is changed in between 0123456789")
    entry = {"name": "changing", "algorithm": "HS256", "secret": key.private.decode()}
    gw.site.apply({"jwt": [entry]})
    token = key.token()
    accepted(gw, token)
    gw.site.apply({"jwt": [entry | {"secret": "another secret now, as long as it was before"}]})
    refuse_all(gw, [("of the old secret", token)])


def test_the_sdk_works_with_a_token_and_limits_bind_its_user(gw):
    gw.site.weir("limit", "set", "user/counted", "--metric", "requests", "--shape", "total", "--amount", "1")
    client = gw.sdk(KEYS["ES256"].token({"sub": "counted"}))
    alias = gw.alias("ok")
    assert client.chat.completions.create(model=alias, messages=MESSAGES).choices
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model=alias, messages=MESSAGES)
    report = gw.transport().get(gw.base + "/usage", headers={"authorization": f"Bearer {KEYS['ES256'].token({'sub': 'counted'})}"}).json()
    assert [x["used"] for x in report["limits"]] == [1] and report["month"]["requests"] >= 1


# ---- key sets ----

def make_due(gw, name):
    """As if the last fetch had been a minute ago."""
    db = sqlite3.connect(f"{gw.site.data}/weir.db", timeout=10)
    with db:
        db.execute("update key_set set tried = tried - 61000 where verifier = ?", (name,))
    db.close()


def status(gw, token):
    return gw.transport().get(gw.base + "/models", headers={"authorization": f"Bearer {token}"}).status_code


@pytest.mark.parametrize("method", ["RS256", "ES512"])
def test_keys_come_from_a_set_and_are_fetched_again_for_a_new_kid(gw, issuer, method):
    name = f"set-{method}"
    old, new, third = (tokens.Key(method) for _ in range(3))
    issuer.status = 200
    issuer.gives({"kty": "oct", "k": "AAAA", "kid": "old"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak"}, None, 7,
                 third.jwk("enc", use="enc"), old.jwk("old", alg=method, use="sig"), third.jwk("old"))
    gw.site.apply({"jwt": [{"name": name, "algorithm": method, "jwks_url": issuer.url}]})
    first = old.token(header={"kid": "old"})
    until("the set to be fetched", lambda: status(gw, first) == 200)
    assert who(accepted(gw, first))[0] == "ada"
    refuse_all(gw, [("another key of that kid", third.token(header={"kid": "old"})), ("a key for encryption", third.token(header={"kid": "enc"})),
                    ("an unknown kid", new.token(header={"kid": "new"})), ("a kid in capitals", old.token(header={"kid": "OLD"}))])
    assert status(gw, old.token()) == 200, "without a kid where there is one key"
    issuer.gives(old.jwk("old"), new.jwk("new"))
    asked = issuer.asked
    second = new.token(header={"kid": "new"})
    for _ in range(20):
        assert status(gw, second) == 401
    assert issuer.asked == asked, "fetched more than once a minute"
    make_due(gw, name)
    until("the new key to be taken", lambda: status(gw, second) == 200)
    assert issuer.asked == asked + 1 and status(gw, first) == 200
    assert status(gw, old.token()) == 401, "without a kid where there is a choice"
    issuer.status = 500  # and what cannot be fetched leaves what is there
    make_due(gw, name)
    assert status(gw, third.token(header={"kid": "gone"})) == 401
    until("the failure to be logged", lambda: f'"verifier":"{name}","reason":"it answered with status 500"' in gw.web.log.read_text())
    assert status(gw, second) == 200 and status(gw, first) == 200


def test_a_bad_set_is_no_set(gw, issuer):
    bodies = [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"<html>", b'{"keys":[{"kty":"RSA"}]}', b'{"keys":[' + b"1," * 200000 + b"1]}"]
    issuer.status, issuer.others = 200, {f"/bad/{i}": body for i, body in enumerate(bodies)}
    gw.site.apply({"jwt": [{"name": f"bad-{i}", "algorithm": "RS256", "jwks_url": f"{issuer.base}/bad/{i}"} for i in range(len(bodies))]})
    until("the failures to be logged", lambda: all(f'"verifier":"bad-{i}","reason":' in gw.web.log.read_text() for i in range(len(bodies))))
    assert gw.site.query("select distinct keys from key_set where verifier like 'bad-%'") == [(None,)]
    said = {v["name"]: v for v in json.loads(gw.site.weir("jwt", "list", "--json").stdout)}
    assert all(said[f"bad-{i}"]["error"] and said[f"bad-{i}"]["tried"] and not said[f"bad-{i}"]["fetched"] for i in range(len(bodies)))
    for i in range(len(bodies)):
        gw.site.weir("jwt", "remove", f"bad-{i}")
    assert not gw.site.query("select 1 from key_set where verifier like 'bad-%'")


def test_a_set_has_its_bound_and_is_fetched_where_it_is_said_to_be(gw, issuer):
    """256 KB of it are read; and no redirect is followed, wherever it leads."""
    key = tokens.Key("RS256")
    whole = json.dumps({"keys": [key.jwk("k1")]}).encode()
    issuer.status = 200
    issuer.others = {"/edge": whole.ljust(256 << 10), "/past": whole.ljust((256 << 10) + 1), "/set": whole, "/moved": b""}
    issuer.elsewhere = {"/moved": f"{issuer.base}/set"}
    gw.site.apply({"jwt": [{"name": f"of-{n}", "algorithm": "RS256", "jwks_url": f"{issuer.base}/{n}"} for n in ("edge", "past", "moved")]})
    state = lambda: {v["name"]: (v["keys"], v["error"]) for v in json.loads(gw.site.weir("jwt", "list", "--json").stdout) if v["name"].startswith("of-")}
    until("all to be tried", lambda: all(k or e for k, e in state().values()))
    assert state() == {"of-edge": (["k1"], None), "of-past": (None, "it is too long"), "of-moved": (None, "it answered with status 302")}
    assert status(gw, key.token(header={"kid": "k1"})) == 200
    for n in ("edge", "past", "moved"):
        gw.site.weir("jwt", "remove", f"of-{n}")
    assert status(gw, key.token(header={"kid": "k1"})) == 401


def test_a_verifier_s_set_is_of_its_algorithm(gw, issuer):
    """Another algorithm at the same address: the old keys are no longer kept for it."""
    old, new = tokens.Key("RS256"), tokens.Key("ES256")
    issuer.status = 200
    issuer.gives(old.jwk("old"), new.jwk("new"))
    entry = {"name": "turning", "algorithm": "RS256", "jwks_url": issuer.url}
    gw.site.apply({"jwt": [entry]})
    until("the old key", lambda: status(gw, old.token(header={"kid": "old"})) == 200)
    gw.site.apply({"jwt": [entry | {"algorithm": "ES256"}]})
    assert status(gw, old.token(header={"kid": "old"})) == 401
    until("the new key", lambda: status(gw, new.token(header={"kid": "new"})) == 200)
    gw.site.weir("jwt", "remove", "turning")


def test_a_verifier_s_secret_goes_when_its_algorithm_has_none(site):
    secret = "a secret that is to be forgotten, 32 and more"
    entry = {"name": "turned", "algorithm": "HS256"}
    sealed = lambda: site.query("select sealed from jwt_verifier where name = 'turned'")[0][0]
    site.apply({"jwt": [entry | {"secret": secret}]})
    first = sealed()
    site.apply({"jwt": [entry | {"issuer": "https://id"}]})
    assert sealed() == first
    site.apply({"jwt": [{"name": "turned", "algorithm": "ES256", "public_key": KEYS["ES256"].pem}]})
    assert sealed() is None
    done = site.weir("apply", "/dev/stdin", check=False, feed=json.dumps({"jwt": [entry]}))
    assert done.returncode == 1 and done.stderr.startswith("jwt[0].secret: is missing")
    site.weir("jwt", "remove", "turned")
    rows = site.query("select action, before, after from admin_change where subject = 'turned' order by id")
    assert [r[0] for r in rows] == ["token verifier added", "token verifier changed", "token verifier changed", "token verifier removed"]
    assert [bool(r[1]) for r in rows] == [False, True, True, True] and json.loads(rows[1][2])["issuer"] == "https://id" and rows[3][2] is None
    assert not [r for r in rows if secret in str(r)]


def test_a_verifier_that_is_removed_takes_nothing_any_more_in_any_process(make_gw, make_site):
    key = tokens.Key("HS256")
    site = make_site()
    one, two = make_gw(site), make_gw(site)
    for g in (one, two):
        g.usage_checked = False
    site.apply({"jwt": [{"name": "going", "algorithm": "HS256", "secret": key.private.decode(), "issuer": tokens.ISSUER}]})
    listed = json.loads(site.weir("jwt", "list", "--json").stdout)
    assert [(v["name"], v["algorithm"], v["issuer"], v["has_secret"], v["keys"], v["leeway"]) for v in listed] == [("going", "HS256", tokens.ISSUER, True, None, 60)]
    assert "going" in site.weir("jwt", "list").stdout and key.private.decode() not in str(listed)
    token = key.token()
    assert [status(g, token) for g in (one, two) * 2] == [200] * 4
    site.weir("jwt", "remove", "going")
    assert [status(g, token) for g in (one, two)] == [401, 401]
    assert json.loads(site.weir("jwt", "list", "--json").stdout) == []
    done = site.weir("jwt", "remove", "going", check=False)
    assert done.returncode == 1 and "no token verifier of that name" in done.stderr


def test_claims_that_look_like_scopes_are_names_like_others(gw):
    """A limit on every member holds for the member called "*" by itself, and one on a team for that team alone."""
    gw.site.weir("limit", "set", "team/*", "--metric", "requests", "--shape", "total", "--amount", "1")
    alias, client, key = gw.alias("ok"), gw.transport(), KEYS["ES384"]
    for n, team in enumerate(("*", "a/b", "a", "user/root", "global", "team/a", "' OR '1'='1", "\u00e9", "e\u0301", "x" * 128)):
        ask = {"authorization": f"Bearer {key.token({'sub': f'odd-{n}', 'team': team})}"}
        assert [post(gw, alias, ask, client).status_code for _ in range(2)] == [200, 429], team
        assert gw.audit()["team"] == team
    gw.site.weir("limit", "remove", "team/*", "--metric", "requests")


def test_tick_fetches_sets_where_no_process_stays(make_site, issuer):
    site, key = make_site(), tokens.Key("RS256")
    issuer.status = 200
    issuer.gives(key.jwk("k1"))
    site.apply({"jwt": [{"name": "idp", "algorithm": "RS256", "jwks_url": issuer.url}]})
    assert json.loads(site.weir("tick", "--json").stdout)["key_sets_fetched"] == 1
    assert json.loads(site.weir("tick", "--json").stdout)["key_sets_fetched"] == 0
    keys = json.loads(site.query("select keys from key_set")[0][0])
    assert [k["kid"] for k in keys] == ["k1"] and keys[0]["pem"] == key.pem


# ---- the document ----

@pytest.mark.parametrize("entry,path", [
    ({"algorithm": "RS256", "public_key": KEYS["ES256"].pem}, "public_key"), ({"algorithm": "ES256", "public_key": KEYS["RS256"].pem}, "public_key"),
    ({"algorithm": "ES256", "public_key": KEYS["ES384"].pem}, "public_key"), ({"algorithm": "RS256", "public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}, "public_key"),
    ({"algorithm": "HS256", "secret": "x" * 40, "leeway": -1}, "leeway"), ({"algorithm": "HS256", "secret": "x" * 40, "leeway": 3601}, "leeway"),
    ({"algorithm": "HS256", "secret": "x" * 40, "endpoints": ["/v1/models"]}, "endpoints[0]"), ({"algorithm": "HS256", "secret": "x" * 40, "models": []}, "models"),
    ({"algorithm": "HS256", "secret": "x" * 40, "claims": {"user": ""}}, "claims.user"), ({"algorithm": "PS256", "secret": "x" * 40}, "algorithm")])
def test_a_verifier_that_cannot_work_is_refused(site, entry, path):
    done = site.weir("apply", "/dev/stdin", check=False, feed=json.dumps({"jwt": [{"name": "wrong"} | entry]}))
    assert done.returncode == 1 and done.stderr.startswith(f"jwt[0].{path}: "), done.stderr
