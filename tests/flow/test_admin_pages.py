"""The administrators' pages as a person without script uses them: what was done is in force and on record, what was wrong
stands beside its field with the input kept, and nothing anybody sends becomes markup."""
import contextlib
import csv
import io
import json
import sqlite3

import pytest

import harness
import tokens
from admin_site import Page, logged_in, secret_of
from harness import MESSAGES, _serial

PAGES = ("overview", "overview?range=week&what=tokens&by=user", "overview?range=month&what=requests&by=team", "budgets", "budgets?kind=user",
         "budgets?of=user/*", "budget", "what-if", "what-if?user=ada", "keys", "keys?people=1", "key", "verifiers", "verifier", "providers", "provider", "models", "model",
         "cache", "audit", "audit?outcome=refused", "playground", "settings", "administrators", "changes", "password", "code")
HOSTILE = {"script": "<script>alert(1)</script>", "quotes": "\"'`><img src=x>", "bidi": "a\u202egpj.\u2066b\u2069\u200f", "long": "x" * 10240,
           "entity": "&lt;b&gt;&#39;", "braces": "{}{}%s%n", "unicode": "ünï\U0001f980\u0301" * 5, "space": "  ", "newline": "a\r\nX: 1",
           "comment": "--><!--", "path": "../../etc/passwd", "sql": "'; drop table audit; --", "attribute": "x\" onmouseover=\"y"}


@pytest.fixture(scope="module")
def admin(web):
    b = logged_in(web, f"admin-{next(_serial)}", "admin")
    yield b
    b.close()


def new(kind):
    return f"{kind}-{next(_serial)}"


def last_change(site):
    return dict(zip(("who", "via", "action", "subject", "before", "after"),
                    site.query("select who, via, action, subject, before, after from admin_change order by id desc limit 1")[0], strict=True))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_whole_and_has_one_heading_and_labelled_fields(admin, page):
    p = admin.get(page)
    assert p.text.count("<h1>") == 1 and 'lang="en"' in p.text and 'href="#main"' in p.text
    assert all(s.startswith("../static/") for s in p.scripts)
    for form in p.forms:
        if form["method"] == "post":
            assert any(k == "csrf" and v for k, v in form["fields"]), form["action"]


# ---- the cache ----

def test_kept_answers_are_counted_by_model_and_forgotten_by_an_operator(admin, web, gw):
    alias = gw.alias("ok", cache_ttl=60)
    assert [gw.chat(alias).headers["x-weir-cache"] for _ in range(3)] == ["miss", "hit", "hit"]
    assert f"{alias}60 s\N{EN DASH}the caller's own66.6 % of 366.6 % of 3" in admin.get("cache").said
    assert "answered from the cache" in admin.get("overview").said
    operator, viewer = (logged_in(web, new(role), role) for role in ("operator", "viewer"))
    assert not [f for f in viewer.get("cache").forms if f["action"] == "cache-clear"]
    assert viewer.ask("POST", "cache-clear", data={"csrf": viewer.get("cache").csrf, "confirm": "1"}).status_code == 403
    asked = operator.send(operator.get("cache"), "cache-clear")
    assert "cannot be brought back" in asked.said and gw.chat(alias).headers["x-weir-cache"] == "hit"
    assert "are forgotten" in operator.send(asked, "cache-clear").said
    change = last_change(gw.site)
    assert change["action"] == "cache cleared" and json.loads(change["before"])["entries"] >= 1
    harness.until("a miss", lambda: gw.chat(alias).headers["x-weir-cache"] == "miss")
    operator.close(), viewer.close()


# ---- budgets ----

