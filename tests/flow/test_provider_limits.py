"""What providers say of their own limits: followed in passing (who is nearly out stands behind the others), and taken over as
limits of Weir's by /sync/openai-limits and `weir provider sync`."""
import json

import pytest

import harness
from harness import PROVIDER_KEY, _serial, until


@pytest.fixture
def provider(gw):
    """Makes providers of this test alone: what is remembered of a key belongs to a provider's name."""
    def make(dialect="openai", base="/v1", keys=("k1",)):
        name = f"limited-{next(_serial)}"
        gw.site.apply({"providers": [{"name": name, "dialect": dialect, "base_url": f"http://127.0.0.1:{gw.mock.port}{base}",
                                      "keys": [{"name": k, "secret": PROVIDER_KEY + k * (len(keys) > 1), "priority": i} for i, k in enumerate(keys)]}]})
        return name
    return make


def answered(gw, alias, times=1, **fields):
    """Which provider answered each of so many requests."""
    got = []
    for _ in range(times):
        r = gw.chat(alias, **fields)
        assert r.status_code == 200 and r.headers["x-weir-attempts"] == "1", r.text
        got.append(r.headers["x-weir-provider"])
    return got


# ---- followed in passing ----

@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("says", ["limits:100:0:1000:1000", "limits:100:2:1000:1000", "limits:100:100:100000:50", "limits:-:-:1000000:20000"])
def test_who_is_nearly_out_of_its_limit_stands_behind_the_other(gw, provider, says, stream):
    first, second = provider(), provider()
    alias = gw.alias(f"{first}/{says}", f"{second}/ok")
    assert answered(gw, alias, 3, stream=stream) == [first, second, second]


@pytest.mark.parametrize("says", ["limits:100:3:1000000:900000", "limits:100:-:100:-", "limits:100:0:1000:1000:0s"])
def test_who_has_enough_left_is_asked_again(gw, provider, says):
    first, second = provider(), provider()
    assert answered(gw, gw.alias(f"{first}/{says}", f"{second}/ok"), 2) == [first, first]


def test_with_nobody_else_left_it_is_asked_all_the_same(gw, provider):
    only = provider()
    assert answered(gw, gw.alias(f"{only}/limits:100:0:1000:0"), 3) == [only] * 3


def test_another_key_of_the_provider_goes_first(gw, provider):
    gw.more_keys = True
    name = provider(keys=("a", "b"))
    alias = gw.alias(f"{name}/limits:100:0:1000:1000")
    assert answered(gw, alias, 3) == [name] * 3
    heads = [dict((k.lower(), v) for k, v in e["headers"])["authorization"] for e in gw.seen(alias)]
    assert [h[-1] for h in heads] == ["a", "b", "a"]


def test_it_has_its_place_back_when_the_limit_is_full_again(gw, provider):
    first, second = provider(), provider()
    alias = gw.alias(f"{first}/limits:100:0:1000:1000:300ms", f"{second}/ok")
    assert answered(gw, alias) == [first]
    until("the first to be asked again", lambda: answered(gw, alias) == [first])


# ---- taken over ----

PATH = "/sync/openai-limits"


@pytest.fixture(scope="module")
def admin(web):
    """Calls with administrators' keys, by role."""
    secrets = {role: web.site.weir("admin", "add", f"sync-{role}-{next(_serial)}", "--role", role).stdout.strip() for role in ("viewer", "operator")}
    with harness.http_client(base_url=web.url) as http:
        def ask(method="GET", role="operator", **params):
            return http.request(method, PATH, params=params, headers={"x-api-key": secrets[role]} if role else {})
        yield ask


def limits(gw, name):
    return [{k: x[k] for k in ("metric", "seconds", "amount", "mode")} for x in json.loads(gw.site.weir("export").stdout)["limits"]
            if x["scope"] == f"provider/{name}"]


def window(metric, amount, seconds=60, mode="soft"):
    return {"metric": metric, "seconds": seconds, "amount": amount, "mode": mode}


