"""The administrators' JSON: it does what the pages do, under the same rules, and is what openapi.json says it is."""
import json
import re

import jsonschema_rs  # schemathesis brings it
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

import harness
import tokens
from harness import ROOT, SLOW, _serial

DESCRIPTION = json.loads((ROOT / "www/openapi.json").read_text())
ROUTE = re.compile(r'\{"(/[^"]+)", WEB_([A-Z]+), JSON, ADMIN_([A-Z]+), \w+\}')
ROUTES = [(path, method.lower(), role.lower()) for path, method, role in ROUTE.findall((ROOT / "admin/web_route.c").read_text())]


class Api:
    def __init__(self, web):
        self.web, self.site = web, web.site
        self.keys = {role: self.site.weir("admin", "add", f"api-{next(_serial)}", "--role", role).stdout.strip() for role in ("viewer", "operator", "admin")}
        self.http = harness.http_client(base_url=web.url + "/admin/api/v1")

    def ask(self, method, path, status=200, role="admin", **kw):
        r = self.http.request(method, path, headers={"x-api-key": self.keys[role]}, **kw)
        assert r.status_code == status, (r.status_code, r.text)
        return r.json()


@pytest.fixture(scope="module")
def api(web):
    a = Api(web)
    yield a
    a.http.close()


def new(kind):
    return f"{kind}-{next(_serial)}"


def test_every_route_is_described_and_every_described_route_is_there():
    described = {(p, m) for p, ms in DESCRIPTION["paths"].items() for m in ms if p.startswith(("/admin", "/config", "/sync"))}
    assert described == {(p, m) for p, m, _ in ROUTES} and len(ROUTES) > 30


@pytest.mark.parametrize("path, method, role", ROUTES)
def test_a_role_below_is_refused(api, path, method, role):
    below = {"viewer": None, "operator": "viewer", "admin": "operator"}[role]
    r = api.http.request(method, api.web.url + path, json={} if method != "get" else None, headers={"x-api-key": api.keys[below]} if below else {})
    assert r.status_code == (403 if below else 401) and set(r.json()["error"]) == {"message", "type", "param", "code"}


def test_a_limit_is_set_listed_reset_and_removed(api, gw):
    team, alias = new("team"), gw.alias("ok")
    entry = {"scope": f"team/{team}", "metric": "requests", "shape": "total", "amount": 1}
    assert api.ask("PUT", "/limits", json=entry, role="operator") == {"ok": True, "notes": []}
    caller = gw.http(gw.site.create_key(new("key"), "--team", team))
    assert gw.chat(alias, caller).status_code == 200 and gw.chat(alias, caller).status_code == 429
    line = api.ask("GET", "/limits", params={"scope": f"team/{team}"}, role="viewer")["data"][0]
    assert (line["limit"], line["used"], line["held"], line["remaining"]) == (1, 1, 0, 0)
    assert api.ask("GET", "/what-if", params={"team": team})["data"][0]["refuses"] is True
    assert api.ask("POST", "/limits/reset", json={"scope": f"team/{team}", "metric": "requests"}) == {"reset": 1}
    assert gw.chat(alias, caller).status_code == 200
    assert api.ask("DELETE", "/limits", params={"scope": f"team/{team}", "metric": "requests"}) == {"removed": 1}
    api.ask("DELETE", "/limits", 404, params={"scope": f"team/{team}", "metric": "requests"})
    changes = [c for c in api.ask("GET", "/changes")["data"] if c["subject"] == f"team/{team}"]
    assert [c["action"] for c in changes] == ["limit removed", "limit reset", "limit added"] and changes[2]["after"]["amount"] == 1
    assert {c["via"] for c in changes} == {"key"}


def test_the_cache_is_counted_and_cleared(api, gw):
    alias = gw.alias("ok", cache_ttl=60, cache_scope="team", stale_for=5)
    assert [gw.chat(alias).headers["x-weir-cache"] for _ in range(2)] == ["miss", "hit"]
    counts = {"asked": 2, "served": 1}
    assert {"alias": alias, "cache_ttl": 60, "stale_for": 5, "cache_scope": "team", "today": counts, "month": counts} in \
        api.ask("GET", "/cache", role="viewer")["models"]
    assert api.ask("DELETE", "/cache", role="operator")["removed"] >= 1
    assert api.ask("GET", "/changes")["data"][0]["action"] == "cache cleared"
    assert api.ask("GET", "/cache")["entries"] == 0


