"""Who may come in at /admin, and what a stranger's page, an old cookie or a guessed password comes to."""
import base64
import hmac
import re
import time

import pytest

import harness
from admin_site import PASSWORD, Browser, Page, logged_in, make_administrator, secret_of
from harness import _serial


@pytest.fixture(scope="module")
def name(web):
    n = f"person-{next(_serial)}"
    logged_in(web, n, "admin").close()
    return n


@pytest.fixture
def browser(web):
    b = Browser(web.url)
    yield b
    b.close()


def test_the_first_administrator_comes_from_init_with_a_password_shown_once():
    site = harness.Site()
    try:
        rows = site.query("select name, role, must_change, password from administrator")
        assert [r[:3] for r in rows] == [("admin", "admin", 1)] and rows[0][3].startswith("$argon2id$")
        assert site.weir("init").stdout == ""
    finally:
        site.remove()


def test_every_page_asks_for_a_log_in_and_then_comes(browser, name):
    for page in ("overview", "budgets?kind=team", "audit.csv", "request?id=1"):
        assert browser.get(page).form_to("login")
    page = browser.get("keys?by=user&q=a%2Fb")
    page = browser.send(page, "login", name=name, password=PASSWORD)
    assert "Keys and people" in page.said and 'value="a/b"' in page.text


@pytest.mark.parametrize("next", ["https://evil.example/", "//evil.example", "\\\\evil", "login", "a\r\nX-Bad: 1", "javascript:alert(1)"])
def test_after_the_log_in_nobody_is_led_elsewhere(browser, name, next):
    page = browser.send(browser.get("login"), "login", name=name, password=PASSWORD, next=next)
    assert "Overview" in page.said


def test_a_wrong_name_and_a_wrong_password_look_the_same(browser, name):
    a = browser.login(name, "wrong but long enough", 401).said
    b = browser.login("nobody-of-this-name", "wrong but long enough", 401).said
    assert a == b and "No administrator has this name and password" in a


def test_a_password_of_somebody_else_must_be_changed_before_anything(web, browser):
    n = f"new-{next(_serial)}"
    first = make_administrator(web.site, n, "admin")
    browser.login(n, first)
    assert "Choose one of your own" in browser.get("keys").said
    assert browser.ask("GET", "/admin/api/v1/keys").status_code == 403
    page = browser.get("password")
    for bad, why in ((dict(new="short", again="short"), "at least 12"), (dict(new=PASSWORD, again=PASSWORD + "x"), "is not the same"),
                     (dict(new=first, again=first), "is the old one")):
        assert why in browser.send(page, "password", 400, old=first, **bad).said
    assert "is not your present password" in browser.send(page, "password", 400, old="x", new=PASSWORD, again=PASSWORD).said
    assert "was changed" in browser.send(page, "password", old=first, new=PASSWORD, again=PASSWORD).said
    assert "Keys and people" in browser.get("keys").said


def test_the_cookie_is_for_this_site_s_pages_only(browser, name):
    r = browser.ask("POST", "login", data={"csrf": browser.get("login").csrf, "name": name, "password": PASSWORD})
    cookie = next(c for c in r.headers.get_list("set-cookie") if c.startswith("weir_session="))
    parts = {p.strip().lower() for p in cookie.split(";")[1:]}
    assert parts == {"path=/admin", "httponly", "samesite=strict"}
    assert len(cookie.split(";")[0]) > 40
    assert browser.http.cookies["weir_session"] not in str(browser.get("overview").text)


def test_the_cookie_is_secure_behind_tls(web, name):
    b = Browser(web.url, **{"x-forwarded-proto": "https"})
    cookies = b.ask("GET", "login").headers.get_list("set-cookie")
    assert cookies and all("; Secure" in c for c in cookies)
    b.close()


@pytest.mark.parametrize("told", ["https, http", "HTTPS", "https,https"])
def test_the_cookie_is_secure_behind_two_proxies(web, told):
    b = Browser(web.url, **{"x-forwarded-proto": told})
    assert all("; Secure" in c for c in b.ask("GET", "login").headers.get_list("set-cookie"))
    b.close()


