"""Changes by the command line take effect on the next request, in every process, without a restart."""
import pytest

from harness import MESSAGES, PROVIDER_KEY, _serial


def status(gw, alias, **kw):
    return gw.chat(alias, **kw).status_code


def test_a_new_model_is_there_on_the_next_request(gw):
    name = f"later-{next(_serial)}"
    assert status(gw, name) == 404
    alias = gw.aliased([("mock", "ok")], name=name)
    assert status(gw, alias) == 200


def test_a_model_pointed_elsewhere_goes_there_on_the_next_request(gw):
    alias = gw.alias("ok")
    assert status(gw, alias) == 200
    gw.site.apply({"models": [{"alias": alias, "targets": [{"provider": "other", "model": "ok#moved"}]}]})
    alias.models.append("ok#moved")
    r = gw.chat(alias)
    assert r.status_code == 200 and r.headers["x-weir-provider"] == "other" and r.headers["x-weir-model"] == "ok#moved"


def test_a_provider_s_address_and_key_can_be_changed_while_running(gw):
    name = f"moving-{next(_serial)}"

    def place(path, secret):
        gw.site.apply({"providers": [{"name": name, "dialect": "openai", "base_url": f"http://127.0.0.1:{gw.mock.port}{path}",
                                      "keys": [{"name": "k", "secret": secret}]}],
                       "models": [{"alias": name, "targets": [{"provider": name, "model": f"ok#{name}"}]}]})
    place("/nowhere/v1", "sk-first-000000000000")
    assert status(gw, name) == 404
    place("/v1", PROVIDER_KEY)
    assert status(gw, name) == 200
    first, second = gw.mock.seen(f"ok#{name}")
    assert ["sk-first" in str(e["headers"]) for e in (first, second)] == [True, False]
    gw.seen_before = gw.mock.mark()  # the first key is another than the check at the end expects


def test_a_base_url_with_a_slash_at_its_end_is_the_same(gw):
    name = f"slash-{next(_serial)}"
    gw.site.apply({"providers": [{"name": name, "dialect": "openai", "base_url": f"http://127.0.0.1:{gw.mock.port}/v1/",
                                  "keys": [{"name": "k", "secret": PROVIDER_KEY}]}],
                   "models": [{"alias": name, "targets": [{"provider": name, "model": f"ok#{name}"}]}]})
    assert status(gw, name) == 200 and gw.mock.seen(f"ok#{name}")[0]["target"] == "/v1/chat/completions"


def test_a_refused_document_changes_nothing(gw):
    alias = gw.alias("ok")
    path = f"{gw.site.data}/bad.json"
    with open(path, "w") as f:
        f.write('{"models":[{"alias":"half-made","targets":[{"provider":"mock","model":"ok"}]},'
                '{"alias":"x","targets":[{"provider":"no-such-provider","model":"m"}]}]}')
    done = gw.site.weir("apply", path, check=False)
    assert done.returncode == 1 and "models[1]" in done.stderr
    assert status(gw, "half-made") == 404 and status(gw, alias) == 200


def test_two_web_servers_on_one_data_directory_see_the_same_changes(gw, make_gw):
    """Two lighttpd with ports, sockets and processes of their own."""
    second = make_gw(gw.site)
    assert set(second.web.responders()).isdisjoint(gw.web.responders())
    alias = gw.alias("ok")
    name = f"both-{next(_serial)}"
    secret = gw.site.create_key(name)
    assert status(gw, alias, http=gw.http(secret)) == 200
    one = len(gw.sent)
    second.rows_before += one
    assert status(second, alias, http=second.http(secret)) == 200
    gw.site.weir("key", "revoke", name)
    assert status(gw, alias, http=gw.http(secret)) == 401
    assert status(second, alias, http=second.http(secret)) == 401
    gw.sent += second.sent  # one audit log for both
    second.sent.clear()
    second.rows_before = gw.site.mark()


@pytest.mark.parametrize("value", ["true", "false"])
def test_http2_upstream_can_be_switched_on_and_changes_nothing_for_an_http1_upstream(gw, value):
    gw.site.weir("settings", "http2", value)
    try:
        alias = gw.alias("ok")
        assert status(gw, alias) == 200
        assert list(gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True))
    finally:
        gw.site.weir("settings", "http2", "false")


def test_a_price_becomes_the_cost_in_the_row(gw):
    alias = gw.alias("ok", price={"input": "1.00", "cached_input": "0.50", "cache_write": "1.00", "output": "2.00"})
    assert status(gw, alias) == 200
    row = gw.audit()
    plain, cached, out = row["prompt_tokens"] - row["cached_tokens"], row["cached_tokens"], row["completion_tokens"]
    assert abs(float(row["cost"]) - (plain * 1 + cached * 0.5 + out * 2) / 1e6) < 1e-9
    free = gw.alias("ok")
    assert status(gw, free) == 200 and gw.audit()["cost"] is None


def test_ten_thousand_keys_cost_a_request_no_more_than_ten(gw, make_site, make_gw):
    """Keys are looked up, not loaded: the process does not grow with them."""
    alias_model = f"ok#many{next(_serial)}"
    site = make_site()
    site.apply({"models": [{"alias": "many", "targets": [{"provider": "mock", "model": alias_model}]}]})
    few = make_gw(site)
    assert status(few, "many") == 200
    before = few.web.rss()
    site.apply({"keys": [{"name": f"k{i}", "secret": f"sk-weir-{i:040d}"} for i in range(10000)]})
    for i in (0, 5000, 9999):
        assert status(few, "many", http=few.http(f"sk-weir-{i:040d}")) == 200
    assert few.web.rss() - before < 4000