def test_lists_go_on_where_they_ended(api):
    lead = new("scope")
    api.ask("PUT", "/document", json={"limits": [{"scope": f"user/{lead}-{i}", "metric": "requests", "shape": "total", "amount": 1} for i in range(9)]})
    seen, start = [], f"user/{lead}"
    while start and start.startswith(f"user/{lead}"):
        part = api.ask("GET", "/limits", params={"from": start, "limit": 4})
        seen += [x["scope"] for x in part["data"]]
        start = part["next"]
    assert [s for s in seen if lead in s] == [f"user/{lead}-{i}" for i in range(9)]
    for i in range(9):
        api.ask("DELETE", "/limits", params={"scope": f"user/{lead}-{i}", "metric": "requests"})


def test_a_key_is_made_rotated_and_revoked(api, gw):
    name = new("key")
    secret = api.ask("PUT", "/keys", 201, json={"name": name, "user": "ada"}, role="operator")["secret"]
    assert api.ask("PUT", "/keys", json={"name": name, "user": "grace"})["secret"] is None
    assert [k for k in api.ask("GET", "/keys", params={"name": name})["data"] if k["name"] == name][0]["user"] == "grace"
    rotated = api.ask("POST", "/keys/rotate", json={"name": name})["secret"]
    assert gw.http(secret).get("/v1/models").status_code == 401 and gw.http(rotated).get("/v1/models").status_code == 200
    api.ask("POST", "/keys/revoke", json={"name": name})
    assert gw.http(rotated).get("/v1/models").status_code == 401
    api.ask("POST", "/keys/rotate", 400, json={"name": name})
    api.ask("POST", "/keys/revoke", 404, json={"name": "no such key"})


def test_a_token_verifier_is_put_listed_and_removed(api, gw):
    name, key = new("verifier"), tokens.Key("ES256")
    entry = {"name": name, "algorithm": "ES256", "public_key": key.pem, "issuer": tokens.ISSUER, "models": ["a"]}
    status = lambda: gw.transport().get(gw.base + "/models", headers={"authorization": f"Bearer {key.token()}"}).status_code
    assert status() == 401 and api.ask("PUT", "/jwt", json=entry) == {"ok": True, "notes": []} and status() == 200
    found = [v for v in api.ask("GET", "/jwt", role="viewer")["data"] if v["name"] == name]
    assert found == [entry | {"claims": {"user": "sub", "team": "team", "role": "role", "rolegroup": "rolegroup"}, "has_secret": False, "keys": None,
                              "fetched": None, "tried": None, "error": None}]
    assert api.ask("PUT", "/jwt", 400, json=entry | {"public_key": tokens.Key("ES384").pem})["error"]["param"] == "public_key"
    assert api.ask("PUT", "/jwt", 400, json={"name": name, "algorithm": "HS256", "secret": "env:PATH"})["error"]["param"] == "secret"
    assert api.ask("DELETE", "/jwt", 400)["error"]["param"] == "name"
    assert api.ask("DELETE", "/jwt", params={"name": name}) == {"ok": True} and status() == 401
    api.ask("DELETE", "/jwt", 404, params={"name": name})
    assert [c["action"] for c in api.ask("GET", "/changes")["data"] if c["subject"] == name] == ["token verifier removed", "token verifier added"]


def test_faults_name_the_member(api):
    for body, param in (({"scope": "team/x", "metric": "tokens", "shape": "total", "amount": -1}, "amount"), ({"scope": "team/x"}, "metric"),
                        ({"scope": "team/x", "metric": "tokens", "shape": "total", "amount": 1, "more": 1}, "more")):
        assert api.ask("PUT", "/limits", 400, json=body)["error"]["param"] == param
    r = api.ask("PUT", "/providers", 400, json={"name": new("p"), "dialect": "openai", "base_url": "https://a.example", "keys": [{"name": "k", "secret": "file:/etc/hostname"}]})
    assert r["error"]["param"] == "keys[0].secret"


def test_a_provider_s_breaker_is_forced_and_let_go(api, gw):
    name = new("provider")
    api.ask("PUT", "/providers", json={"name": name, "dialect": "openai", "base_url": f"http://127.0.0.1:{gw.mock.port}/v1",
                                     "keys": [{"name": "k", "secret": harness.PROVIDER_KEY}]})
    alias = gw.aliased([(name, "ok")])
    state = lambda: next(p for p in api.ask("GET", "/providers")["data"] if p["name"] == name)
    api.ask("POST", "/providers/breaker", json={"name": name, "breaker": "open"}, role="operator")
    assert (state()["breaker"], state()["forced"]) == ("open", "open") and gw.chat(alias).status_code == 503
    api.ask("POST", "/providers/breaker", json={"name": name, "breaker": "auto"})
    assert state()["forced"] is None and gw.chat(alias).status_code == 200
    assert "leads there" in api.ask("DELETE", "/providers", 400, params={"name": name})["error"]["message"]
    api.ask("DELETE", "/models", params={"alias": str(alias)})
    api.ask("DELETE", "/providers", params={"name": name})