def test_who_is_logged_in_may_log_in_as_another_and_the_first_session_ends(web, browser, name):
    other = f"other-{next(_serial)}"
    logged_in(web, other, "viewer").close()
    browser.login(name, PASSWORD)
    first = browser.http.cookies["weir_session"]
    assert other in browser.login(other, PASSWORD).said
    stranger = Browser(web.url)
    assert stranger.get("overview", headers={"cookie": f"weir_session={first}"}).form_to("login")
    stranger.close()


def test_a_planted_session_cookie_is_never_taken_over(browser, name):
    """Session fixation: what was in the cookie before a log-in is worth nothing after it."""
    planted = "A" * 43
    browser.http.cookies.set("weir_session", planted, path="/admin")
    browser.send(browser.get("login"), "login", name=name, password=PASSWORD)
    values = [c.value for c in browser.http.cookies.jar if c.name == "weir_session"]
    assert any(v != planted for v in values)
    stranger = Browser(str(browser.http.base_url).rstrip("/"))
    stranger.http.cookies.set("weir_session", planted, path="/admin")
    assert stranger.get("overview").form_to("login")
    stranger.close()


def test_two_session_cookies_are_none(browser, name):
    browser.login(name, PASSWORD)
    good = browser.http.cookies["weir_session"]
    assert browser.get("overview", headers={"cookie": f"weir_session={good}; weir_session={good}"}).form_to("login")


def test_only_a_hash_of_the_cookie_is_stored(web, browser, name):
    browser.login(name, PASSWORD)
    cookie = browser.http.cookies["weir_session"].encode()
    for row in web.site.query("select * from admin_session"):
        assert cookie not in b"".join(v if isinstance(v, bytes) else str(v).encode() for v in row)


@pytest.mark.parametrize("column, age", [("seen", 3601), ("created", 12 * 3600 + 1)])
def test_a_session_ends_by_itself(web, browser, name, column, age):
    browser.login(name, PASSWORD)
    write(web, f"update admin_session set {column} = {column} - {age * 1000}")
    assert browser.get("overview").form_to("login")


def write(web, sql):
    import sqlite3
    db = sqlite3.connect(f"{web.site.data}/weir.db", timeout=10)
    with db:
        db.execute(sql)
    db.close()


def test_logging_out_ends_the_session_itself(browser, name):
    browser.login(name, PASSWORD)
    kept = browser.http.cookies["weir_session"]
    page = browser.get("overview")
    assert "You are logged out" in browser.send(page, "logout").said
    browser.http.cookies.set("weir_session", kept, path="/admin")
    assert browser.get("overview").form_to("login")


def test_logging_out_everywhere_ends_the_others_too(web, browser, name):
    other = Browser(web.url)
    other.login(name, PASSWORD)
    browser.login(name, PASSWORD)
    page = browser.get("password")
    form = next(f for f in page.forms if ("everywhere", "1") in f["fields"])
    assert "everywhere" in browser.post("logout", **dict(form["fields"])).said
    assert other.get("overview").form_to("login")
    other.close()


def test_a_changed_password_ends_the_other_log_ins(web, browser):
    n = f"person-{next(_serial)}"
    other = logged_in(web, n, "viewer")
    browser.login(n, PASSWORD)
    new = PASSWORD + " and one more"
    browser.send(browser.get("password"), "password", old=PASSWORD, new=new, again=new)
    assert "Overview" in browser.get("overview").said and other.get("overview").form_to("login")
    other.close()


# ---- forged requests ----

@pytest.mark.parametrize("token", [None, "", "0" * 40, "x"])
def test_a_form_without_its_token_changes_nothing(web, browser, name, token):
    browser.login(name, PASSWORD)
    user = f"csrf-{next(_serial)}"
    fields = {"kind": "user", "id": user, "metric": "requests", "shape": "total", "amount": "1", "mode": "hard"}
    r = browser.ask("POST", "budget", data=fields | ({} if token is None else {"csrf": token}))
    assert r.status_code == 403 and "not sent by a page of Weir" in Page(r.text).said
    assert not web.site.query("select 1 from limit_rule where scope = ?", f"user/{user}")