def test_a_budget_is_set_used_up_raised_and_removed(admin, gw):
    team, alias = new("team"), gw.alias("ok")
    caller = gw.http(gw.site.create_key(new("key"), "--team", team))
    page = admin.send(admin.get("budget"), "budget", kind="team", id=team, metric="requests", shape="total", amount="1", period="")
    assert f"The limit on team/{team} is in force" in page.said
    assert gw.chat(alias, caller).status_code == 200 and gw.chat(alias, caller).status_code == 429
    shown = admin.get(f"budgets?scope=team/{team}")
    assert "1 of 1" in shown.said and 'class="bar full"' in shown.text
    assert f"team/{team}" in admin.get("what-if").said
    edit = admin.get(next(x for x in shown.links if x.startswith("budget?")))
    admin.send(edit, "budget", amount="2")
    assert gw.chat(alias, caller).status_code == 200 and gw.chat(alias, caller).status_code == 429
    change = last_change(gw.site)
    assert change["action"] == "limit changed" and json.loads(change["before"])["amount"] == 1 and json.loads(change["after"])["amount"] == 2
    asked = admin.send(edit, "budget-reset")
    assert "cannot be brought back" in asked.said and gw.chat(alias, caller).status_code == 429
    admin.send(asked, "budget-reset")
    assert gw.chat(alias, caller).status_code == 200
    assert "removed" in admin.send(admin.send(edit, "budget-remove"), "budget-remove").said
    assert gw.chat(alias, caller).status_code == 200
    assert last_change(gw.site)["action"] == "limit removed"


def test_what_if_says_who_would_be_refused(admin, gw):
    user = new("user")
    admin.send(admin.get("budget"), "budget", kind="user", id=user, metric="tokens", shape="window", seconds="60", amount="100", period="")
    assert "let through" in admin.get(f"what-if?user={user}&tokens=100").said
    assert "would be refused now" in admin.get(f"what-if?user={user}&tokens=101").said
    admin.send(admin.send(admin.get(f"budget?scope=user/{user}&metric=tokens&shape=window&seconds=60"), "budget-remove"), "budget-remove")


@pytest.mark.parametrize("fields, field, why", [
    (dict(amount="many"), "amount", "must be a number"), (dict(amount="0"), "amount", "must be above 0"),
    (dict(kind="global", id="x"), "id", "must be global"), (dict(id=""), "id", "no name"),
    (dict(shape="window", period="", seconds=""), "seconds", "is missing"), (dict(seconds="5"), "seconds", "does not belong"),
    (dict(metric="cost", amount="1e3"), "amount", "decimal text"), (dict(warn_percent="101"), "warn_percent", "from 1 to 100"),
    (dict(shape="bucket", period="", refill_per_sec="fast"), "refill_per_sec", "must be a number"),
])
def test_what_is_wrong_stands_beside_its_field_and_the_input_is_kept(admin, web, fields, field, why):
    id = new("kept")
    page = admin.send(admin.get("budget"), "budget", 400, **({"kind": "team", "id": id, "metric": "tokens", "shape": "calendar", "period": "month",
                                                              "amount": "5"} | fields))
    assert why in page.said and f'id="e-{field}"' in page.text and f'aria-describedby="e-{field}"' in page.text
    sent = dict(page.form_to("budget")["fields"])
    assert all(sent[k] == v for k, v in fields.items()), sent
    assert not web.site.query("select 1 from limit_rule where scope = ?", f"team/{id}")


# ---- keys ----

def test_a_key_is_made_used_changed_rotated_and_revoked(admin, gw):
    name, alias, other = new("key"), gw.alias("ok"), gw.alias("ok")
    made = admin.send(admin.get("key"), "key", name=name, user="grace", team="looms", models=f"{alias}\n", expires="90d")
    secret = secret_of(made)
    caller = gw.http(secret)
    assert gw.chat(alias, caller).status_code == 200 and gw.chat(other, caller).status_code == 403
    assert secret not in admin.get(f"key?name={name}").text and secret not in admin.get("changes").text
    page = admin.get(f"key?name={name}")
    assert dict(page.form_to("key")["fields"])["models"] == alias
    assert "was changed" in admin.send(page, "key", models="").said
    assert gw.chat(other, caller).status_code == 200
    assert gw.audit()["user"] == "grace"
    rotated = secret_of(admin.send(admin.get(f"key?name={name}"), "key-rotate", overlap="1h"))
    assert gw.chat(alias, caller).status_code == gw.chat(alias, gw.http(rotated)).status_code == 200
    admin.send(admin.send(admin.get(f"key?name={name}"), "key-revoke"), "key-revoke")
    assert gw.http(rotated).get("/v1/models").status_code == 401
    assert [r[0] for r in gw.site.query("select action from admin_change where subject = ? order by id", name)] == ["key added", "key changed", "key rotated", "key revoked"]


