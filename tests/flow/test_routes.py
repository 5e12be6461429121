"""Who is asked, in which order, at what price: strategies, keys, fallbacks, retries, direct models."""
import collections
import time

import pytest

import behaviours
import harness
from conftest import SECRET
from harness import PROVIDER_KEY

WHOLE = "".join(behaviours.WORDS)
PRICE = {"input": "1", "output": "2"}


@pytest.fixture(scope="module")
def routed(make_site, mock):
    """A site of its own: a provider with three keys for each strategy, and retries as they are by default."""
    site = make_site()
    here = f"http://127.0.0.1:{mock.port}/v1"
    keys = [{"name": n, "secret": PROVIDER_KEY + n, "priority": i} for i, n in enumerate("abc")]
    site.apply({"providers": [{"name": f"keys-{s}", "dialect": "openai", "base_url": here, "key_strategy": s, "keys": keys}
                              for s in ("priority", "round_robin", "least_used")],
                "settings": {"retries": 2, "direct_models": True}})
    w = harness.Web(site)
    yield w.start()
    w.stop()


@pytest.fixture
def me(routed, mock):
    g = harness.Gateway(routed, mock, "flow", SECRET)
    g.more_keys = True
    yield g
    g.check()


def keys_used(me, alias, i=0):
    """The last letters of the keys that came with the requests, oldest first."""
    heads = [dict((k.lower(), v) for k, v in e["headers"])["authorization"] for e in me.seen(alias, i)]
    return "".join(h.removeprefix("Bearer " + PROVIDER_KEY) for h in heads)


def asked(me, alias, times, **fields):
    """How often which target answered."""
    n, http = collections.Counter(), me.http()
    for _ in range(times):
        r = me.chat(alias, http=http, **fields)
        assert r.status_code == 200, r.text
        n[alias.models.index(r.headers["x-weir-model"])] += 1
    return n


# ---- strategies ----

def test_weighted_targets_share_by_weight(me):
    alias = me.alias("ok", "ok", strategy="weighted")
    me.site.apply({"models": [{"alias": alias, "strategy": "weighted", "targets": [
        {"provider": "mock", "model": alias.models[0], "weight": 9}, {"provider": "mock", "model": alias.models[1], "weight": 1}]}]})
    n = asked(me, alias, 40)
    assert n[0] > 24 and n[0] + n[1] == 40


def test_round_robin_takes_turns(me):
    assert set(asked(me, me.alias("ok", "ok", "ok", strategy="round_robin"), 9).values()) == {3}


def test_the_cheapest_target_is_asked_and_an_unpriced_one_last(me):
    alias = me.alias("status:503", "ok", "ok")
    me.site.apply({"models": [{"alias": alias, "strategy": "cheapest", "targets": [
        {"provider": "mock", "model": alias.models[1]},
        {"provider": "mock", "model": alias.models[2], "price": {"input": "5", "output": "5"}},
        {"provider": "mock", "model": alias.models[0], "price": {"input": "1", "output": "1"}}]}]})
    r = me.chat(alias)
    assert r.headers["x-weir-model"] == alias.models[2] and r.headers["x-weir-attempts"] == "2"


def test_the_fastest_target_is_asked_once_all_are_known(me):
    alias = me.alias("slow:300", "ok", strategy="least_latency")
    asked(me, alias, 2)
    assert asked(me, alias, 12)[1] >= 9


# ---- keys ----

def test_keys_go_by_their_strategy(me):
    for strategy, used in (("priority", "aaa"), ("least_used", "abc")):
        alias = me.aliased([(f"keys-{strategy}", "ok")])
        asked(me, alias, 3)
        assert keys_used(me, alias) == used
    alias = me.aliased([("keys-round_robin", "ok")])
    asked(me, alias, 6)
    assert sorted(keys_used(me, alias)) == list("aabbcc") and keys_used(me, alias)[:3] == keys_used(me, alias)[3:]


def test_the_next_key_is_tried_before_the_next_target(me):
    alias = me.aliased([("keys-priority", "status:500"), ("mock", "ok")])
    assert me.chat(alias).headers["x-weir-attempts"] == "4"
    assert keys_used(me, alias) == "abc"