def test_another_session_s_token_is_refused(web, browser, name):
    other = logged_in(web, f"person-{next(_serial)}", "admin")
    browser.login(name, PASSWORD)
    r = browser.ask("POST", "key-revoke", data={"csrf": other.get("overview").csrf, "name": "flow", "confirm": "1"})
    assert r.status_code == 403 and web.site.query("select revoked from client_key where name = 'flow'") == [(None,)]
    other.close()


def test_a_foreign_origin_is_refused_even_with_the_token(web, browser, name):
    browser.login(name, PASSWORD)
    csrf = browser.get("overview").csrf
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{web.port + 1}"):
        r = browser.ask("POST", "logout", data={"csrf": csrf}, headers={"origin": origin})
        assert r.status_code == 403, origin
    assert browser.ask("POST", "logout", data={"csrf": csrf}, headers={"origin": f"http://127.0.0.1:{web.port}"}).status_code == 303


@pytest.mark.parametrize("said, status", [("same-origin", 303), ("none", 303), ("same-site", 403), ("cross-site", 403), ("", 403), ("same-origin, cross-site", 403)])
def test_what_the_browser_says_of_the_page_needs_no_host(browser, name, said, status):
    """A proxy may have made any Host of the one that the browser knows; Sec-Fetch-Site no page can set."""
    browser.login(name, PASSWORD)
    csrf = browser.get("overview").csrf
    ask = lambda csrf: browser.ask("POST", "logout", data={"csrf": csrf}, headers={"origin": "https://weir.example", "sec-fetch-site": said}).status_code
    assert ask("0" * 40) == 403, "the token is needed all the same"
    assert ask(csrf) == status


@pytest.mark.parametrize("told, fine", [("weir.example", True), ("WEIR.example", True), ("weir.example, inner.example", True), ("inner.example, weir.example", False),
                                        ("weir.example:443", False), ("weir.example.evil.example", False), ("", False), (None, False)])
def test_a_trusted_proxy_says_which_host_the_browser_knows(web, browser, name, told, fine):
    """Where the browser does not: by http, beyond this machine."""
    browser.login(name, PASSWORD)
    headers = {"origin": "https://weir.example"} | ({} if told is None else {"x-forwarded-host": told})
    ask = lambda: browser.ask("POST", "password", data={"csrf": browser.get("overview").csrf, "old": "", "new": ""}, headers=headers).status_code
    assert ask() == 403, "from nobody who is trusted"
    web.site.weir("settings", "trusted_proxies", '["127.0.0.1"]')
    try:
        assert ask() == (400 if fine else 403)
        twice = [*headers.items(), ("x_forwarded_host", "weir.example")]
        csrf = browser.get("overview").csrf
        assert not fine or browser.ask("POST", "password", data={"csrf": csrf}, headers=twice).status_code == 403
    finally:
        web.site.weir("settings", "trusted_proxies", "[]")


def test_password_managers_are_told_what_each_field_is(web, browser):
    n = f"person-{next(_serial)}"
    kinds = lambda page: dict(re.findall(r'name="(\w+)"[^>]* autocomplete="([a-z-]+)"', page.text))
    assert kinds(browser.get("login")) == {"name": "username", "password": "current-password"}
    logged_in(web, n, "admin").close()
    browser.login(n, PASSWORD)
    page = browser.get("password")
    assert kinds(page) == {"username": "username", "old": "current-password", "new": "new-password", "again": "new-password"}
    assert f'value="{n}" autocomplete="username"' in page.text
    assert kinds(browser.get("code")) == {"old": "current-password", "code": "one-time-code"}
    for page, field in (("provider", "key_secret"), ("verifier", "secret")):
        assert kinds(browser.get(page)) == {field: "new-password"}, "where the log-in's own must not be filled in"


def test_a_forged_log_in_is_refused(web, name):
    """Log-in forgery: without the cookie that the log-in page set, a form logs nobody in."""
    page = Browser(web.url)
    csrf = page.get("login").csrf
    stranger = Browser(web.url)
    assert stranger.ask("POST", "login", data={"csrf": csrf, "name": name, "password": PASSWORD}).status_code == 403
    page.close(), stranger.close()