def test_a_model_that_is_not_there_is_saved_only_if_one_insists(admin, gw):
    name, alias = new("key"), gw.alias("ok")
    page = admin.send(admin.get("key"), "key", 400, name=name, models=f"{alias}\nno-such-model")
    assert "names no-such-model, which is no model here" in page.said and 'id="e-models"' in page.text
    assert not gw.site.query("select 1 from client_key where name = ?", name)
    secret_of(admin.send(page, "key", insist="1"))
    assert json.loads(gw.site.query("select models from client_key where name = ?", name)[0][0]) == [alias, "no-such-model"]
    fields = {"kind": "provider", "id": new("nobody"), "metric": "requests", "shape": "total", "period": "", "amount": "5"}
    page = admin.send(admin.get("budget"), "budget", 400, **fields)
    assert "which is no provider here" in page.said and 'id="e-id"' in page.text
    assert "is in force" in admin.send(page, "budget", insist="1").said


def test_a_key_s_page_says_under_which_limits_it_is(request, admin, gw):
    one, two, team = new("key"), new("key"), new("team")
    gw.site.apply({"keys": [{"name": one, "user": new("user"), "team": team}, {"name": two, "team": team}],
                   "limits": [{"scope": f"team/{team}", "metric": "tokens", "shape": "window", "seconds": 3600, "amount": 5000},
                              {"scope": "user/*", "metric": "concurrency", "amount": 1000000, "mode": "observe"}]})
    request.addfinalizer(lambda: gw.site.weir("limit", "remove", "user/*", "--metric", "concurrency"))
    for name in (one, two):
        said = admin.get(f"key?name={name}").said
        assert f"team/{team} tokens in any 60 min0 of 5,000" in said
        assert ("It names no user, so none of the limits on user/* holds for it" in said) == (name == two)


def test_an_address_that_is_no_page_says_so_as_a_page(admin, web):
    page = admin.get("no-such-page", 404)
    assert "There is no page at this address" in page.said and "overview" in page.links
    r = admin.ask("GET", "/admin/api/v1/no-such-thing")
    assert r.status_code == 404 and "There is nothing at /admin/api/v1/no-such-thing here" in r.json()["error"]["message"]


def test_what_was_refused_is_not_counted_as_a_provider_s_failure(admin, gw):
    alias, team = gw.alias("ok"), new("team")
    asked = 1 + max((n for n, in gw.site.query("select sum(requests) from rollup_route group by alias, provider order by 1 desc limit 1")), default=0)
    gw.site.apply({"limits": [{"scope": f"team/{team}", "metric": "requests", "shape": "total", "amount": asked}]})
    caller = gw.http(gw.site.create_key(new("key"), "--team", team))
    # More than of any other alias: the page shows those that are asked most.
    assert [gw.chat(alias, caller).status_code for _ in range(asked + 3)] == [200] * asked + [429] * 3
    rows = [r for r in admin.get("overview").text.split("<tr>") if f">{alias}</bdi></th>" in r]
    assert len(rows) == 1 and ">0.0 %<" in rows[0], rows


def test_a_key_s_name_is_not_taken_twice(admin):
    page = admin.send(admin.get("key"), "key", 400, name="flow", user="somebody")
    assert "is another key" in page.said and dict(page.form_to("key")["fields"])["user"] == "somebody"


def test_keys_are_paged_and_found(admin, web):
    lead = new("page")
    web.site.apply({"keys": [{"name": f"{lead}-{i:03}", "user": f"{lead}-user", "team": f"{lead}-team"} for i in range(60)]})
    first = admin.get(f"keys?q={lead}-")
    assert f"{lead}-049" in first.said and f"{lead}-050" not in first.said
    rest = admin.get(next(x for x in first.links if x.startswith("keys?after=")))
    assert f"{lead}-050" in rest.said and f"{lead}-059" in rest.said and f"{lead}-049" not in rest.said
    assert f"{lead}-000" in admin.get(f"keys?by=user&q={lead}-user").said and f"{lead}-000" in admin.get(f"keys?by=team&q={lead}-team").said
    assert "No key like that" in admin.get("keys?q=no-such-key-anywhere").said