def test_a_key_at_its_limit_rests_and_the_others_serve(me):
    alias = me.aliased([("keys-priority", "flaky:1:429:30")])
    assert me.chat(alias).headers["x-weir-attempts"] == "2"
    assert me.chat(alias).headers["x-weir-attempts"] == "1"
    assert keys_used(me, alias) == "abb"
    key = next(p for p in me.site.json("provider", "list") if p["name"] == "keys-priority")["keys"][0]
    assert key["state"] == "resting" and key["until"] and "429" in key["error"]


def test_a_refused_key_is_not_used_again_until_it_is_new(me):
    alias = me.aliased([("keys-priority", "flaky:1:401")])
    assert me.chat(alias).headers["x-weir-attempts"] == "2"
    assert me.chat(alias).headers["x-weir-attempts"] == "1"
    assert keys_used(me, alias) == "abb"
    me.usage_checked = False

    def key():
        return next(p for p in me.site.json("provider", "list") if p["name"] == "keys-priority")["keys"][0]
    assert key()["state"] == "disabled" and "401" in key()["error"] and PROVIDER_KEY not in key()["error"]
    me.site.apply({"providers": [{"name": "keys-priority", "dialect": "openai", "base_url": f"http://127.0.0.1:{me.mock.port}/v1",
                                  "keys": [{"name": "a", "secret": PROVIDER_KEY + "z", "priority": 0}]}]})
    assert key()["state"] == "active"
    assert me.chat(alias).status_code == 200 and keys_used(me, alias)[-1] == "z"


# ---- fallbacks ----

def test_the_fallback_of_the_alias_then_that_of_all(me):
    me.usage_checked = False  # another alias's target answers
    last, middle = me.alias("ok"), me.alias("status:500")
    me.site.apply({"models": [{"alias": middle, "targets": [{"provider": "mock", "model": middle.first}], "fallback": last}]})
    alias = me.alias("status:500", fallback=middle)
    r = me.chat(alias)
    assert r.headers["x-weir-model"] == last.first and r.headers["x-weir-attempts"] == "3"
    assert me.audit()["alias"] == alias and me.audit()["outcome"] == "ok"
    me.site.weir("settings", "fallback", last)
    try:
        assert me.chat(me.alias("status:500")).headers["x-weir-model"] == last.first
    finally:
        me.site.weir("settings", "fallback", "null")


def test_fallbacks_that_point_at_each_other_end(me):
    a, b = me.alias("status:500"), me.alias("status:500")
    me.site.weir("settings", "retries", "0")
    me.site.apply({"models": [{"alias": x, "targets": [{"provider": "mock", "model": x.first}], "fallback": y} for x, y in ((a, b), (b, a))]})
    assert me.chat(a).headers["x-weir-attempts"] == "2"
    me.site.weir("settings", "retries", "2")


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_too_long_goes_to_the_larger_model_and_to_no_other(me, stream):
    me.usage_checked = False  # another alias's target answers
    larger = me.alias("ok")
    alias = me.alias("too-long", "ok", context_fallback=larger)
    r = me.chat(alias, stream=stream)
    assert r.status_code == 200 and r.headers["x-weir-model"] == larger.first and r.headers["x-weir-attempts"] == "2"
    assert not me.seen(alias, 1)
    r = me.chat(me.alias("too-long", "ok"), stream=stream)
    assert r.status_code == 400 and r.json()["error"]["code"] == "context_length_exceeded"


def test_a_key_that_may_use_the_alias_may_use_what_stands_behind_it(me):
    me.usage_checked = False  # another alias's target answers
    hidden = me.alias("ok")
    alias = me.alias("status:500", fallback=hidden)
    secret = me.site.create_key(f"only-{alias}", "--models", alias)
    http = me.http(secret=secret)
    assert me.chat(alias, http=http).headers["x-weir-model"] == hidden.first
    assert me.chat(hidden, http=http).status_code == 403


# ---- retries ----

def test_a_single_target_is_asked_again_after_a_pause(me):
    alias = me.alias("flaky:2:503")
    r = me.chat(alias)
    assert r.status_code == 200 and r.headers["x-weir-attempts"] == "3"
    assert me.audit()["attempts"] == 3


