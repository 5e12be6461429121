"""What broke in other gateways, tried on this one (SQL, shell, addresses, Host, prefixes of credentials, secrets in errors),
and what a process shows of itself. That no secret stands in a log, an answer or a page of the database is looked at in every
test of the suite (scan.py).
"""
import json
import os
import pathlib
import socket

import pytest

import harness
import scan
from harness import MESSAGES, PROVIDER_KEY, until

INJECTIONS = ["' OR '1'='1", "'; DROP TABLE client_key; --", "\" OR 1=1 --", "x') UNION SELECT hash FROM client_secret --", "%' --"]
fenced = pytest.mark.skipif(os.environ.get("WEIR_FENCE") == "off", reason="this run does without the fence")


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_what_a_caller_sends_is_only_text(gw, text):
    before = gw.site.query("select count(*), (select count(*) from client_key), (select count(*) from limit_rule) from sqlite_master")
    http = gw.http(secret="sk-weir-" + text)
    assert gw.chat(gw.alias("ok"), http=http).status_code == 401
    gw.skip()
    assert gw.chat(text).status_code == 404
    assert gw.http().get("/v1/models/" + text.replace(" ", "%20").replace("%'", "%25'")).status_code == 404
    assert http.get("/config/budget", params={"scope": "team", "id": text}).status_code == 401
    assert gw.site.query("select count(*), (select count(*) from client_key), (select count(*) from limit_rule) from sqlite_master") == before
    assert gw.site.query("pragma integrity_check") == [("ok",)]


def test_nothing_a_caller_sends_reaches_a_shell(gw, tmp_path):
    mark = tmp_path / "run"
    texts = [f"$(touch {mark})", f"`touch {mark}`", f"; touch {mark};", f"| touch {mark}", f"\n touch {mark}"]
    for text in texts:
        assert gw.chat(text).status_code == 404
        r = gw.chat(gw.alias("ok"), user=text, metadata={"a": text}, messages=[{"role": "user", "content": text}])
        assert r.status_code == 200, r.text
        assert gw.site.weir("provider", "test", text, check=False).returncode != 0
        assert gw.site.weir("audit", "--content", text, check=False).returncode != 0
    assert not mark.exists()


def test_a_caller_cannot_name_the_upstream(gw):
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        there = f"http://127.0.0.1:{trap.getsockname()[1]}/v1"
        alias = gw.alias("ok")
        fields = {name: there for name in ("api_base", "base_url", "api_url", "endpoint", "upstream", "proxy", "azure_endpoint")}
        headers = {"x-forwarded-host": there, "x-upstream": there, "x-weir-upstream": there, "x-original-url": there, "forwarded": f"host={there}"}
        assert gw.chat(alias, headers=headers, **fields).status_code == 200
        assert gw.chat(alias, headers=headers).status_code == 200
        assert gw.chat(there).status_code == 404
        with pytest.raises(TimeoutError):
            trap.accept()
    assert all("127.0.0.1" not in k for e in gw.seen(alias) for k, _ in e["headers"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "admin", "169.254.169.254", "evil.example"])