# ---- providers and models ----

def test_a_provider_and_a_model_are_made_used_and_removed(admin, gw):
    name, alias = new("provider"), new("model")
    page = admin.send(admin.get("provider"), "provider", name=name, dialect="openai", base_url=f"http://127.0.0.1:{gw.mock.port}/v1",
                      header_lines="x-extra: 1\nx-tenant: pages", key_name="k", key_secret="sk-upstream-0123456789-never-show-this",
                      **{"timeouts.total_ms": "20000"})
    assert f"The provider {name} was saved" in page.said
    edit = admin.get(f"provider?name={name}")
    fields = dict(edit.form_to("provider")["fields"])
    assert fields["timeouts.total_ms"] == "20000" and fields["header_lines"] == "x-extra: 1\nx-tenant: pages\n" and "never-show" not in edit.text
    admin.send(edit, "provider", **{"timeouts.total_ms": "15000"})
    assert gw.site.query("select total_ms from provider where name = ?", name) == [(15000,)]
    assert gw.site.query("select count(*) from provider_key k join provider p on p.id = k.provider_id where p.name = ?", name) == [(1,)]
    assert "was saved" in admin.send(admin.get("model"), "model", alias=alias, **{"targets.0.provider": name, "targets.0.model": "ok#pages",
                                                                                  "price.input": "0.15", "price.output": "0.60"}).said
    assert gw.chat(alias).status_code == 200 and float(gw.audit()["cost"]) > 0
    edit = admin.get(f"model?alias={alias}")
    assert dict(edit.form_to("model")["fields"])["price.output"] == "0.60"
    admin.send(edit, "model", **{"price.input": "", "price.output": "", "price.cached_input": "", "price.cache_write": ""})
    assert "unpriced" in admin.get("models").said
    asked = admin.send(admin.get(f"provider?name={name}"), "provider-remove")
    assert "leads there" in admin.send(asked, "provider-remove", 400).said
    admin.send(admin.send(admin.get(f"model?alias={alias}"), "model-remove"), "model-remove")
    assert "was removed" in admin.send(asked, "provider-remove").said
    assert not gw.site.query("select 1 from provider where name = ?", name)
    assert "sk-upstream" not in json.dumps(gw.site.query("select before, after from admin_change"))


def test_a_provider_is_really_called(admin):
    page = admin.get("providers")
    form = next(f for f in page.forms if f["action"] == "provider-test" and ("name", "refused") in f["fields"])
    assert "fault" in admin.post("provider-test", **dict(form["fields"])).text


@pytest.mark.parametrize("secret", ["file:/etc/hostname", "env:PATH"])
def test_a_page_reads_no_files_and_variables_of_the_machine(admin, web, secret):
    name = new("thief")
    page = admin.send(admin.get("provider"), "provider", 400, name=name, dialect="openai", base_url="https://127.0.0.1/v1", key_name="k", key_secret=secret)
    assert "must be the secret itself" in page.said and not web.site.query("select 1 from provider where name = ?", name)


@pytest.mark.parametrize("fields, why", [({"targets.0.provider": "nobody", "targets.0.model": "x"}, "is no provider"), ({}, "at least one entry"),
                                         ({"targets.0.provider": "mock", "targets.0.model": "x", "price.input": "cheap", "price.output": "1"}, "decimal text")])
def test_a_faulty_model_is_refused_beside_its_field(admin, fields, why):
    page = admin.send(admin.get("model"), "model", 400, alias=new("model"), **fields)
    assert why in page.said and 'class="fault" id="e-' in page.text


# ---- settings ----