def test_retries_end_and_the_last_failure_is_told(me):
    alias = me.alias("status:503")
    r = me.chat(alias)
    assert r.status_code == 503 and r.headers["x-weir-attempts"] == "3" and len(me.seen(alias)) == 3


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_a_second_try_does_not_mend_is_not_tried(me, status):
    alias = me.alias(f"status:{status}")
    assert me.chat(alias).headers["x-weir-attempts"] == "1"


def test_a_short_retry_after_is_waited_for(me):
    alias = me.alias("flaky:1:429:1")
    begun = time.monotonic()
    assert me.chat(alias).status_code == 200
    assert time.monotonic() - begun >= 1


def test_a_long_one_is_handed_on(me):
    r = me.chat(me.alias("status:429:50"))
    assert r.status_code == 429 and r.headers["retry-after"] == "50" and r.headers["x-weir-attempts"] == "1"


# ---- prices ----

def test_each_target_is_charged_at_its_own_price(me):
    alias = me.alias("script", "ok", price=PRICE)
    used = {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}
    head = behaviours.sse_head() + [{"send": behaviours.data({"choices": [], "usage": used})}, {"usage": used}]
    me.mock.script(alias.models[0], head + [{"close": True}])
    me.site.apply({"models": [{"alias": alias, "price": PRICE, "targets": [
        {"provider": "mock", "model": alias.models[0], "price": {"input": "10", "output": "10"}},
        {"provider": "mock", "model": alias.models[1]}]}]})
    assert me.chat(alias, stream=True).headers["x-weir-attempts"] == "2"
    told = me.seen(alias, 1)[0]["usage"]
    cached = told["prompt_tokens_details"]["cached_tokens"]
    assert cached  # at the input's price, for the alias has none for it
    cost = 100 * 10 + told["prompt_tokens"] * 1 + told["completion_tokens"] * 2
    assert float(me.audit()["cost"]) == pytest.approx(cost / 1e6)


def test_under_a_limit_on_cost_what_has_no_price_is_passed_over(me):
    alias = me.alias("ok", "ok")
    me.site.apply({"models": [{"alias": alias, "targets": [{"provider": "mock", "model": alias.models[0]},
                                                           {"provider": "mock", "model": alias.models[1], "price": PRICE}]}],
                   "limits": [{"scope": f"model/{alias}", "metric": "cost", "shape": "total", "amount": "1"}]})
    r = me.chat(alias)
    assert r.headers["x-weir-model"] == alias.models[1] and r.headers["x-weir-attempts"] == "1" and not me.seen(alias, 0)
    assert float(me.audit()["cost"]) > 0


def test_what_is_held_is_the_dearest_target_s_bound(me):
    alias = me.alias("ok", "ok")
    me.site.apply({"models": [{"alias": alias, "max_output": 1000, "targets": [
        {"provider": "mock", "model": alias.models[0], "price": {"input": "0", "output": "1"}},
        {"provider": "mock", "model": alias.models[1], "price": {"input": "0", "output": "100"}}]}],
        "limits": [{"scope": f"model/{alias}", "metric": "cost", "shape": "total", "amount": "0.05"}]})
    assert me.chat(alias).status_code == 200
    assert me.seen(alias)[0]["json"]["max_tokens"] == 500


# ---- provider/model ----

def test_models_of_known_providers_are_asked_directly_where_that_is_allowed(me):
    alias = me.alias("ok", price=PRICE)
    name = f"mock/{alias.first}"
    r = me.chat(name)
    assert r.status_code == 200 and r.headers["x-weir-model"] == alias.first and r.headers["x-weir-provider"] == "mock"
    assert float(me.audit()["cost"]) > 0 and me.audit()["alias"] == name
    assert me.chat("mock/ok#nobody-names-it").status_code == 200 and me.audit()["cost"] is None
    assert me.chat("unheard/ok").status_code == 404 and me.chat("mock/").status_code == 404
    secret = me.site.create_key(f"direct-{alias}", "--models", alias)
    assert me.chat(name, http=me.http(secret=secret)).status_code == 403
    me.site.weir("settings", "direct_models", "false")
    assert me.chat(name).status_code == 404
    me.site.weir("settings", "direct_models", "true")