@pytest.mark.parametrize("type", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_a_form_of_another_type_is_refused(browser, name, type):
    browser.login(name, PASSWORD)
    csrf = browser.get("overview").csrf
    r = browser.ask("POST", "logout", content=f"csrf={csrf}", headers={"content-type": type})
    assert r.status_code == 400


def test_nor_does_a_get_that_sets_limits(web, browser, name):
    browser.login(name, PASSWORD)
    headers = {"cookie": "; ".join(f"{c.name}={c.value}" for c in browser.http.cookies.jar)}
    r = browser.ask("GET", "/sync/openai-limits?provider=mock", headers=headers)
    assert r.status_code == 403 and "takes POST" in r.json()["error"]["message"]
    assert browser.ask("POST", "/sync/openai-limits?provider=nobody", headers=headers).status_code == 403
    headers["x-csrf-token"] = browser.get("overview").csrf
    assert browser.ask("POST", "/sync/openai-limits?provider=nobody", headers=headers).status_code == 404


def test_json_that_changes_something_takes_no_cookie_alone(web, browser, name):
    browser.login(name, PASSWORD)
    entry = {"scope": "user/x", "metric": "requests", "shape": "total", "amount": 1}
    assert browser.ask("GET", "/admin/api/v1/limits").status_code == 200
    assert browser.ask("PUT", "/admin/api/v1/limits", json=entry).status_code == 403
    assert not web.site.query("select 1 from limit_rule where scope = 'user/x'")
    r = browser.ask("PUT", "/admin/api/v1/limits", json=entry, headers={"x-csrf-token": browser.get("overview").csrf})
    assert r.status_code == 200
    assert browser.ask("DELETE", "/admin/api/v1/limits?scope=user/x&metric=requests", headers={"x-csrf-token": browser.get("overview").csrf}).status_code == 200


# ---- slow-down ----

def test_failed_log_ins_slow_down_the_next(web):
    n = f"person-{next(_serial)}"
    logged_in(web, n, "viewer").close()
    b = Browser(web.url)
    write(web, "delete from login_failure")
    for _ in range(5):
        b.login(n, "guessed wrongly", 401)
    page = b.login(n, PASSWORD, 429)
    assert re.search(r"Try again in \d+ seconds", page.said)
    write(web, "update login_failure set last = last - 60000")
    assert "Overview" in b.login(n, PASSWORD).said
    assert web.site.query("select count(*) from login_failure where who like ?", f"both%{n}%") == [(0,)]
    write(web, "delete from login_failure")
    b.close()


def test_one_address_with_many_names_is_slowed_down_too(web):
    b = Browser(web.url)
    write(web, "delete from login_failure")
    write(web, f"insert into login_failure values ('ip' || char(10) || char(10) || '127.0.0.1', 25, {int(time.time() * 1000)})")
    b.login("somebody else", "guessed wrongly", 429)
    write(web, "delete from login_failure")
    b.close()


def test_behind_a_trusted_proxy_only_the_client_is_slowed_down(web):
    web.site.apply({"settings": {"trusted_proxies": ["127.0.0.1"]}})
    a, b = (Browser(web.url, **{"x-forwarded-for": ip}) for ip in ("192.0.2.1", "192.0.2.2"))
    try:
        for _ in range(5):
            a.login("somebody", "guessed wrongly", 401)
        a.login("somebody", "guessed wrongly", 429)
        b.login("somebody", "guessed wrongly", 401)
    finally:
        web.site.apply({"settings": {"trusted_proxies": []}})
        write(web, "delete from login_failure")
        a.close(), b.close()


def test_one_network_of_ipv6_is_one_guesser(web):
    """Its 2^64 addresses are the guesser's own: another of them is no fresh start."""
    web.site.apply({"settings": {"trusted_proxies": ["127.0.0.1"]}})
    many = [Browser(web.url, **{"x-forwarded-for": f"2001:db8:1:{net}::{i}"}) for net, i in ((1, 1), (1, 2), (1, 3), (2, 1))]
    try:
        for i in range(5):
            many[i % 2].login("somebody", "guessed wrongly", 401)
        many[2].login("somebody", "guessed wrongly", 429)
        many[3].login("somebody", "guessed wrongly", 401)
    finally:
        write(web, "delete from login_failure")
        web.site.apply({"settings": {"trusted_proxies": []}})
        for b in many:
            b.close()


# ---- one-time codes ----

def code(secret, step=0):
    """RFC 6238, of now and so many steps."""
    digest = hmac.digest(base64.b32decode(secret), (int(time.time()) // 30 + step).to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at:at + 4], 'big') & 0x7fffffff) % 1000000:06d}"


@pytest.fixture
def coded(web):
    """An administrator whose log-ins ask for codes, logged in; the secret; the code that is used up; the name."""
    b = logged_in(web, f"coded-{next(_serial)}", "viewer")
    page = b.get("code")
    secret = secret_of(page)
    assert f"?secret={secret}&issuer=Weir" in page.said
    for fields, why in ((dict(old="x", code=code(secret)), "is not your present password"), (dict(old=PASSWORD, code="000000"), "is not what this secret gives")):
        refused = b.send(page, "code", 400, **fields)
        assert why in refused.said and secret_of(refused) == secret
    used = code(secret, -1)
    assert "asks for a one-time code from now on" in b.send(page, "code", old=PASSWORD, code=used).said
    write(web, "delete from login_failure")
    yield b, secret, used, web.site.query("select max(name) from administrator where code_sealed is not null")[0][0]
    write(web, "delete from login_failure"), write(web, "update administrator set code_sealed = null")
    b.close()


def test_a_log_in_asks_for_the_code_and_takes_each_once(web, coded, browser):
    _, secret, used, name = coded
    assert base64.b32decode(secret) not in web.site.query("select code_sealed from administrator where name = ?", name)[0][0]
    page = browser.login(name, PASSWORD)
    assert "One-time code" in page.said and browser.get("overview").form_to("login")
    assert "used before" in browser.send(page, "login-code", 401, code=used).said
    assert "used before" in browser.send(page, "login-code", 401, code="12345").said
    now = code(secret)
    assert "Overview" in browser.send(page, "login-code", code=now).said
    other = logged_in(web, f"person-{next(_serial)}", "viewer")  # somebody who changes who they are
    assert "used before" in other.send(other.login(name, PASSWORD), "login-code", 401, code=now).said
    other.close()


def test_the_code_alone_and_another_s_half_log_nobody_in(web, coded, browser):
    _, secret, _, name = coded
    page = browser.login(name, PASSWORD)
    fields = dict(page.form_to("login-code")["fields"]) | {"code": code(secret)}
    for wrong in (dict(half="0" * 40), dict(time=str(int(fields["time"]) - 1)), dict(time="0")):
        assert browser.ask("POST", "login-code", data=fields | wrong).status_code == 401, wrong
    other = Browser(web.url)
    mine = other.get("login").csrf
    assert other.ask("POST", "login-code", data=fields | {"csrf": mine}).status_code == 401
    assert other.ask("POST", "login-code", data=fields).status_code == 403
    other.close()


def test_guesses_of_codes_slow_down_the_next_even_with_the_password(coded, browser):
    name = coded[3]
    for _ in range(5):
        browser.send(browser.login(name, PASSWORD), "login-code", 401, code="000000")
    browser.login(name, PASSWORD, 429)


def test_codes_are_ended_by_their_owner_and_by_the_command_line(web, coded, browser):
    b, _, _, name = coded
    assert "is not your present password" in b.send(b.get("code"), "code-end", 400, old="x").said
    first = web.site.weir("admin", "password", name, "--no-code").stdout.strip()
    assert "Choose one of your own" in browser.login(name, first).said
    actions = [a for a, in web.site.query("select action from admin_change where subject = ? order by id desc limit 2", name)]
    assert actions == ["administrator's password reset", "one-time codes ended"]
    browser.send(browser.get("password"), "password", old=first, new=PASSWORD, again=PASSWORD)
    page = browser.get("code")
    secret = secret_of(page)
    browser.send(page, "code", old=PASSWORD, code=code(secret))
    assert "no one-time code any more" in browser.send(browser.get("code"), "code-end", old=PASSWORD).said
    assert "Overview" in Browser(web.url).login(name, PASSWORD).said


# ---- roles ----

@pytest.fixture(scope="module")
def people(web):
    all = {role: logged_in(web, f"{role}-{next(_serial)}", role) for role in ("viewer", "operator")}
    yield all
    for b in all.values():
        b.close()


OPERATORS = ["budget", "budget-reset", "budget-remove", "key", "key-rotate", "key-revoke", "provider-test", "provider-breaker"]
ADMINS = ["provider", "provider-remove", "provider-key-remove", "model", "model-remove", "settings", "administrator-add", "administrator-reset",
          "administrator-role", "administrator-disable", "administrator-enable", "admin-key-add", "admin-key-revoke"]


@pytest.mark.parametrize("role, pages", [("viewer", OPERATORS + ADMINS), ("operator", ADMINS)])
def test_no_role_reaches_above_itself(web, people, role, pages):
    b = people[role]
    csrf, before = b.get("overview").csrf, web.site.query("select count(*) from admin_change")
    for page in pages:
        r = b.ask("POST", page, data={"csrf": csrf, "name": "flow", "confirm": "1", "role": "admin"})
        assert r.status_code == 403 and "Your role is " + role in Page(r.text).said, page
    assert web.site.query("select count(*) from admin_change") == before


@pytest.mark.parametrize("role, page", [("viewer", "key"), ("viewer", "budget"), ("operator", "provider"), ("operator", "model"),
                                        ("viewer", "administrators"), ("operator", "administrators")])
def test_forms_of_a_higher_role_are_not_shown(people, role, page):
    people[role].get(page, 403)


@pytest.mark.parametrize("path", ["/admin/api/v1/providers", "/admin/api/v1/administrators", "/admin/api/v1/document"])
def test_json_keeps_to_the_roles(people, path):
    b = people["operator"]
    r = b.ask("PUT" if not path.endswith("administrators") else "POST", path, json={"name": "x"}, headers={"x-csrf-token": b.get("overview").csrf})
    assert r.status_code == 403 and r.json()["error"]["code"] == "role_not_allowed"


def test_a_role_that_was_lowered_holds_at_once(web):
    admin, b = logged_in(web, f"boss-{next(_serial)}", "admin"), logged_in(web, (n := f"was-admin-{next(_serial)}"), "admin")
    csrf = admin.get("administrators").csrf
    admin.post("administrator-role", csrf=csrf, name=n, role="viewer")
    assert b.get("overview").form_to("login")
    b.login(n, PASSWORD)
    b.get("administrators", 403)
    admin.post("administrator-disable", csrf=csrf, name=n, confirm="1")
    assert b.get("overview").form_to("login")
    b.login(n, PASSWORD, 401)
    admin.close(), b.close()


def test_the_last_administrator_stays(make_site):
    site = make_site()
    w = harness.Web(site)
    w.start()
    try:
        b = Browser(w.url)
        first = site.weir("admin", "password", "admin").stdout.strip()
        page = b.login("admin", first)
        page = b.send(page, "password", old=first, new=PASSWORD, again=PASSWORD)
        assert "Nobody would be left" in b.post("administrator-role", 400, csrf=page.csrf, name="admin", role="viewer").said
        assert "Nobody would be left" in b.post("administrator-disable", 400, csrf=page.csrf, name="admin", confirm="1").said
        assert site.query("select role, disabled from administrator") == [("admin", None)]
        b.close()
    finally:
        w.stop()


@pytest.mark.parametrize("path", ["/admin/nothing", "/admin/../v1/models", "/admin/%2e%2e/x", "/admin/api/v1/nothing", "/adminx"])
def test_there_is_nothing_elsewhere(browser, path):
    r = browser.http.get(path)
    assert r.status_code in (400, 401, 404)