def test_a_setting_holds_at_once_and_a_wrong_one_is_kept_in_its_field(admin, web):
    page = admin.post("settings", csrf=admin.get("settings").csrf, setting="keepalive_s", keepalive_s="20")
    assert "The setting keepalive_s is in force" in page.said
    assert json.loads(web.site.weir("settings", "keepalive_s", "--json").stdout)[0]["value"] == 20
    page = admin.post("settings", 400, csrf=page.csrf, setting="keepalive_s", keepalive_s="soon")
    assert "from 1 to 300" in page.said and 'value="soon"' in page.text
    admin.post("settings", csrf=page.csrf, setting="keepalive_s", keepalive_s="15")
    admin.post("settings", csrf=page.csrf, setting="cors_origins", cors_origins="https://a.example\nhttps://b.example")
    admin.post("settings", csrf=page.csrf, setting="cors_origins", cors_origins="")
    assert last_change(web.site)["before"] == '["https://a.example","https://b.example"]'


# ---- audit ----

def test_a_request_is_found_told_and_exported(admin, gw):
    alias, user = gw.alias("ok"), new("=cmd|' /C calc'!A")
    caller = gw.http(gw.site.create_key(new("key"), "--user", user))
    ids = [gw.chat(alias, caller).headers["x-request-id"] for _ in range(3)]
    shown = admin.get("audit?alias=" + alias)
    assert sum(1 for x in shown.links if x.startswith("request?id=")) == 3
    found = admin.get(f"audit?request_id={ids[0]}")
    story = admin.get(next(x for x in found.links if x.startswith("request?id=")))
    assert "It was answered" in story.said and ids[0] in story.said and user in story.said
    lines = admin.ask("GET", f"audit.jsonl?alias={alias}").text.splitlines()
    assert {json.loads(x)["request_id"] for x in lines} == set(ids)
    assert [json.loads(x) for x in reversed(lines)] == [r for r in gw.site.audit() if r["request_id"] in ids]
    answer = admin.ask("GET", f"audit.csv?alias={alias}")
    assert answer.headers["content-disposition"].startswith("attachment") and answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert {r["request_id"] for r in rows} == set(ids) and rows[0]["user"] == "'" + user


def test_pages_of_the_audit_log_go_on_where_the_last_ended(admin, gw):
    team, key = new("team"), new("key")
    gw.site.weir("limit", "set", f"team/{team}", "--metric", "requests", "--shape", "total", "--amount", "1")
    caller = gw.http(gw.site.create_key(key, "--team", team))
    for _ in range(56):
        gw.chat("no-such-model-at-all", caller)
    seen, page = [], admin.get(f"audit?team={team}")
    while page:
        seen += [x for x in page.links if x.startswith("request?id=")]
        more = [x for x in page.links if x.startswith("audit?below=")]
        page = admin.get(more[0]) if more else None
    assert len(seen) == len(set(seen)) == 56
    for filter in (f"key={key}", f"team={team}&since=1h", f"team={team}&outcome=refused"):
        assert len(admin.ask("GET", f"audit.jsonl?{filter}").text.splitlines()) == 56
    assert admin.ask("GET", f"audit.jsonl?team={team}&until=1h").text == ""


def test_what_was_said_is_for_the_role_admin_alone(admin, web, gw):
    gw.site.weir("settings", "audit_content", "all")
    try:
        alias = gw.alias("ok")
        gw.sdk().chat.completions.create(model=alias, messages=MESSAGES)
    finally:
        gw.site.weir("settings", "audit_content", "none")
    link = next(x for x in admin.get("audit?alias=" + alias).links if x.startswith("request?id="))
    assert MESSAGES[0]["content"] in admin.get(link).said
    viewer = logged_in(web, f"viewer-{next(_serial)}", "viewer")
    assert "What was said" not in viewer.get(link).said
    viewer.close()


@pytest.mark.parametrize("query", ["since=yesterday", "until=%3Cb%3E"])
def test_a_filter_that_cannot_be_read_is_refused(admin, query):
    assert "must be a length of time" in admin.get("audit?" + query, 400).said


# ---- administrators ----