def test_the_host_header_opens_nothing(gw, host):
    for line in ("POST /v1/chat/completions HTTP/1.1", f"POST http://{host}/v1/chat/completions HTTP/1.1"):
        body = json.dumps({"model": "any", "messages": MESSAGES})
        answer = gw.raw(f"{line}\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode(),
                        count=False)
        assert answer.startswith(b"HTTP/1.1 4") and b" 200 " not in answer.split(b"\r\n")[0], answer
    answer = gw.raw(f"GET /config/budget HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), count=False)
    assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400")), answer


def ask_raw(gw, target, lines, method="GET"):
    """The status of a request of exactly these bytes."""
    head = [f"{method} {target} HTTP/1.1", "host: x", "connection: close", *lines]
    return int(gw.raw(b"\r\n".join(x if isinstance(x, bytes) else x.encode() for x in [*head, b"", b""]), count=False).split(b" ")[1])


@pytest.mark.parametrize("path", [
    "/v1/../{}", "/v1/%2e%2e/{}", "/%2e/{}", "//{}", "/./{}", "/v1/models/..%2f..%2f{}", "/{}/", "/{}%2f", "/{};x", "/{}%3fx", "/{}%23", "/\\{}", "/v1/models;/../{}",
    "/v1/models?/../{}", "/{}%00", "/{}%0a", "/{}/../../v1/models"])
def test_no_way_of_writing_a_path_leads_around_its_responder(gw, path):
    """To whom a request goes the web server says; what it asks for, the responder reads from the same words: neither the one's
    key nor any spelling opens the other's addresses."""
    admin = gw.site.weir("admin", "add", f"path-{next(harness._serial)}", "--role", "admin").stdout.strip()
    for target in ("admin/api/v1/keys", "config/budget", "v1/models"):
        spelled = path.format(target)
        mine, other = (gw.secret, admin) if target == "v1/models" or spelled.startswith("/v1/models?") else (admin, gw.secret)
        assert ask_raw(gw, spelled, [f"x-api-key: {other}"]) in (400, 401, 404, 405), spelled
        assert ask_raw(gw, spelled, []) in (400, 401, 404, 405), spelled
        assert ask_raw(gw, spelled, [f"x-api-key: {mine}"]) in (200, 400, 404), spelled
    assert ask_raw(gw, "/%61dmin/api/v1/keys", [f"x-api-key: {admin}"]) == 200 and ask_raw(gw, "/%61dmin/api/v1/keys", [f"x-api-key: {gw.secret}"]) == 401


CREDENTIALS = [  # status, lines; K is a right key
    (200, ["x-api-key: K"]), (200, ["authorization:Bearer K"]), (200, ["authorization: bearer  K  "]), (200, ["X_Api_Key: K"]), (200, ["x-api-key: K", "x-api-key:"]),
    (200, ["authorization: Basic YTpi", "x-api-key: K"]), (200, ["authorization: Digest username=x", "x-api-key: K"]), (200, ["x-api-key: K", "authorization: Bearer K"]),
    (401, ["proxy-authorization: Bearer K"]), (401, ["cookie: x-api-key=K"]), (401, ["redirect-http-authorization: Bearer K"]), (401, ["http-x-api-key: K"]),
    (401, ["http_authorization: Bearer K"]), (401, ["remote-user: flow"]), (401, ["x-forwarded-user: flow"]), (401, ["api-key: K"]), (401, ["x-goog-api-key: K"]),
    (401, ["authorization: Bearer\tK"]), (401, ["authorization: Bearer K\tx"]), (401, ["authorization: Bearer K x"]), (401, ['authorization: Bearer "K"']), (401, ["authorization: K"]),
    (401, ["authorization: Bearer Bearer K"]), (401, ["x-api-key: Bearer K"]), (401, ["x-api-key: k K"]), (401, ["x-api-key: K;"]), (401, ["x-api-key: K%00"]), (401, ["x-api-key: K\xa0".encode("latin-1")]),
    (401, ["x-api-key: sk", " K"]), (400, ["authorization: Bearer K, Bearer K"]), (400, ["authorization: Bearer K", "authorization: Basic YTpi"]), (400, ["x-api-key: K,"]),
    (400, ["x-api-key: K", "X-API-KEY: K"]), (400, ["x-api-key: K", "x_api_key: K"]), (400, ["x-api-key: K", "x.api.key: other"]), (400, ["x-api-key: other", "authorization: Bearer K"]),
    (400, ["x-api-key: K", "authorization: Bearer other"]), (400, ["x-api-key : K"]), (400, ["x-api-key: K\0"]), (400, ["x-api-key: K\v"]), (400, ["x api key: K"]),
    (403, ["x-api-key: K", "x-user-id: root"]), (403, ["x-api-key: K", "X_User_Id: root"]), (403, ["x-api-key: K", "x.team.id: root"]), (400, ["x-api-key: K", "x-role: a", "x_role: b"]),
    (400, ["x-api-key: K", "x-user-id: a, b"]), (403, ["x-api-key: K", "x-user-id:", "x-user-id: a"])]


@pytest.mark.parametrize("status, lines", CREDENTIALS, ids=[" ".join(map(repr, lines)) for _, lines in CREDENTIALS])
def test_a_credential_stands_in_one_place_and_in_one_form(gw, status, lines):
    lines = [x.replace(b"K", gw.secret.encode()) if isinstance(x, bytes) else x.replace("K", gw.secret) if "X-API-KEY" not in x and "X_Api_Key" not in x else
             x.split(":")[0] + ": " + gw.secret for x in lines]
    assert ask_raw(gw, "/v1/models", lines) == status


@pytest.mark.parametrize("name", ["key", "api_key", "x-api-key", "access_token", "authorization", "token", "apikey", "auth"])
def test_a_credential_in_an_address_is_none(gw, name):
    """It would stand in every log on the way."""
    assert ask_raw(gw, f"/v1/models?{name}={gw.secret}", []) == 401
    assert ask_raw(gw, f"/v1/models?{name}=Bearer%20{gw.secret}", []) == 401
    assert ask_raw(gw, f"/admin/api/v1/keys?{name}={gw.secret}", []) == 401


def test_credentials_with_a_long_prefix_in_common_are_different_callers(gw):
    alias = gw.alias("ok")
    for _ in range(2):  # the second time out of the cache
        assert gw.chat(alias).status_code == 200
    for wrong in (gw.secret[:-1] + "0", gw.secret + "0", gw.secret[:-1], gw.secret.upper(), gw.secret[:40]):
        assert gw.chat(alias, http=gw.http(secret=wrong)).status_code == 401, wrong
        gw.skip()


@pytest.mark.parametrize("status", [400, 401, 500])
def test_an_upstream_that_repeats_the_key_is_not_passed_on(gw, mock, status):
    alias = gw.aliased([("mock", "script")])
    said = json.dumps({"error": {"message": f"Incorrect API key provided: {PROVIDER_KEY}", "type": "x", "param": PROVIDER_KEY, "code": PROVIDER_KEY}})
    for _ in range(3):
        mock.script(alias.first, [{"status": status, "headers": [["content-type", "application/json"], ["content-length", str(len(said))],
                                                                ["x-echo", PROVIDER_KEY]]}, {"send": said}, {"end": True}])
    r = gw.chat(alias)
    assert r.status_code >= 400 and PROVIDER_KEY not in r.text + repr(r.headers), r.text
    assert PROVIDER_KEY not in gw.web.log.read_text()
    assert PROVIDER_KEY not in json.dumps(gw.audit())


# ---- what a process shows ----


def processes(web):
    return [p for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and is_ours(p, web)]


def is_ours(p, web):
    try:
        return int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) == web.process.pid and b"weir" in (p / "cmdline").read_bytes()
    except (OSError, IndexError, ValueError):
        return False