def test_usage_and_audit_say_what_happened(api, gw):
    user, alias = new("user"), gw.alias("ok")
    gw.chat(alias, gw.http(gw.site.create_key(new("key"), "--user", user)))
    row = api.ask("GET", "/audit", params={"user": user})["data"]
    assert len(row) == 1 and row[0] == gw.audit()
    assert next(u for u in api.ask("GET", "/usage", params={"by": "user"})["data"] if u["user"] == user)["requests"] == 1


def test_a_document_is_checked_before_it_is_written(api):
    doc = {"keys": [{"name": new("key")}], "limits": [{"scope": "team/y", "metric": "tokens", "shape": "total", "amount": 1}]}
    dry = api.ask("PUT", "/document", params={"dry_run": "1"}, json=doc)
    assert dry["keys"] == [] and dry["changes"] == ["team/y: limit added", f"{doc['keys'][0]['name']}: key added"]
    assert len(api.ask("PUT", "/document", json=doc)["keys"]) == 1
    assert api.ask("PUT", "/document", json={"limits": doc["limits"]})["sections"]["limits"] == {"added": 0, "changed": 0, "same": 1}
    api.ask("DELETE", "/limits", params={"scope": "team/y", "metric": "tokens"})


def test_a_name_that_leads_nowhere_and_a_member_that_goes_are_noted(api):
    name = new("key")
    assert api.ask("PUT", "/keys", 201, json={"name": name, "models": ["no-such-model"], "team": "t"})["notes"] == ["models[0]: no-such-model is no model here"]
    done = api.ask("PUT", "/document", json={"keys": [{"name": name, "models": ["no-such-model"]}]})
    assert done["notes"] == ["keys[0].models[0]: no-such-model is no model here", f'keys[0]: {name}: team was "t"; the entry does not say it, so it is gone']
    assert done["changes"] == [f'{name}: team "t" -> gone']


# ---- the description itself ----

DOC_TABLE = re.compile(r"^(?:static )?bool (\w+)\([^{;]*?\)\n\{(.*?)^\}", re.M | re.S)
FIELD = re.compile(r'\{"(\w+)", FIELD_([A-Z]+), offsetof\([^)]*\), (true|false),\s+([^,]+),\s+([^,]+),\s+([^}]+)\}')
# Which table of admin/doc_*.c reads what a schema describes.
READ_BY = {"upstream_key_read": ["ProviderKey"], "timeouts_read": ["Provider", "timeouts"], "doc_provider_read": ["Provider"], "target_read": ["Target"],
           "context_read": ["Model", "context"], "doc_model_read": ["Model"], "doc_key_read": ["Key"], "doc_limit_read": ["Limit"],
           "doc_jwt_read": ["Verifier"], "claims": ["Verifier", "claims"], "document_read": ["Document"]}


def number(text, names):
    text = text.strip()
    return eval(re.sub(r"[A-Z_]{3,}", lambda m: f"({names[m[0]]})", text), {"__builtins__": {}})  # "BOUND_ALIAS + 16"


def tables():
    """Every table of fields that a document is read by, out of the source: {reader: {field: (type, required, least, most, choices)}}."""
    sources = [p.read_text() for p in [*sorted((ROOT / "admin").glob("doc*.[ch]")), ROOT / "fcgi/base/bounds.h", ROOT / "sql/keys.h"]]
    names = {n: v for s in sources for n, v in re.findall(r"#define ([A-Z_]+) +(\(?[0-9][0-9 *()]*)", s)}
    words = {n: v for s in sources for n, v in re.findall(r'#define ([A-Z_]+) +"([^"]*)"', s)}
    found = {}
    for source in sources:
        for reader, body in DOC_TABLE.findall(source):
            for table, rows in re.findall(r"static const struct field (\w+)\[\] = \{(.*?)\n    \};", body, re.S):
                fields = {n: (kind, required == "true", number(least, names), number(most, names), None if "NULL" in choices else words.get(choices.strip(), choices.strip(' "')))
                          for n, kind, required, least, most, choices in FIELD.findall(rows)}
                found["claims" if table == "claim_table" else reader] = fields
    return found


