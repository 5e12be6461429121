"""Who may come in, by which door, and how soon a change of mind is felt."""
import openai
import pytest

from harness import MESSAGES, _serial, until


def post(gw, alias, headers):
    """A chat with exactly these credentials (a list keeps doubles)."""
    return gw.transport().post(gw.base + "/chat/completions", json={"model": alias, "messages": MESSAGES},
                               headers=list(headers.items()) if isinstance(headers, dict) else headers)


def refused_401(gw, alias, headers):
    r = post(gw, alias, headers)
    assert r.status_code == 401, r.text
    error = r.json()["error"]
    assert error["code"] == "invalid_api_key" and set(error) == {"message", "type", "param", "code"}
    assert not gw.seen(alias), "sent upstream without a key"
    return error["message"]


def new_key(gw, *args):
    name = f"key-{next(_serial)}"
    return name, gw.site.create_key(name, *args)


def test_both_headers_carry_a_key(gw):
    alias = gw.alias("ok")
    assert post(gw, alias, {"authorization": f"Bearer {gw.secret}"}).status_code == 200
    assert post(gw, alias, {"x-api-key": gw.secret}).status_code == 200
    assert post(gw, alias, {"authorization": f"bearer {gw.secret}"}).status_code == 200
    assert post(gw, alias, {"authorization": f"Bearer {gw.secret}", "x-api-key": gw.secret}).status_code == 200


def test_no_unknown_and_malformed_keys_get_one_and_the_same_message(gw):
    alias = gw.alias("ok")
    wrong = [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"},
             {"authorization": gw.secret}, {"authorization": "Bearer sk-weir-unknown" + "0" * 40}, {"x-api-key": ""}, {"x-api-key": "nonsense"},
             {"authorization": f"Bearer {gw.secret}x"}, {"authorization": f"Bearer {gw.secret[:-1]}"}, {"authorization": "Bearer " + "k" * 6000},
             {"authorization": f"Bearer {gw.secret.upper()}"}]
    assert len({refused_401(gw, alias, h) for h in wrong}) == 1


def test_the_sdk_raises_authentication_error_for_a_bad_key(gw):
    with pytest.raises(openai.AuthenticationError) as e:
        gw.sdk(secret="sk-weir-wrong" + "0" * 32, retries=2).chat.completions.create(model="x", messages=MESSAGES)
    assert e.value.code == "invalid_api_key" and len(gw.sent) == 1 and e.value.request_id


@pytest.mark.parametrize("double", [
    lambda s: [("authorization", f"Bearer {s}"), ("authorization", f"Bearer {s}")],
    lambda s: [("x-api-key", s), ("x-api-key", s)],
    lambda s: [("x-api-key", s), ("x_api_key", s)],
    lambda s: [("x-api-key", s), ("X_Api_Key", "sk-weir-other" + "0" * 40)],
    lambda s: [("x-api-key", f"{s}, sk-weir-other")],
    lambda s: [("x-api-key", s), ("x-api-key", "sk-weir-other")]])
def test_doubled_credentials_are_refused(gw, double):
    alias = gw.alias("ok")
    r = post(gw, alias, double(gw.secret))
    assert r.status_code == 400, r.text
    assert set(r.json()["error"]) == {"message", "type", "param", "code"} and gw.secret not in r.text
    gw.skip()
    assert not gw.seen(alias)


def test_two_different_credentials_are_not_a_choice(gw):
    alias = gw.alias("ok")
    r = post(gw, alias, {"authorization": f"Bearer {gw.secret}", "x-api-key": "sk-weir-other" + "0" * 40})
    assert r.status_code == 400
    gw.skip()
    assert not gw.seen(alias)


@pytest.mark.parametrize("doubled", ["x-user-id", "x-team-id", "x-role", "x-llm-rolegroup"])
def test_doubled_identity_headers_are_refused(gw, doubled):
    alias = gw.alias("ok")
    _, secret = new_key(gw, "--may-assert-identity")
    r = post(gw, alias, [("x-api-key", secret), (doubled, "bob"), (doubled.replace("-", "_"), "eve")])
    assert r.status_code == 400
    assert gw.audit()["outcome"] == "refused" and not gw.seen(alias)


def test_a_revoked_key_is_refused_from_the_next_request_on(gw):
    alias = gw.alias("ok")
    name, secret = new_key(gw)
    client = gw.sdk(secret)
    assert client.chat.completions.create(model=alias, messages=MESSAGES).choices
    gw.site.weir("key", "revoke", name)
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model=alias, messages=MESSAGES)
    assert len(gw.seen(alias)) == 1