def test_a_program_s_key_is_made_and_revoked(admin, web):
    name = new("program")
    secret = secret_of(admin.post("admin-key-add", csrf=admin.get("administrators").csrf, key=name, key_role="viewer"))
    ask = lambda: admin.http.get("/config/budget", headers={"x-api-key": secret, "cookie": ""}).status_code
    assert ask() == 200
    admin.post("admin-key-revoke", csrf=admin.get("administrators").csrf, name=name, confirm="1")
    assert ask() == 401


# ---- token verifiers ----

def test_a_token_verifier_is_added_changed_and_removed(admin, web, gw):
    name, key = new("verifier"), tokens.Key("HS256", b"a verifier of a page, which has a secret of its own 0123")
    token = key.token({"team": "weavers"})
    status = lambda t=token: gw.transport().get(gw.base + "/models", headers={"authorization": f"Bearer {t}"}).status_code
    assert status() == 401
    page = admin.send(admin.get("verifier"), "verifier", name=name, algorithm="HS256", secret=key.private.decode(), issuer=tokens.ISSUER)
    assert f"The token verifier {name} was saved; it is in force." in page.said and "a stored secret" in page.said and status() == 200
    edit = admin.get(f"verifier?name={name}")
    assert key.private.decode() not in edit.text and dict(edit.form_to("verifier")["fields"])["claims.user"] == "sub"
    admin.send(edit, "verifier", **{"audience": "somebody-else", "claims.team": "dept.name", "models": "one\r\ntwo\r\n", "leeway": "5"})
    assert status() == 401, "its audience is another now"
    stored = next(v for v in gw.site.json("jwt", "list") if v["name"] == name)
    assert (stored["audience"], stored["claims"]["team"], stored["models"], stored["leeway"], stored["issuer"], stored["has_secret"]) == \
        ("somebody-else", "dept.name", ["one", "two"], 5, tokens.ISSUER, True)
    admin.send(admin.get(f"verifier?name={name}"), "verifier", audience="", models="", issuer="")
    assert status() == 200, "what was emptied is not looked at"
    change = last_change(gw.site)
    assert change["action"] == "token verifier changed" and json.loads(change["before"])["audience"] == "somebody-else" and "audience" not in json.loads(change["after"])
    asked = admin.send(admin.get(f"verifier?name={name}"), "verifier-remove")
    assert "refused from the next request on" in asked.said and name in asked.said and status() == 200
    assert f"The token verifier {name} was removed." in admin.send(asked, "verifier-remove").said and status() == 401
    change = last_change(gw.site)
    assert (change["action"], change["subject"], change["after"]) == ("token verifier removed", name, None)
    assert json.loads(change["before"])["name"] == name
    admin.get(f"verifier?name={name}", 404)
    assert not [w for w in gw.site.query("select before, after from admin_change") if key.private.decode() in str(w)]


def test_a_public_key_is_pasted_as_browsers_send_it(admin, gw):
    name, key = new("verifier"), tokens.Key("RS256")
    admin.send(admin.get("verifier"), "verifier", name=name, algorithm="RS256", public_key=key.pem.replace("\n", "\r\n"))
    assert next(v for v in gw.site.json("jwt", "list") if v["name"] == name)["public_key"] == key.pem
    assert gw.transport().get(gw.base + "/models", headers={"authorization": f"Bearer {key.token()}"}).status_code == 200
    admin.send(admin.send(admin.get(f"verifier?name={name}"), "verifier-remove"), "verifier-remove")


def test_the_trouble_with_a_key_set_is_shown(admin, gw):
    name, other = new("verifier"), new("verifier")
    admin.send(admin.get("verifier"), "verifier", name=name, algorithm="RS256", jwks_url="http://127.0.0.1:1/keys")
    gw.chat(gw.alias("ok"))
    harness.until("the trouble to be shown", lambda: "onnect" in admin.get("verifiers").said)
    assert "not fetched yet: no token is taken until it is" in admin.get("verifiers").said
    def fetched():  # the gateway, which goes on asking, may write its trouble behind
        set_keys(gw.site, name, json.dumps([{"kid": "<b>k1</b>", "pem": "x"}, {"pem": "y"}]))
        return "Keys: <b>k1</b>, (no name)" in admin.get("verifiers").said
    harness.until("the names of the keys to be shown", fetched)
    gw.site.weir("jwt", "remove", name)
    assert other not in admin.get("verifiers").said