def test_the_list_of_models_is_enough_where_it_tells_limits(gw, provider, admin):
    name, before = provider(base="/list/limits/v1"), gw.mock.mark()
    r = admin(provider=name)
    assert r.status_code == 200, r.text
    assert r.json()["model"] is None and r.json()["changed"] is True
    assert r.json()["read"] == {"requests": {"limit": 500}, "tokens": {"limit": 200000}, "input_tokens": None, "output_tokens": None}
    assert limits(gw, name) == [window("requests", 500), window("tokens", 200000)]
    asked = [(e["method"], e["target"]) for e in gw.mock.seen(since=before) if e["target"].startswith("/list/")]  # others are probed meanwhile
    assert asked == [("GET", "/list/limits/v1/models")]


@pytest.mark.parametrize("dialect, base, reset, seconds", [("openai", "/v1", "120ms", 60), ("openai", "/v1", "7m12s", 86400), ("groq", "/groq/openai/v1", "6s", 86400)])
def test_else_the_smallest_completion_tells_them(gw, provider, admin, dialect, base, reset, seconds):
    name = provider(dialect, base)
    gw.alias(f"{name}/limits:500:499:200000:199990:{reset}")
    r = admin("POST", provider=name)
    assert r.status_code == 200, r.text
    assert r.json()["model"].startswith("limits:") and r.json()["read"]["requests"]["remaining"] == 499
    assert limits(gw, name) == [window("requests", 500, seconds), window("tokens", 200000)]
    assert [x["scope"] for x in r.json()["limits"]] == [f"provider/{name}"] * 2


def test_the_same_again_changes_nothing_and_the_mode_is_the_operator_s(gw, provider, admin):
    name = provider(base="/list/limits/v1")
    gw.site.weir("limit", "set", f"provider/{name}", "--metric", "requests", "--shape", "window", "--seconds", "60", "--amount", "7", "--mode", "observe")
    assert admin(provider=name).json()["changed"] is True
    assert limits(gw, name) == [window("requests", 500, mode="observe"), window("tokens", 200000)]
    version = gw.site.query("select version from config_version")
    assert admin(provider=name).json()["changed"] is False
    done = gw.site.weir("provider", "sync", name)
    assert f"provider/{name}: 500 requests in 60 s, observe" in done.stdout and "as they were" in done.stderr
    assert gw.site.query("select version from config_version") == version


def test_the_command_does_the_same(gw, provider):
    name = provider()
    done = json.loads(gw.site.weir("provider", "sync", name, "--model", "limits:60:59:-:-", "--json").stdout)
    assert done["changed"] is True and done["provider"] == name and done["read"]["tokens"] is None
    assert limits(gw, name) == [window("requests", 60)]


def test_what_stands_in_the_way_is_told(gw, provider, admin):
    mute, failing, strange = provider(), provider(base="/list/status:401/v1"), f"nobody-{next(_serial)}"
    r = admin(provider=mute)
    assert r.status_code == 400 and r.json()["error"]["param"] == "model"
    r = admin(provider=mute, model="ok")
    assert r.status_code == 502 and "tells no rate limits" in r.json()["error"]["message"]
    r = admin(provider=failing)
    assert r.status_code == 502 and 'refuses the key "k1"' in r.json()["error"]["message"] and PROVIDER_KEY not in r.text
    assert admin(provider=strange).status_code == 404
    assert admin(colour="red").status_code == 400
    for name in (mute, failing, strange):
        assert limits(gw, name) == []
    assert gw.site.weir("provider", "sync", failing, check=False).returncode == 1


def test_it_takes_an_operator(gw, provider, admin):
    name = provider(base="/list/limits/v1")
    assert admin(role="viewer", provider=name).status_code == 403 and admin(role=None, provider=name).status_code == 401
    assert admin("DELETE", provider=name).status_code == 405
    assert limits(gw, name) == []


def test_the_limit_passes_the_provider_over_when_it_is_reached(gw, provider, admin):
    first, second = provider(), provider()
    assert admin(provider=first, model="limits:2:2:-:-").status_code == 200
    assert limits(gw, first) == [window("requests", 2)]
    alias = gw.alias(f"{first}/ok", f"{second}/ok")
    assert answered(gw, alias, 3) == [first, first, second]