def test_a_new_key_is_known_at_once_even_if_it_was_asked_for_before(gw):
    """An unknown key may not be remembered as unknown."""
    alias = gw.alias("ok")
    secret = "sk-weir-chosen-beforehand-" + "1" * 32 + str(next(_serial))
    refused_401(gw, alias, {"x-api-key": secret})
    gw.site.apply({"keys": [{"name": f"key-{next(_serial)}", "secret": secret}]})
    assert post(gw, alias, {"x-api-key": secret}).status_code == 200


def test_an_expired_key_is_refused(gw):
    alias = gw.alias("ok")
    _, secret = new_key(gw, "--expires", "1s")
    post(gw, alias, {"x-api-key": secret})
    until("the key to expire", lambda: gw.transport().get(gw.base + "/models", headers={"x-api-key": secret}).status_code == 401, 4)
    assert post(gw, alias, {"x-api-key": secret}).status_code == 401


def test_rotation_with_an_overlap_keeps_both_and_without_only_the_new(gw):
    alias = gw.alias("ok")
    name, old = new_key(gw)
    new = gw.site.weir("key", "rotate", name, "--overlap", "1h").stdout.strip()
    assert new != old
    assert post(gw, alias, {"x-api-key": old}).status_code == 200 and post(gw, alias, {"x-api-key": new}).status_code == 200
    assert gw.audit()["key"] == name
    newest = gw.site.weir("key", "rotate", name).stdout.strip()
    assert post(gw, alias, {"x-api-key": newest}).status_code == 200
    assert post(gw, alias, {"x-api-key": new}).status_code == 401


def test_an_overlap_ends(gw):
    name, old = new_key(gw)
    new = gw.site.weir("key", "rotate", name, "--overlap", "1s").stdout.strip()
    models = gw.transport()
    until("the old secret to end", lambda: models.get(gw.base + "/models", headers={"x-api-key": old}).status_code == 401, 4)
    assert models.get(gw.base + "/models", headers={"x-api-key": new}).status_code == 200


def test_a_key_bound_to_an_address_works_only_from_there(gw):
    alias = gw.alias("ok")
    _, here = new_key(gw, "--allow-ip", "127.0.0.0/8")
    _, elsewhere = new_key(gw, "--allow-ip", "10.1.0.0/16")
    assert post(gw, alias, {"x-api-key": here}).status_code == 200
    for more in ({}, {"x-forwarded-for": "10.1.2.3"}, {"x-real-ip": "10.1.2.3"}, {"forwarded": "for=10.1.2.3"}):
        r = post(gw, alias, {"x-api-key": elsewhere} | more)
        assert r.status_code == 403 and r.json()["error"]["code"] == "ip_not_allowed"
        assert gw.audit()["outcome"] == "refused"
    assert len(gw.seen(alias)) == 1


@pytest.mark.parametrize("header", ["x-user-id", "x-team-id", "x-role", "x-llm-rolegroup"])
def test_identity_asserted_by_a_key_that_may_not_is_refused_not_ignored(gw, header):
    alias = gw.alias("ok")
    r = post(gw, alias, {"x-api-key": gw.secret, header: "root"})
    assert r.status_code == 403 and r.json()["error"]["code"] == "identity_not_allowed"
    row = gw.audit()
    assert row["outcome"] == "refused" and row["user"] == "ada" and not gw.seen(alias)


def test_identity_asserted_by_a_key_that_may_is_believed(gw):
    alias = gw.alias("ok")
    name, secret = new_key(gw, "--may-assert-identity", "--user", "proxy", "--team", "edge")
    assert post(gw, alias, {"x-api-key": secret}).status_code == 200
    assert (gw.audit()["user"], gw.audit()["team"]) == ("proxy", "edge")
    r = post(gw, alias, {"x-api-key": secret, "x-user-id": "bob", "x-team-id": "t2", "x-role": "r2", "x-llm-rolegroup": "g2"})
    assert r.status_code == 200
    row = gw.audit()
    assert (row["user"], row["team"], row["role"], row["rolegroup"], row["key"]) == ("bob", "t2", "r2", "g2", name)


@pytest.mark.parametrize("value, status, user", [("", 200, "proxy"), ("x" * 300, 400, "proxy"), ("tab\there", 400, "proxy"), ("new\u00fc", 200, "new\u00fc")])
def test_an_identity_of_another_form_is_refused_or_kept_as_it_is(gw, value, status, user):
    alias = gw.alias("ok")
    _, secret = new_key(gw, "--may-assert-identity", "--user", "proxy")
    r = post(gw, alias, [("x-api-key", secret), (b"x-user-id", value.encode())])
    assert r.status_code == status and gw.audit()["user"] == user


def test_a_key_seen_nowhere_in_answers_logs_and_rows(gw):
    alias = gw.alias("status:500")
    r = gw.chat(alias)
    assert gw.secret not in r.text and gw.secret not in str(r.headers)
    assert gw.secret not in gw.web.log.read_text() and gw.secret not in str(gw.audit())