def set_keys(site, verifier, keys):
    with contextlib.closing(sqlite3.connect(f"{site.data}/weir.db", timeout=10)) as db, db:
        db.execute("update key_set set keys = ?, fetched = tried where verifier = ?", (keys, verifier))


@pytest.mark.parametrize("fields, field, why", [
    (dict(secret="short"), "secret", "at least 16 bytes"), (dict(secret=""), "secret", "is missing, and none is stored"), (dict(name=""), "name", "is missing"),
    (dict(algorithm="RS256"), "secret", "does not belong to RS256"), (dict(secret="", algorithm="ES256"), "public_key", "is missing (or a jwks_url)"),
    (dict(secret="", algorithm="ES256", jwks_url="http://a.example/"), "jwks_url", "plain http"), (dict(leeway="3601"), "leeway", "must be from 0 to 3600"),
    (dict(secret="", algorithm="ES256", jwks_url="file:///etc/passwd"), "jwks_url", "must begin with https://"),
    (dict(secret="file:/etc/hostname"), "secret", ""), (dict(models="\x01"), "models", "control"), (dict(endpoints="/v1/models"), "endpoints", "must be one of")])
def test_what_is_wrong_with_a_verifier_stands_beside_its_field(admin, web, fields, field, why):
    name = fields.get("name", new("wrong"))
    page = admin.send(admin.get("verifier"), "verifier", 400, **({"name": name, "algorithm": "HS256", "secret": "s" * 40} | fields))
    assert why in page.said and f'id="e-{field}"' in page.text, page.said
    assert "s" * 40 not in page.text and not web.site.query("select 1 from jwt_verifier where name = ?", name)


def test_who_is_no_admin_looks_at_verifiers_and_changes_none(web, gw):
    gw.site.apply({"jwt": [{"name": (name := new("verifier")), "algorithm": "HS256", "secret": "s" * 32}]})
    for role in ("viewer", "operator"):
        b = logged_in(web, new(role), role)
        page = b.get("verifiers")
        assert name in page.said and "verifier" not in page.links and not [x for x in page.links if x.startswith("verifier?")]
        assert b.ask("GET", f"verifier?name={name}").status_code == 403
        for action in ("verifier", "verifier-remove"):
            assert b.ask("POST", action, data={"csrf": page.csrf, "name": name, "confirm": "1"}).status_code == 403
        b.close()
    assert gw.site.query("select 1 from jwt_verifier where name = ?", name)
    gw.site.weir("jwt", "remove", name)


# ---- hostile texts ----

def check_inert(page, text):
    """The text may stand there as text; never as markup. Page() itself has refused handlers and unclosed tags."""
    assert page.scripts == ["../static/page.js?0.1.0"] and "<img" not in page.text and "<!--" not in page.text
    assert "\x00" not in page.text


FORMS = {"budget": ["id", "amount", "period", "utc_offset"], "key": ["name", "user", "team", "models", "allow_ip", "expires"],
         "verifier": ["name", "secret", "public_key", "jwks_url", "issuer", "audience", "claims.user", "models", "endpoints", "leeway", "algorithm"],
         "provider": ["name", "base_url", "header_lines", "key_name", "key_secret", "timeouts.idle_ms"],
         "model": ["alias", "fallback", "targets.0.provider", "targets.0.model", "price.input", "strategy"]}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("form", FORMS)
def test_hostile_texts_through_every_form(admin, form, text):
    page = admin.get(form)
    for field in FORMS[form]:
        r = admin.follow(admin.ask("POST", form, data=dict((k, v) for k, v in page.form_to(form)["fields"] if v is not None) | {field: text}))
        assert r.status_code in (200, 400, 413)
        check_inert(Page(r.text), text)