@fenced
def test_both_responders_leave_no_core_take_no_privileges_and_are_not_to_be_traced(gw):
    gw.http().get("/config/budget")
    found = until("both responders", lambda: p if len(p := processes(gw.web)) == 2 else None)
    for p in found:
        assert "NoNewPrivs:\t1" in (p / "status").read_text()
        limits = (p / "limits").read_text()
        assert limits[limits.index("Max core file size"):].split()[4:6] == ["0", "0"], limits
        assert (p / "mem").stat().st_uid == 0, "its memory is root's alone: it is not dumpable"
    gw.usage_checked = False


def test_secrets_of_the_environment_are_gone_once_they_are_read(make_site, make_gw):
    secrets = {"JWT_SECRET": "environment-of-tokens-0123456789abcdef", "OPENAI_API_KEY": "sk-environment-0123456789abcdef0123"}
    for name, secret in secrets.items():
        scan.note(secret, name)
    gw = make_gw(make_site(), **secrets)
    assert gw.http().get("/v1/models").status_code == 200
    for pid in gw.web.responders():
        shown = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert b"WEIR_DATA=" in shown and not [s for s in secrets.values() if s.encode() in shown], shown


def test_no_command_takes_a_secret_as_a_word(site):
    for command in ("key", "provider", "admin", "apply", "init", "master-key"):
        usage = site.weir(command, "--help").stdout
        words = usage.replace("--key KEYNAME", "")  # which of the stored ones
        assert not [w for w in ("--secret", "--key ", "--password", "--token", "--api-key") if w in words], usage


def test_init_refuses_a_master_key_that_others_may_read(make_site):
    site = make_site()
    key = pathlib.Path(site.data, "master.key")
    for mode in (0o640, 0o604, 0o660, 0o601):
        key.chmod(mode)
        for command in (["init"], ["key", "create", "--name", "x"], ["master-key", "rotate"]):
            done = site.weir(*command, check=False)
            assert done.returncode == 1 and "chmod 600" in done.stderr, done
    key.chmod(0o600)
    assert site.weir("init").returncode == 0


def test_the_scan_finds_what_it_looks_for(tmp_path):
    before, known = list(scan.found), {k: dict(v) for k, v in scan.secrets.items()}
    scan.note("sk-scan-0123456789abcdef", "a key made up")
    (tmp_path / "weir.db-wal").write_bytes(os.urandom(3000) + b"sk-scan-0123456789abcdef" + os.urandom(3000))
    scan.look_at_site(tmp_path)
    scan.look("nothing here: sk-scan-0123", "a text")
    found = scan.found[len(before):]
    scan.found[:] = before
    scan.secrets.clear()
    scan.secrets.update(known)
    assert len(found) == 1 and "a key made up" in found[0] and "weir.db-wal, at byte 3000" in found[0], found


@fenced
def test_the_administrators_responder_works_behind_its_fence(gw):
    secret = gw.site.weir("admin", "add", f"fence-{next(harness._serial)}", "--role", "operator").stdout.strip()
    r = gw.http(secret=secret).post("/config/budget", json={"scope": "team", "id": "fenced", "capacity": 10, "refillPerSec": 1})
    assert r.status_code == 200, r.text


@fenced
def test_names_resolve_and_certificates_are_verified_behind_the_fence(make_site, make_gw, mock):
    """What libcurl, the resolver and OpenSSL read lies outside of the data directory: by name, with an authority of one's own."""
    named = {"providers": [{"name": "named", "dialect": "openai", "base_url": f"https://localhost:{mock.ports['tls']}/v1",
                            "keys": [{"name": "k1", "secret": PROVIDER_KEY}]}]}
    trusting, others = make_gw(make_site(), SSL_CERT_FILE=mock.cert), make_gw(make_site())
    for g in (trusting, others):
        g.site.apply(named)
    assert trusting.chat(trusting.aliased([("named", "ok")])).status_code == 200
    alias = others.aliased([("named", "ok")])
    assert others.chat(alias).status_code == 502 and not others.seen(alias), "whose certificate nobody vouches for is sent nothing"