def schema_of(path):
    s = DESCRIPTION["components"]["schemas"][path[0]]
    for member in path[1:]:
        s = s["properties"][member]
    return s


@pytest.mark.parametrize("reader", READ_BY)
def test_the_description_has_what_the_document_s_reader_reads(reader):
    fields, s = tables()[reader], schema_of(READ_BY[reader])
    variants = s.get("oneOf", [s])
    described = {n: p for v in variants for n, p in v["properties"].items()}
    assert described.keys() == fields.keys() and all(v["additionalProperties"] is False for v in variants)
    for v in variants:
        assert {n for n, f in fields.items() if f[1]} <= set(v.get("required", []))
    if "oneOf" not in s:
        assert set(s.get("required", [])) == {n for n, f in fields.items() if f[1]}
    for n, (kind, _, least, most, choices) in fields.items():
        p = described[n]
        if choices and "const" not in p and "oneOf" not in s:
            assert p["enum"] == choices.split("|"), n
        elif kind == "INT":
            assert (p["type"], p["minimum"], p["maximum"]) == ("integer", least, most), n
        elif kind in ("TEXT", "LINES") and most and n not in ("scope", "expires"):
            assert (p["type"], p["minLength"], p["maxLength"]) == ("string", least, most), n
        elif kind == "NAME":
            assert (p["type"], p["minLength"], p["maxLength"]) == ("string", 1, 128), n
        elif kind == "BOOL":
            assert p["type"] == "boolean", n


def test_the_description_has_every_part_of_a_price():
    four = re.findall(r'\{"(\w+)", FIELD_MONEY', (ROOT / "admin/doc_price.c").read_text())
    parts = re.findall(r'\[PRICE_\w+\] = "(\w+)"', (ROOT / "sql/price_parts.c").read_text())
    assert len(four) == 4 and len(parts) > 10 and set(schema_of(["Price"])["properties"]) == {*four, *parts}


def test_every_table_of_the_document_is_described():
    assert set(tables()) == set(READ_BY)


def test_the_description_has_every_setting_with_its_default(api):
    described = DESCRIPTION["components"]["schemas"]["Settings"]["properties"]
    assert {s["name"]: s["default"] for s in api.ask("GET", "/settings")["data"]} == {n: p["default"] for n, p in described.items()}


@pytest.mark.parametrize("path, method, role", ROUTES)
def test_who_may_do_it_and_what_it_looks_like_are_described(path, method, role):
    o = DESCRIPTION["paths"][path][method]
    assert o["description"] == {"viewer": "For every administrator.", "operator": "For the roles operator and admin.", "admin": "For the role admin."}[role]
    assert {"400", "401", "403"} <= set(o["responses"])
    parts = [r["content"]["application/json"] for code, r in o["responses"].items() if code[0] == "2"]
    parts += [o["requestBody"]["content"]["application/json"]] if "requestBody" in o else []
    for part in parts:
        jsonschema_rs.validator_for({"$ref": "#/at", "at": part["schema"], "components": DESCRIPTION["components"]}).validate(part["examples"]["example"]["value"])


# ---- what a fuzzer sends by the description ----



@pytest.fixture(scope="module")
def fuzzed(make_site):
    """A site of its own: what is sent here changes everything."""
    w = harness.Web(make_site())
    w.start()
    a = Api(w)
    for i in range(8):  # enough administrators, so that the fuzzer cannot lock itself out
        w.site.weir("admin", "password", f"spare-{i}", "--role", "admin")
    yield a
    a.http.close()
    w.stop()


schema = schemathesis.openapi.from_dict(DESCRIPTION).include(path_regex="^/(admin|config)/").exclude(path_regex="(administrators|providers/test|admin-keys/revoke)")


@schema.parametrize()
@settings(max_examples=6, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_by_the_description_gets_an_answer_of_the_description(case, fuzzed):
    from schemathesis import checks
    kept = {k: v for k, v in (case.headers or {}).items() if k.lower() not in ("authorization", "x-api-key", "content-length", "transfer-encoding")}
    case.headers = kept | {"x-api-key": fuzzed.keys["admin"]}
    response = case.call(base_url=fuzzed.web.url, timeout=10 * SLOW)
    if response.headers.get("content-type") == ["text/html"] and response.status_code == 400:
        return  # control characters in an address: lighttpd's to refuse
    case.validate_response(response, checks=[checks.not_a_server_error, checks.CHECKS.get_one("response_schema_conformance"),
                                             checks.CHECKS.get_one("content_type_conformance")])