@pytest.mark.parametrize("text", [t for t in HOSTILE.values() if "\r" not in t], ids=[k for k in HOSTILE if k != "newline"])  # lighttpd's to refuse
def test_hostile_texts_in_every_query(admin, text):
    for page, names in (("budgets", ("scope", "kind", "from", "of")), ("keys", ("q", "after", "by")), ("key", ("name",)), ("provider", ("name",)),
                        ("model", ("alias",)), ("audit", ("user", "request_id", "since", "below")), ("what-if", ("user", "tokens")), ("request", ("id",)),
                        ("overview", ("by", "range")), ("changes", ("below",)), ("budget", ("metric", "scope"))):
        for name in names:
            r = admin.ask("GET", page, params={name: text, "said": "key-revoked", "of": text})
            assert r.status_code in (200, 400, 404, 414, 431), (page, name)
            if r.status_code < 414:
                check_inert(Page(r.text), text)


@pytest.mark.parametrize("raw", [b"name=%00", b"name=%ff", b"name=%zz", b"\xff\xfe", b"&".join(b"a=%d" % i for i in range(600))])
def test_forms_that_cannot_be_read_are_refused_whole(admin, raw):
    csrf = admin.get("key").csrf.encode()
    r = admin.ask("POST", "key", content=b"csrf=" + csrf + b"&" + raw, headers={"content-type": "application/x-www-form-urlencoded"})
    assert r.status_code == 400 and Page(r.text).said


def test_a_form_above_its_bound_is_refused(admin):
    r = admin.ask("POST", "key", data={"csrf": admin.get("key").csrf, "name": "x" * 70000})
    assert r.status_code == 413


@pytest.mark.parametrize("text", [HOSTILE[k] for k in ("script", "quotes", "bidi", "entity", "braces", "unicode", "comment", "attribute")])
def test_hostile_names_are_shown_as_they_are_on_every_page(admin, gw, text):
    """Stored by the command line, and by requests; then every page that shows names."""
    n = next(_serial)
    name = f"{text}{n}"
    alias = gw.aliased([("mock", "ok")], name=f"{name}-alias")
    secret = gw.site.create_key(name, "--user", name, "--team", name, "--role", name)
    gw.site.weir("limit", "set", f"user/{name}", "--metric", "requests", "--shape", "total", "--amount", "1")
    gw.site.weir("admin", "add", "--role", "viewer", "--", name)
    gw.site.apply({"jwt": [{"name": name, "algorithm": "HS256", "secret": "s" * 32, "issuer": name, "audience": name, "claims": {"user": name}}]})
    caller = gw.http(secret)
    assert gw.chat(alias, caller).status_code == 200 and gw.chat(alias, caller).status_code == 429
    found = [check_inert(p := admin.get(page), text) or name in "".join(p.words) for page in PAGES]
    for page, names in (("keys", {"q": name}), ("keys", {"by": "user", "q": name}), ("key", {"name": name}), ("budgets", {"scope": f"user/{name}"}),
                        ("audit", {"user": name}), ("what-if", {"user": name}), ("model", {"alias": alias}),
                        ("verifiers", {}), ("verifier", {"name": name}),
                        ("budget", {"scope": f"user/{name}", "metric": "requests", "shape": "total"})):
        p = Page(admin.ask("GET", page, params=names).text)
        check_inert(p, text)
        assert name in "".join(p.words) + "".join(v for f in p.forms for _, v in f["fields"] if v), page
    assert sum(found) > 3
    gw.site.weir("key", "revoke", "--", name)
    gw.site.weir("jwt", "remove", "--", name)


# ---- the cache, the playground ----

def test_the_page_of_the_cache_says_what_is_kept(admin, gw):
    alias = gw.alias("ok", cache_ttl=60)
    assert (gw.chat(alias), gw.chat(alias)) and gw.audit()["cache"] == "hit"
    stats = json.loads(gw.site.weir("cache", "stats", "--json").stdout)
    assert f"<dt>Answers</dt><dd>{stats['entries']:,}</dd>" in admin.get("cache").text


def test_without_its_script_the_playground_sends_no_key_into_an_address(admin):
    """Its form has no other way than GET: the secret would stand in logs and histories."""
    assert '<button id="send" disabled>Send</button>' in admin.get("playground").text
