"""Limits as callers meet them: who is let in, who is refused and how, what is held, and what is charged.

Each test has a caller of its own (key, user, team, role, role group); limits that touch everybody get a data directory of
their own. After each test nothing is held and the books agree.
"""
import concurrent.futures
import contextlib
import datetime
import decimal
import json
import re
import time

import openai
import pytest

import behaviours
import harness
from harness import MESSAGES, SLOW, until

NANO = 10 ** 9
PRICE = {"input": "1", "cached_input": "1", "cache_write": "1", "output": "2"}  # 1,000 and 2,000 nano-dollars a token
PROMPT, COMPLETION = 10, 5  # what scripted answers report
EACH = {"requests": 1, "tokens": PROMPT + COMPLETION, "cost": PROMPT * 1000 + COMPLETION * 2000}
FLOOR = 16  # tokens a choice: less is not worth asking for
DURATION = re.compile(r"(\d+h)?(\d+m)?(\d+(\.\d+)?s)?|\d+ms")


def dollars(nano):
    return f"{decimal.Decimal(nano).scaleb(-9):f}"


def calendar_period():
    """A period that does not end in the next minutes, and its end."""
    now = datetime.datetime.now(datetime.timezone.utc)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = (day.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    week = day + datetime.timedelta(days=7 - day.weekday())
    return ("month", month) if month - now > datetime.timedelta(hours=1) else ("week", week)


def shape_fields(shape, metric, amount):
    """The document's members of a limit that regains nothing while a test runs; a bucket of money a nano-dollar a second."""
    given = dollars(amount) if metric == "cost" else amount
    if shape == "bucket":
        return {"capacity": given, "refill_per_sec": "0.000000001" if metric == "cost" else 0.001}
    more = {"window": {"seconds": 3600}, "calendar": {"period": calendar_period()[0]}}.get(shape, {})
    return {"amount": given} | more


class Limited(harness.Gateway):
    """A Gateway whose caller nobody else is, with limits."""

    def __init__(self, web, mock, *, assert_clean=True):
        n = next(harness._serial)
        self.clean = assert_clean
        self.user, self.team, self.role, self.rolegroup, self.key_name = (f"{k}-{n}" for k in ("user", "team", "role", "group", "key"))
        secret = self.add_key(web.site, self.key_name, user=self.user, team=self.team, role=self.role, rolegroup=self.rolegroup)
        super().__init__(web, mock, self.key_name, secret)

    @staticmethod
    def add_key(site, name, **who):
        secret = f"sk-weir-limits-{next(harness._serial):040d}"
        site.apply({"keys": [{"name": name, "secret": secret} | who]})
        return secret

    def limit(self, scope, metric, amount, shape="total", **fields):
        """Sets or changes one limit; cost in nano-dollars."""
        one = {"scope": scope, "metric": metric}
        if metric == "concurrency":
            one |= {"amount": amount}
        else:
            one |= {"shape": shape} | shape_fields(shape, metric, amount)
        self.site.apply({"limits": [one | fields]})

    def usage(self):
        r = self.http().get("/v1/usage")
        assert r.status_code == 200, r.text
        return r.json()

    def line(self, scope, metric, shape=None):
        """One limit as GET /v1/usage tells it; money as nano-dollars."""
        found = [x for x in self.usage()["limits"] if x["scope"] == scope and x["metric"] == metric and shape in (None, x["shape"])]
        assert len(found) == 1, found
        one = found[0]
        if metric == "cost":
            for name in ("limit", "used", "held", "remaining"):
                one[name] = int(decimal.Decimal(one[name]) * NANO)
        return one

    # ---- what requests hold ----
    def asked_for(self, alias, mode="hard", path="/v1/chat/completions", **fields):
        """The least that such a request holds on a token limit of that mode, as a limit of 1 that it meets says."""
        name = f"probe-{mode}-{next(harness._serial)}"
        secret = self.add_key(self.site, name)
        self.limit(f"key/{name}", "tokens", 1, mode=mode)
        r = self.ask(alias, path=path, http=self.http(secret), **fields)
        assert r.status_code == 429, r.text
        return int(re.search(r"(\d+) asked for", r.json()["error"]["message"])[1])

    def ask(self, alias, http=None, path="/v1/chat/completions", **fields):
        if path == "/v1/chat/completions":
            return self.chat(alias, http, **fields)
        return (http or self.http()).post(path, json={"model": alias} | fields)

    # ---- what the provider reports ----
    def answers(self, alias, count=1, prompt=PROMPT, completion=COMPLETION, cached=0, target=0):
        """The next so many plain answers of a `script` target report that usage."""
        used = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": cached}}
        body = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": used, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]})
        for _ in range(count):
            self.mock.script(alias.models[target], [{"usage": used}] + behaviours.plain(body))

    def reported(self):
        """Tokens that the provider itself reported for this test's aliases."""
        names = {m for a in self.aliases.values() for m in a.models}
        seen = [e["usage"] for e in self.mock.seen(since=self.seen_before) if e["model"] in names and e["usage"]]
        return sum(u.get("prompt_tokens", 0) + u.get("completion_tokens", 0) for u in seen)

    def check(self):
        super().check()
        until("nothing to be in flight", lambda: self.site.open_tickets() == 0)
        assert self.site.query("select member, held from counter where held <> 0") == []
        if self.clean:
            rows = self.site.audit(self.rows_before)
            if all(r["usage_source"] != "estimated" for r in rows):
                assert sum(r["prompt_tokens"] + r["completion_tokens"] for r in rows) == self.reported()
        assert self.site.books() == 0


@pytest.fixture(scope="module")
def limits_web(make_site):
    w = harness.Web(make_site())
    yield w.start()
    w.stop()


@pytest.fixture
def me(limits_web, mock):
    g = Limited(limits_web, mock)
    yield g
    g.check()


@pytest.fixture
def alone(make_site, mock):
    """As `me`, on a data directory of the test's own."""
    w = harness.Web(make_site()).start()
    try:
        g = Limited(w, mock)
        yield g
        g.check()
    finally:
        w.stop()


def refused(r, code, *words):
    """A 429 as INTERFACE.md has it."""
    assert r.status_code == 429, (r.status_code, r.text)
    error = r.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == code, error
    for w in words:
        assert str(w) in error["message"], (w, error["message"])
    if code == "rate_limit_exceeded":
        assert error["type"] == "rate_limit_error", error
        assert 1 <= int(r.headers["retry-after"]) <= 60, dict(r.headers)
        assert r.headers.get("x-should-retry") != "false", dict(r.headers)
    else:
        assert error["type"] == "insufficient_quota", error
        assert r.headers["x-should-retry"] == "false" and "retry-after" not in r.headers, dict(r.headers)
    return error["message"]


def passed(r):
    assert r.status_code == 200, (r.status_code, r.text)
    return r


# ---- every metric, shape and mode ----
@pytest.mark.parametrize("mode", ["hard", "soft", "observe"])
@pytest.mark.parametrize("shape", ["total", "bucket", "window", "calendar"])
@pytest.mark.parametrize("metric", ["requests", "tokens", "cost"])
def test_the_last_unit_can_be_used_and_not_one_more(me, metric, shape, mode):
    """One unit less than three requests need lets two in; with it the third is let in, at once, and no fourth."""
    alias = me.alias("script", price=PRICE)
    me.answers(alias, 4)
    http, scope, each = me.http(), f"user/{me.user}", EACH[metric]

    def limit(amount):
        me.limit(scope, metric, amount, shape, mode=mode)

    def ask():
        return me.chat(alias, http, max_tokens=5)
    if mode == "observe":
        limit(each)
        for _ in range(4):
            passed(ask())
        line = me.line(scope, metric)
        assert (line["used"], line["held"], line["limit"], line["mode"]) == (4 * each, 0, each, "observe")
        return
    needed = 1
    if metric != "requests":
        needed = me.asked_for(alias, mode, max_tokens=5)
        needed = needed if metric == "tokens" else (needed - 5) * 1000 + 5 * 2000
    amount = 2 * each + needed
    code, when = "insufficient_quota", "by itself" if shape == "total" else "passes at 20"
    refilled = 1000 if (metric, shape) == ("cost", "bucket") else 0
    limit(amount - 1 - refilled)
    passed(ask())
    passed(ask())
    message = refused(ask(), code, scope, metric, f"{dollars(2 * each).rstrip('0') if metric == 'cost' else 2 * each} used", when)
    limit(amount)
    passed(ask())
    refused(ask(), code, scope, metric)
    assert len(me.seen(alias)) == 3
    line = me.line(scope, metric)
    assert 3 * each - refilled <= line["used"] <= 3 * each, line
    assert (line["held"], line["limit"], line["remaining"]) == (0, amount, amount - line["used"]), line
    assert (line["shape"], line["mode"]) == (shape, mode)
    if shape == "calendar":
        unit, end = calendar_period()
        assert end.strftime("%Y-%m-%dT00:00:00") in message and f"a {unit}" in message
        assert line["resets_at"].startswith(end.strftime("%Y-%m-%dT00:00:00")) and line["period"] == unit
    if shape == "total":
        assert line["resets_at"] is None
    if shape == "window":
        assert "in 3600 s" in message and line["seconds"] == 3600


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_so_many_in_flight_and_not_one_more(me, mode):
    gate = me.gate()
    alias, scope = me.alias(f"gated:{gate}"), f"key/{me.key_name}"
    me.limit(scope, "concurrency", 3, mode=mode)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(me.chat, alias, me.http(), stream=i == 1) for i in range(3)]
        me.mock.asked(alias.first, 3)
        assert me.line(scope, "concurrency")["held"] == 3
        refused(me.chat(alias), "rate_limit_exceeded", scope, "3 concurrency in flight", "as requests in flight end")
        me.mock.go(gate)
        for c in calls:
            passed(c.result())
    for _ in range(4):
        passed(me.chat(alias))
    assert me.line(scope, "concurrency")["held"] == 0 and len(me.seen(alias)) == 7


def test_an_observed_concurrency_refuses_nobody(me):
    gate = me.gate()
    alias = me.alias(f"gated:{gate}")
    me.limit(f"user/{me.user}", "concurrency", 1, mode="observe")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(me.chat, alias, me.http()) for _ in range(3)]
        me.mock.asked(alias.first, 3)
        me.mock.go(gate)
        assert [c.result().status_code for c in calls] == [200] * 3


# ---- how a refusal is told ----
def test_the_sdk_waits_and_tries_again_where_time_helps(me):
    alias, scope = me.alias("ok"), f"user/{me.user}"
    me.limit(scope, "requests", 1, "window", seconds=1)
    client = me.sdk(retries=3)
    for _ in range(2):
        assert client.chat.completions.create(model=alias, messages=MESSAGES).choices
    assert [s.status for s in me.sent].count(200) == 2 and 429 in [s.status for s in me.sent]
    told = next(s for s in me.sent if s.status == 429)
    assert int(told.headers["retry-after"]) in (1, 2)


def test_a_bucket_refills(me):
    """A unit comes back in half a second."""
    alias, scope = me.alias("ok"), f"user/{me.user}"
    me.site.apply({"limits": [{"scope": scope, "metric": "requests", "shape": "bucket", "capacity": 2, "refill_per_sec": 2}]})
    http, begun, got = me.http(), time.monotonic(), 0

    def third():
        r = me.chat(alias, http)
        if r.status_code == 429:
            refused(r, "rate_limit_exceeded", scope, "2 requests")
            assert r.headers["retry-after"] == "1"
        return r.status_code == 200
    while third():
        got += 1
        assert got <= 2 + 2 * (time.monotonic() - begun)
    until("the bucket to have refilled", third, 2)
    got += 1
    assert 2 < got <= 2 + 2 * (time.monotonic() - begun)


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_does_not_try_again_where_it_is_of_no_use(me, stream):
    alias = me.alias("ok")
    me.limit(f"team/{me.team}", "requests", 1)
    client = me.sdk(retries=3)
    with contextlib.closing(client.chat.completions.create(model=alias, messages=MESSAGES, stream=True)) as s:
        for _ in s:
            pass
    with pytest.raises(openai.RateLimitError) as e:
        client.chat.completions.create(model=alias, messages=MESSAGES, stream=stream)
    assert e.value.code == "insufficient_quota" and e.value.status_code == 429 and f"team/{me.team}" in e.value.message
    assert [s.status for s in me.sent] == [200, 429]
    row = me.audit()
    assert row["outcome"] == "refused" and row["status"] == 429 and row["error"] == "insufficient_quota" and row["attempts"] == 0


def test_of_several_limits_that_refuse_the_one_that_lasts_longest_is_named(me):
    alias = me.alias("ok")
    me.limit(f"user/{me.user}", "requests", 1, "window", seconds=30)
    me.limit(f"team/{me.team}", "requests", 1, "window")
    passed(me.chat(alias))
    refused(me.chat(alias), "insufficient_quota", f"team/{me.team}", "in 3600 s")


def test_a_refusal_holds_and_counts_nothing_anywhere(me):
    alias = me.alias("ok", price=PRICE)
    me.limit(f"user/{me.user}", "requests", 1)
    me.limit(f"team/{me.team}", "requests", 50)
    me.limit(f"role/{me.role}", "tokens", 100000)
    me.limit(f"rolegroup/{me.rolegroup}", "cost", NANO)
    me.limit(f"key/{me.key_name}", "concurrency", 2)
    passed(me.chat(alias))
    before = {(x["scope"], x["metric"]): x["used"] for x in me.usage()["limits"]}
    assert len(before) == 5
    for _ in range(5):
        refused(me.chat(alias), "insufficient_quota", f"user/{me.user}")
    after = me.usage()["limits"]
    assert {(x["scope"], x["metric"]): x["used"] for x in after} == before
    assert all(float(x["held"]) == 0 for x in after)


# ---- scopes ----
@pytest.mark.parametrize("kind", ["user", "team", "role", "rolegroup", "key", "model"])
def test_each_scope_counts_its_own_and_nobody_else_s(me, kind):
    alias, other = me.alias("ok"), me.alias("ok")
    name = {"user": me.user, "team": me.team, "role": me.role, "rolegroup": me.rolegroup, "key": me.key_name, "model": alias}[kind]
    me.limit(f"{kind}/{name}", "requests", 2)
    stranger = me.http(me.add_key(me.site, f"stranger-{name}", user=f"stranger-{name}"))
    passed(me.chat(alias))
    passed(me.chat(alias))
    refused(me.chat(alias), "insufficient_quota", f"{kind}/{name}")
    if kind == "model":
        passed(me.chat(other))
        refused(me.chat(alias, stranger), "insufficient_quota", f"{kind}/{name}")
    else:
        refused(me.chat(other), "insufficient_quota", f"{kind}/{name}")
        passed(me.chat(alias, stranger))


def test_a_global_limit_counts_everybody(alone):
    alias = alone.alias("ok")
    alone.limit("global", "requests", 2)
    other = alone.http(alone.add_key(alone.site, "other", user="other"))
    passed(alone.chat(alias))
    passed(alone.chat(alias, other))
    for http in (alone.http(), other):
        refused(alone.chat(alias, http), "insufficient_quota", "on global")


def test_a_default_holds_for_each_member_until_it_has_a_limit_of_its_own(alone):
    alias = alone.alias("ok")
    alone.limit("user/*", "requests", 2)
    users = {u: alone.http(alone.add_key(alone.site, f"key-of-{u}", user=u)) for u in ("ann", "bob")}
    for u, http in users.items():
        passed(alone.chat(alias, http))
        passed(alone.chat(alias, http))
        refused(alone.chat(alias, http), "insufficient_quota", f"user/{u}")
    line = next(x for x in users["ann"].get("/v1/usage").json()["limits"])
    assert (line["scope"], line["via"], line["used"], line["limit"]) == ("user/ann", "user/*", 2, 2)
    alone.limit("user/bob", "requests", 3)
    refused(alone.chat(alias, users["ann"]), "insufficient_quota", "user/ann")
    for _ in range(3):  # a limit counts from its creation
        passed(alone.chat(alias, users["bob"]))
    refused(alone.chat(alias, users["bob"]), "insufficient_quota", "The limit of 3 requests on user/bob")
    nobody = alone.http(alone.add_key(alone.site, "key-of-nobody"))
    for _ in range(3):
        passed(alone.chat(alias, nobody))
    assert nobody.get("/v1/usage").json()["limits"] == []


def test_addresses_and_ranges_are_scopes(alone):
    """Each address by ip/*, one by its own, and a range together."""
    alias = alone.alias("ok")
    alone.limit("ip/*", "requests", 2)
    alone.limit("ip/127.0.0.2", "requests", 1)

    def ask(address):
        transport = harness.httpx2.HTTPTransport(local_address=address, verify=harness.TRUST)
        return alone.chat(alias, alone.transport(transport=transport, base_url=alone.url, headers={"authorization": f"Bearer {alone.secret}"}))
    for address, count in (("127.0.0.1", 2), ("127.0.0.2", 1), ("127.0.0.3", 2)):
        for _ in range(count):
            passed(ask(address))
        refused(ask(address), "insufficient_quota", f"ip/{address}")
    alone.limit("ip/127.0.0.16/28", "requests", 3)
    for last in (17, 17, 18):
        passed(ask(f"127.0.0.{last}"))
    refused(ask("127.0.0.19"), "insufficient_quota", "ip/127.0.0.16/28")
    rows = alone.rows(alias, len(alone.sent))
    assert {r["ip"] for r in rows} == {f"127.0.0.{i}" for i in (1, 2, 3, 17, 18, 19)}
    alone.sent.clear()  # the rows are of other addresses than Gateway.check knows
    alone.rows_before = alone.site.mark()
    alone.clean = False


# ---- providers ----
def own_providers(me, count):
    """Providers nobody else uses, all of them the mock."""
    names = [f"provider-{next(harness._serial)}" for _ in range(count)]
    me.site.apply({"providers": [{"name": n, "dialect": "openai", "base_url": f"http://127.0.0.1:{me.mock.port}/v1",
                                  "keys": [{"name": "k1", "secret": harness.PROVIDER_KEY}]} for n in names]})
    return names


def test_a_provider_at_its_limit_is_passed_over_and_all_of_them_are_429(me):
    first, second = own_providers(me, 2)
    alias = me.alias(f"{first}/ok", f"{second}/ok")
    me.limit(f"user/{me.user}", "requests", 100)
    me.limit(f"provider/{first}", "requests", 1)
    me.limit(f"provider/{second}", "requests", 2)
    asked = [passed(me.chat(alias)).headers["x-weir-provider"] for _ in range(3)]
    assert asked == [first, second, second]
    assert {s.headers["x-weir-attempts"] for s in me.sent} == {"1"}
    refused(me.chat(alias), "insufficient_quota", "provider/")
    assert [len(me.seen(alias, i)) for i in (0, 1)] == [1, 2]
    row = me.audit()
    assert row["outcome"] == "refused" and row["attempts"] == 0
    assert me.line(f"user/{me.user}", "requests")["used"] == 3, "a request that was not sent is given back"


@pytest.mark.parametrize("metric", ["tokens", "cost", "concurrency"])
def test_a_provider_s_limits_are_held_for_each_attempt_and_charged_what_it_used(me, metric):
    first, second = own_providers(me, 2)
    gate = me.gate()
    alias = me.alias(f"{first}/gated:{gate}", f"{second}/ok", price=PRICE)
    needed = me.asked_for(alias, max_tokens=10)
    amount = {"tokens": needed, "cost": (needed - 10) * 1000 + 10 * 2000, "concurrency": 1}[metric]
    me.limit(f"provider/{first}", metric, amount)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(me.chat, alias, me.http(), max_tokens=10)
        me.mock.asked(alias.first)
        held, = me.site.query("select used, held from counter where member = ?", f"provider/{first}")
        assert held == (0, amount)
        assert passed(me.chat(alias, max_tokens=10)).headers["x-weir-provider"] == second
        me.mock.go(gate)
        used = passed(call.result()).json()["usage"]
    after, = me.site.query("select used, held from counter where member = ?", f"provider/{first}")
    cost = used["prompt_tokens"] * 1000 + used["completion_tokens"] * 2000
    assert after == ({"tokens": used["total_tokens"], "cost": cost, "concurrency": 0}[metric], 0)


def test_a_failed_provider_s_error_is_told_if_the_next_is_at_its_limit(me):
    first, second = own_providers(me, 2)
    ok, alias = me.alias(f"{second}/ok"), me.alias(f"{first}/status:500", f"{second}/ok")
    me.limit(f"provider/{first}", "requests", 5)
    me.limit(f"provider/{second}", "requests", 1)
    passed(me.chat(ok))
    r = me.chat(alias)
    assert r.status_code >= 500 and me.seen(alias, 1) == []
    row = me.audit()
    assert row["outcome"] == "failed" and row["attempts"] == 1 and row["provider"] == first
    assert me.site.query("select used, held from counter where member = ?", f"provider/{first}") == [(1, 0)]


def test_a_provider_s_limit_of_unpriced_money_is_403(me):
    first, = own_providers(me, 1)
    alias = me.alias(f"{first}/ok")
    me.limit(f"provider/{first}", "cost", NANO)
    r = me.chat(alias)
    assert r.status_code == 403 and r.json()["error"]["code"] == "model_price_unknown" and me.seen(alias) == []


# ---- what goes upstream under a hard limit ----
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
CLAMPS = {  # given fields: the name and, where it is not clamped, the number that must arrive
    "absent": (CHAT, {}, 1, "max_tokens", None),
    "max_tokens": (CHAT, {"max_tokens": 1000}, 1, "max_tokens", None),
    "max_tokens-null": (CHAT, {"max_tokens": None}, 1, None, None),
    "max_completion_tokens": (CHAT, {"max_completion_tokens": 1000}, 1, "max_completion_tokens", None),
    "max_completion_tokens-null": (CHAT, {"max_completion_tokens": None}, 1, "max_completion_tokens", None),
    "small-enough": (CHAT, {"max_tokens": 30}, 1, "max_tokens", 30),
    "exactly": (CHAT, {"max_completion_tokens": 40}, 1, "max_completion_tokens", 40),
    "n": (CHAT, {"max_tokens": 1000, "n": 2}, 2, "max_tokens", None),
    "n-absent": (CHAT, {"n": 3}, 3, "max_tokens", None),
    "stream": (CHAT, {"max_tokens": 1000, "stream": True}, 1, "max_tokens", None),
    "stream-absent": (CHAT, {"stream": True}, 1, "max_tokens", None),
    "completions": (COMPLETIONS, {"prompt": "Say", "max_tokens": 1000}, 1, "max_tokens", None),
    "completions-absent": (COMPLETIONS, {"prompt": "Say"}, 1, "max_tokens", None),
    "completions-best_of": (COMPLETIONS, {"prompt": "Say", "max_tokens": 1000, "best_of": 4, "n": 2}, 4, "max_tokens", None),
}


@pytest.mark.parametrize("metric", ["tokens", "cost"])
@pytest.mark.parametrize("case", list(CLAMPS))
def test_the_maximum_that_goes_upstream_is_what_the_limit_leaves(me, case, metric):
    """What is left for 40 tokens a choice, and a rest that no choice can have, is forwarded as 40."""
    path, fields, choices, name, number = CLAMPS[case]
    alias = me.alias("ok", price=PRICE)
    prompt = me.asked_for(alias, path=path, **fields) - FLOOR * choices
    left = 40 * choices + choices - 1
    me.limit(f"user/{me.user}", metric, prompt + left if metric == "tokens" else prompt * 1000 + left * 2000 + 1999)
    passed(me.ask(alias, path=path, **fields))
    sent = me.seen(alias)[0]["json"]
    got = {k: sent[k] for k in ("max_tokens", "max_completion_tokens") if sent.get(k) is not None}
    want = 40 if number is None else number
    assert list(got.values()) == [want] and (name is None or list(got) == [name]), sent
    for k, v in fields.items():
        assert k.startswith("max") or sent[k] == v


def test_two_maxima_are_both_clamped(me):
    """A provider may know only the older one."""
    alias, fields = me.alias("ok"), {"max_tokens": 5000, "max_completion_tokens": 1000}
    me.limit(f"user/{me.user}", "tokens", me.asked_for(alias, **fields))
    passed(me.chat(alias, **fields))
    sent = me.seen(alias)[0]["json"]
    assert (sent["max_tokens"], sent["max_completion_tokens"]) == (FLOOR, FLOOR), sent


@pytest.mark.parametrize("fields", [{}, {"max_tokens": 1000}, {"max_tokens": 5}, {"n": 3}], ids=str)
def test_less_than_the_floor_is_refused_and_the_floor_is_not(me, fields):
    alias, scope = me.alias("ok"), f"user/{me.user}"
    needed = me.asked_for(alias, **fields)
    me.limit(scope, "tokens", needed - 1)
    refused(me.chat(alias, **fields), "insufficient_quota", scope)
    assert me.seen(alias) == []
    me.limit(scope, "tokens", needed)
    passed(me.chat(alias, **fields))
    sent = me.seen(alias)[0]["json"]
    assert sent.get("max_tokens", sent.get("max_completion_tokens")) == min(FLOOR, fields.get("max_tokens", FLOOR))


@pytest.mark.parametrize("mode", ["soft", "observe"])
def test_no_other_limit_touches_the_maximum(me, mode):
    alias = me.alias("ok", price=PRICE)
    me.limit(f"user/{me.user}", "tokens", 1000, mode=mode)
    me.limit(f"user/{me.user}", "cost", NANO, mode=mode)
    me.limit(f"user/{me.user}", "requests", 10)
    passed(me.chat(alias))
    passed(me.chat(alias, max_tokens=7))
    assert [[k for k in e["json"] if k.startswith("max")] for e in me.seen(alias)] == [[], ["max_tokens"]]
    assert me.seen(alias)[1]["json"]["max_tokens"] == 7


def test_a_model_s_own_maximum_bounds_what_is_held(me):
    short, long = me.alias("ok", max_output=100), me.alias("ok", max_output=9000)
    me.limit(f"user/{me.user}", "tokens", 100000)
    for alias, most in ((short, 100), (long, 9000)):
        passed(me.chat(alias))
        assert me.seen(alias)[0]["json"]["max_tokens"] == most


def test_embeddings_hold_no_output(me):
    alias, fields = me.alias("ok"), {"path": "/v1/embeddings", "input": ["one", "two"]}
    needed = me.asked_for(alias, **fields)
    me.limit(f"user/{me.user}", "tokens", needed - 1)
    refused(me.ask(alias, **fields), "insufficient_quota", f"user/{me.user}")
    me.limit(f"user/{me.user}", "tokens", needed)
    used = passed(me.ask(alias, **fields)).json()["usage"]
    assert not [k for k in me.seen(alias)[0]["json"] if k.startswith("max")]
    assert me.line(f"user/{me.user}", "tokens")["used"] == used["prompt_tokens"]
    assert needed < FLOOR * 4 + len(json.dumps(fields)) + len(alias), "more is held than the request can have"


def test_a_list_of_prompts_holds_an_answer_for_each(me):
    """One choice a prompt: 20 prompts of at most 10 tokens each are 200 tokens."""
    alias, path = me.alias("ok"), "/v1/completions"
    one, many = (me.asked_for(alias, path=path, prompt=["Say"] * n, max_tokens=10) for n in (1, 20))
    assert many - one >= 19 * 10
    assert me.asked_for(alias, path=path, prompt=[[1, 2], [3, 4]], max_tokens=10) >= one + 10
    assert me.asked_for(alias, path=path, prompt=[1, 2, 3, 4], max_tokens=10) <= one + 10


def test_tools_images_and_files_are_held_for(me):
    """What bytes do not bound gets its allowance."""
    alias = me.alias("ok")
    plain = me.asked_for(alias)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x.test/i.png"}}]}]
    file = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f-1"}}]}]
    assert me.asked_for(alias, tools=[tool]) >= plain + 400
    assert me.asked_for(alias, messages=image) >= 765
    assert me.asked_for(alias, messages=file) >= 10000
    assert me.asked_for(alias, web_search_options={}) >= plain + 1000, "what a search finds is read too"


# ---- money ----
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_a_model_without_a_price_is_refused_under_a_cost_limit(me, mode):
    alias = me.alias("ok")
    me.limit(f"user/{me.user}", "cost", NANO, mode=mode)
    r = me.chat(alias)
    error = r.json()["error"]
    assert r.status_code == 403 and error["code"] == "model_price_unknown" and error["param"] == "model" and me.seen(alias) == []
    assert me.audit()["outcome"] == "refused"


def test_a_model_without_a_price_passes_where_costs_are_only_observed(me):
    alias = me.alias("ok")
    me.limit(f"user/{me.user}", "cost", NANO, mode="observe")
    passed(me.chat(alias))
    assert me.audit()["cost"] is None and me.line(f"user/{me.user}", "cost")["used"] == 0


@pytest.mark.parametrize("price, usage, nano", [
    ({"input": "0.15", "cached_input": "0.075", "cache_write": "0.15", "output": "0.60"}, (1000, 100, 400), 90000 + 30000 + 60000),
    ({"input": "0.0000001", "cached_input": "0", "cache_write": "0", "output": "0"}, (1, 0, 0), 1),  # rounded up
    ({"input": "0.123456789", "cached_input": "0.0123", "cache_write": "1", "output": "3.000000001"}, (777, 333, 77), None),
    ({"input": "75", "cached_input": "7.5", "cache_write": "93.75", "output": "150"}, (200000, 100000, 0), 30 * NANO),
    ({"input": "0", "cached_input": "0", "cache_write": "0", "output": "0"}, (10, 10, 5), 0),
])
def test_cost_is_exact_to_the_nano_dollar(me, price, usage, nano):
    prompt, completion, cached = usage
    alias = me.alias("script", price=price)
    per = {k: int(decimal.Decimal(v) * NANO) for k, v in price.items()}
    exact = per["input"] * (prompt - cached) + per["cached_input"] * cached + per["output"] * completion
    cost = -(-exact // 10 ** 6)
    assert nano is None or cost == nano
    me.limit(f"user/{me.user}", "cost", 1000 * NANO, mode="soft")
    me.answers(alias, 1, prompt, completion, cached)
    passed(me.chat(alias))
    row = me.audit()
    assert (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"]) == (prompt, cached, completion)
    assert int(decimal.Decimal(row["cost"]) * NANO) == cost and row["usage_source"] == "provider"
    assert me.line(f"user/{me.user}", "cost")["used"] == cost
    assert int(decimal.Decimal(me.usage()["month"]["cost"]) * NANO) == cost


# ---- more than was held ----
def test_a_soft_limit_may_be_passed_by_what_is_in_flight_and_then_refuses(me):
    alias, scope = me.alias("script"), f"user/{me.user}"
    me.limit(scope, "tokens", me.asked_for(alias, "soft", max_tokens=5), mode="soft")
    me.answers(alias, 1, 4000, 3000)
    passed(me.chat(alias, max_tokens=5))
    line = me.line(scope, "tokens")
    assert line["used"] == 7000 > line["limit"] and line["remaining"] == 0, line
    refused(me.chat(alias, max_tokens=5), "insufficient_quota", scope)


def test_a_provider_that_reports_more_than_was_held_is_charged_it_all_and_closes_a_hard_limit(me):
    alias, scope = me.alias("script"), f"user/{me.user}"
    me.limit(scope, "tokens", 2000)
    me.answers(alias, 1, 4000, 3000)
    passed(me.chat(alias, max_tokens=5))
    assert me.line(scope, "tokens")["used"] == 7000
    refused(me.chat(alias, max_tokens=5), "insufficient_quota", scope)
    assert me.site.query("select over_bound from audit where request_id = ?", me.sent[0].id) == [(1,)]
    until("over_bound in the log", lambda: any('"over_bound"' in x and me.sent[0].id in x for x in me.web.log.read_text().splitlines()))


def test_what_is_in_flight_is_held_on_a_hard_limit(me):
    """Room for two at once by their bounds: the third is told to try again, and may when one has settled."""
    gate, scope = me.gate(), f"user/{me.user}"
    alias = me.alias(f"gated:{gate}")
    needed = me.asked_for(alias, max_tokens=10)
    me.limit(scope, "tokens", 3 * needed - 1)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(me.chat, alias, me.http(), max_tokens=10) for _ in range(2)]
        me.mock.asked(alias.first, 2)
        assert me.line(scope, "tokens")["held"] == 2 * needed
        refused(me.chat(alias, max_tokens=10), "rate_limit_exceeded", scope, f"{2 * needed} held", "as requests in flight end")
        me.mock.go(gate)
        for c in calls:
            passed(c.result())
    passed(me.chat(alias, max_tokens=10))


def test_a_warning_is_logged_once_in_a_period(me):
    alias, scope = me.alias("ok"), f"user/{me.user}"
    me.limit(scope, "requests", 10, warn_percent=50)
    for _ in range(8):
        passed(me.chat(alias))
    lines = [json.loads(x) for x in me.web.log.read_text().splitlines() if '"limit_nearly_used"' in x and f'"{scope}"' in x]
    assert len(lines) == 1 and lines[0]["used"] == 5 and lines[0]["limit"] == 10, lines


# ---- headers ----
def go_duration(text):
    assert text and DURATION.fullmatch(text), text
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(n) * units[u] for n, u in re.findall(r"([\d.]+)(h|ms|m|s)", text))


@pytest.mark.parametrize("stream", [False, True])
def test_rate_limit_headers_tell_the_tightest_limit_of_each_metric(me, stream):
    alias = me.alias("script" if not stream else "ok")
    if not stream:
        me.answers(alias, 4)
    me.limit(f"user/{me.user}", "requests", 3, "window", seconds=90)
    me.limit(f"team/{me.team}", "requests", 1000)
    me.limit(f"role/{me.role}", "requests", 1, mode="observe")
    needed = me.asked_for(alias, max_tokens=10, stream=stream)
    me.limit(f"user/{me.user}", "tokens", 10 * needed, "window", seconds=7200)
    used = 0
    for i in range(3):
        r = passed(me.chat(alias, max_tokens=10, stream=stream))
        assert (r.headers["x-ratelimit-limit-requests"], r.headers["x-ratelimit-remaining-requests"]) == ("3", str(2 - i))
        assert 85 < go_duration(r.headers["x-ratelimit-reset-requests"]) < 91
        assert r.headers["x-ratelimit-limit-tokens"] == str(10 * needed)
        assert r.headers["x-ratelimit-remaining-tokens"] == str(10 * needed - used - needed)
        used = me.line(f"user/{me.user}", "tokens")["used"]
    r = me.chat(alias, max_tokens=10, stream=stream)
    refused(r, "insufficient_quota", f"user/{me.user}", "3 requests in 90 s")
    assert (r.headers["x-ratelimit-limit-requests"], r.headers["x-ratelimit-remaining-requests"]) == ("3", "0")
    assert 60 < go_duration(r.headers["x-ratelimit-reset-requests"]) < 91
    assert (r.headers["x-ratelimit-limit-tokens"], r.headers["x-ratelimit-remaining-tokens"]) == (str(10 * needed), str(10 * needed - used))
    assert 7100 < go_duration(r.headers["x-ratelimit-reset-tokens"]) < 7230 and r.headers["x-ratelimit-reset-tokens"].startswith(("1h5", "2h"))


def test_no_limit_no_headers(me):
    r = passed(me.chat(me.alias("ok")))
    assert not [k for k in r.headers if k.startswith("x-ratelimit")]


# ---- hits ----
ASKS = {  # a hit's: path, body, provider
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}, "mock"), "responses": ("/v1/responses", {"input": "weir"}, "responding"),
    "completions": ("/v1/completions", {"prompt": "weir"}, "mock"), "embeddings": ("/v1/embeddings", {"input": "weir"}, "mock"),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 100}, "claude")}


class Asker:
    """Asks one question of an alias that keeps its answers."""

    def __init__(self, me, kind, **fields):
        self.me, self.http, (self.path, self.body, provider) = me, me.http(), ASKS[kind]
        self.alias = me.aliased([(provider, "ok")], cache_ttl=60, **fields)

    def __call__(self, cache, stream=False):
        r = self.http.post(self.path, json=self.body | {"model": self.alias} | ({"stream": True} if stream else {}))
        assert r.headers.get("x-weir-cache", cache) == cache, dict(r.headers)
        return r


@pytest.mark.parametrize("kind, stream", [(k, s) for k in ASKS for s in (False, True) if not (s and k == "embeddings")])
def test_a_hit_tells_the_tightest_limits_as_any_answer_does(me, kind, stream):
    ask, scope = Asker(me, kind), f"user/{me.user}"
    me.limit(scope, "requests", 9, "window", seconds=90)
    me.limit(f"team/{me.team}", "requests", 1000)
    me.limit(scope, "tokens", 10 ** 6, "window", seconds=7200)
    for i in range(5):
        r = passed(ask("hit" if i else "miss", stream))
        assert (r.headers["x-ratelimit-limit-requests"], r.headers["x-ratelimit-remaining-requests"]) == ("9", str(8 - i))
        assert 60 < go_duration(r.headers["x-ratelimit-reset-requests"]) < 91
    assert me.line(scope, "requests")["remaining"] == 4


def test_a_hit_beyond_a_window_is_refused_in_the_caller_s_dialect_and_served_when_it_has_moved_on(me):
    """Nothing but the row is left of it: it counts nowhere."""
    asks, seconds = {kind: Asker(me, kind) for kind in ASKS}, max(2, int(2 * SLOW))
    for ask in asks.values():
        passed(ask("miss"))
    me.limit(f"user/{me.user}", "requests", len(asks), "window", seconds=seconds)
    for ask in asks.values():
        passed(ask("hit"))
    for kind, ask in asks.items():
        r = ask("hit", stream=kind == "chat")
        row = me.audit()
        assert (row["status"], row["outcome"], row["cache"], row["error"]) == (429, "refused", "hit", "rate_limit_exceeded")
        assert (row["attempts"], row["prompt_tokens"], row["cost"]) == (0, 0, "0.00")
        assert r.headers["x-ratelimit-remaining-requests"] == "0"
        if kind != "messages":
            refused(r, "rate_limit_exceeded", f"user/{me.user}", f"{len(asks)} requests in {seconds} s")
            continue
        error = r.json()
        assert r.status_code == 429 and (set(error), error["type"]) == ({"type", "error", "request_id"}, "error")
        assert error["error"]["type"] == "rate_limit_error" and f"user/{me.user}" in error["error"]["message"]
        assert 1 <= int(r.headers["retry-after"]) <= seconds and r.headers.get("x-should-retry") != "false"
    for ask in asks.values():
        until("a hit to be served again", lambda ask=ask: ask("hit").status_code == 200, 2 * seconds)
    assert all(len(me.seen(ask.alias)) == 1 for ask in asks.values())


@pytest.mark.parametrize("stream", [False, True])
def test_a_hit_beyond_a_total_is_told_that_no_time_will_help(me, stream):
    ask = Asker(me, "chat")
    passed(ask("miss"))
    me.limit(f"user/{me.user}", "requests", 1)
    passed(ask("hit", stream))
    for _ in range(2):
        refused(ask("hit", stream), "insufficient_quota", f"user/{me.user}")
        assert me.audit()["outcome"] == "refused"
    assert me.line(f"user/{me.user}", "requests")["used"] == 1


@pytest.mark.parametrize("shape", ["total", "bucket"])
@pytest.mark.parametrize("metric, priced", [("tokens", True), ("cost", True), ("cost", False)])
def test_no_limit_on_tokens_or_money_keeps_a_hit_away(me, metric, priced, shape):
    """Neither one that is used up, nor one that lets nobody ask a model without a price."""
    ask, scope = Asker(me, "chat", **({"price": PRICE} if priced else {})), f"user/{me.user}"
    if priced:
        me.limit(scope, metric, 10 ** 8, shape)
    passed(ask("miss"))
    me.limit(scope, metric, 1, shape)
    used = me.line(scope, metric)["used"]
    assert used > 0 or not priced
    for stream in (False, True):
        passed(ask("hit", stream))
    assert me.line(scope, metric)["used"] == used
    assert me.chat(ask.alias, seed=1).status_code == (429 if priced else 403)


# ---- what is charged ----
def counted(me):
    """Limits on everything, none of them in the way; returns how to read them."""
    scope = f"user/{me.user}"
    for metric, amount in (("requests", 10000), ("tokens", 10 ** 7), ("cost", 1000 * NANO)):
        me.limit(scope, metric, amount)
    me.limit(f"team/{me.team}", "tokens", 10 ** 7, "window")

    def read():
        lines = {(x["scope"], x["metric"]): x for x in me.usage()["limits"]}
        assert all(float(x["held"]) == 0 for x in lines.values()), lines
        tokens = {x["used"] for (_, m), x in lines.items() if m == "tokens"}
        assert len(tokens) == 1, lines
        return lines[scope, "requests"]["used"], tokens.pop(), int(decimal.Decimal(lines[scope, "cost"]["used"]) * NANO)
    return read


def cost_of(usage):
    return usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000


@pytest.mark.parametrize("behaviour, fields", [
    ("ok", {}), ("ok", {"stream": True}), ("ok", {"stream": True, "stream_options": {"include_usage": True}}),
    ("usage-in-finish", {"stream": True}), ("usage-everywhere", {"stream": True}), ("groq-usage", {"stream": True}),
    ("tool-deltas", {"stream": True}), ("gzip", {}), ("reasoning", {"stream": True})], ids=str)
def test_what_the_provider_reports_is_charged(me, behaviour, fields):
    read, alias = counted(me), me.alias(behaviour, price=PRICE)
    passed(me.chat(alias, **fields))
    told = me.seen(alias)[0]["usage"]
    row = me.audit()
    assert row["usage_source"] == "provider" and row["outcome"] == "ok"
    assert (row["prompt_tokens"], row["completion_tokens"]) == (told["prompt_tokens"], told["completion_tokens"])
    assert read() == (1, told["prompt_tokens"] + told["completion_tokens"], cost_of(told))


@pytest.mark.parametrize("stream", [False, True])
def test_without_a_report_what_was_delivered_is_charged_and_marked(me, stream):
    read, alias = counted(me), me.alias("no-usage", price=PRICE)
    prompt = me.asked_for(alias, "soft", stream=stream) - 500
    passed(me.chat(alias, stream=stream))
    row, letters = me.audit(), len("".join(behaviours.WORDS).encode("utf-16-le")) // 2
    assert row["usage_source"] == "estimated" and row["completion_tokens"] == -(-letters // 4) and row["prompt_tokens"] == prompt
    assert read() == (1, prompt + row["completion_tokens"], prompt * 1000 + row["completion_tokens"] * 2000)


def test_an_attempt_that_failed_but_cost_is_added(me):
    """A provider that answers a stream's request whole has answered nothing we can use, but it says what it cost."""
    read, alias = counted(me), me.alias("stream-as-json", "ok", price=PRICE)
    r = passed(me.chat(alias, stream=True))
    assert r.headers["x-weir-attempts"] == "2"
    told = [me.seen(alias, i)[0]["usage"] for i in (0, 1)]
    row = me.audit()
    assert row["prompt_tokens"] == sum(u["prompt_tokens"] for u in told) and row["completion_tokens"] == 18
    assert read() == (1, sum(u["total_tokens"] for u in told), sum(map(cost_of, told)))


def test_only_an_attempt_that_failed_but_cost_is_charged_too(me):
    read, alias = counted(me), me.alias("stream-as-json", price=PRICE)
    r = me.chat(alias, stream=True)
    assert r.status_code == 502
    told = me.seen(alias)[0]["usage"]
    assert read() == (1, told["total_tokens"], cost_of(told))


@pytest.mark.parametrize("form", ["error-event", "cut", "status-500"])
def test_usage_that_came_before_the_failure_is_added(me, form):
    """Events that carry usage but no content, then an end that makes it a failed attempt; an error that tells its cost."""
    read, alias = counted(me), me.alias("script", "ok", price=PRICE)
    used = {"prompt_tokens": 33, "completion_tokens": 7, "total_tokens": 40}
    error = behaviours.error_body("The model fell over.")
    if form == "status-500":
        steps = [{"usage": used}] + behaviours.plain(behaviours.text(error | {"usage": used}), 500)
    else:
        event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": used}
        steps = behaviours.sse_head() + [{"send": behaviours.data(event)}, {"usage": used}]
        steps += [{"close": True}] if form == "cut" else [{"send": behaviours.data(error)}, {"end": True}]
    me.mock.script(alias.first, steps)
    assert passed(me.chat(alias, stream=form != "status-500")).headers["x-weir-attempts"] == "2"
    told = me.seen(alias, 1)[0]["usage"]
    row = me.audit()
    assert (row["prompt_tokens"], row["completion_tokens"]) == (33 + told["prompt_tokens"], 7 + told["completion_tokens"])
    assert read() == (1, 40 + told["total_tokens"], cost_of(used) + cost_of(told))


def test_cost_is_rounded_up_once_a_request_not_once_an_attempt(me):
    """Half a nano-dollar a token, an odd number of them in each of two attempts."""
    alias = me.alias("script", "script", price={"input": "0.0005", "cached_input": "0", "cache_write": "0", "output": "0"})
    used = {"prompt_tokens": 33, "completion_tokens": 7, "total_tokens": 40}
    event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": used}
    last = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}
    head = behaviours.sse_head() + [{"send": behaviours.data(event)}, {"usage": used}]
    me.mock.script(alias.models[0], head + [{"close": True}])
    me.mock.script(alias.models[1], head + [{"send": behaviours.data(event | {"choices": [last]})}, {"send": behaviours.data("[DONE]")}, {"end": True}])
    me.limit(f"user/{me.user}", "cost", NANO, mode="soft")
    passed(me.chat(alias, stream=True))
    assert int(decimal.Decimal(me.audit()["cost"]) * NANO) == 33 == me.line(f"user/{me.user}", "cost")["used"]


def test_a_failover_without_cost_charges_only_the_answer(me):
    read, alias = counted(me), me.alias("status:500", "cut-head", "refused/ok", "ok", price=PRICE)
    passed(me.chat(alias))
    told = me.seen(alias, 3)[0]["usage"]
    assert me.audit()["attempts"] == 4 and read() == (1, told["total_tokens"], cost_of(told))


@pytest.mark.parametrize("targets", [["refused/ok"], ["refused/ok", "refused/ok"]], ids=len)
def test_what_was_never_sent_gives_its_request_back(me, targets):
    read, alias = counted(me), me.alias(*targets, price=PRICE)
    assert me.chat(alias).status_code == 502
    assert read() == (0, 0, 0)


@pytest.mark.parametrize("behaviour", ["status:500", "status:400", "status:429", "cut-before", "garbage-json", "stall-before", "error-event-first"])
def test_what_was_sent_and_failed_counts_as_a_request_and_no_more(me, behaviour):
    name = f"hasty/{behaviour}" if behaviour == "stall-before" else behaviour
    read, alias = counted(me), me.alias(name, price=PRICE)
    assert me.chat(alias, stream=behaviour == "error-event-first").status_code >= 400
    assert read() == (1, 0, 0)


@pytest.mark.parametrize("body, status", [
    ({"model": "no-such-model", "messages": MESSAGES}, 404), ({"messages": MESSAGES}, 400), ({"model": None}, 400),
    ({"messages": MESSAGES, "max_tokens": -1, "model": "ALIAS"}, 400), ({"messages": "x", "model": "ALIAS"}, 400)], ids=str)
def test_what_is_no_request_holds_and_counts_nothing(me, body, status):
    read, alias = counted(me), me.alias("ok", price=PRICE)
    r = me.http().post("/v1/chat/completions", json=body | ({"model": alias} if body.get("model") == "ALIAS" else {}))
    assert r.status_code == status, r.text
    assert read() == (0, 0, 0)


@pytest.mark.parametrize("ending", ["cut-after-content", "error-event-late", "reset-after-content", "hasty/stall-mid"])
def test_a_stream_that_broke_is_charged_by_what_was_delivered(me, ending):
    read, alias = counted(me), me.alias(ending, price=PRICE)
    prompt = me.asked_for(alias, "soft", stream=True) - 500
    assert me.chat(alias, stream=True).status_code == 200
    row, letters = me.audit(), len("".join(behaviours.WORDS[:3]))
    assert row["outcome"] == "truncated" and row["usage_source"] == "estimated"
    assert (row["prompt_tokens"], row["completion_tokens"]) == (prompt, -(-letters // 4))
    assert read() == (1, prompt + row["completion_tokens"], prompt * 1000 + row["completion_tokens"] * 2000)


def leave_after_first_content(me, alias):
    with contextlib.closing(me.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)) as s:
        next(c for c in s if c.choices and c.choices[0].delta.content)


def test_a_stream_that_the_caller_left_is_charged_by_estimate(me):
    read, alias = counted(me), me.alias("stream:400:20", price=PRICE)
    leave_after_first_content(me, alias)
    assert me.mock.left(alias.first)["by"] == "client"
    row = me.audit()
    assert row["outcome"] == "cancelled" and row["usage_source"] == "estimated"
    assert row["prompt_tokens"] > 0 and 0 < row["completion_tokens"] < 400
    assert read() == (1, row["prompt_tokens"] + row["completion_tokens"], row["prompt_tokens"] * 1000 + row["completion_tokens"] * 2000)


def test_a_stream_that_the_caller_left_is_read_on_and_charged_exactly_under_drain(me):
    me.site.weir("settings", "on_disconnect", "drain")
    try:
        read, alias = counted(me), me.alias("stream:60:20", price=PRICE)
        leave_after_first_content(me, alias)
        row = me.audit()
        told = me.seen(alias)[0]["usage"]
        assert told and told["completion_tokens"] == 60
        assert (row["outcome"], row["usage_source"]) == ("cancelled", "provider")
        assert (row["prompt_tokens"], row["completion_tokens"]) == (told["prompt_tokens"], 60)
        assert read() == (1, told["total_tokens"], cost_of(told))
    finally:
        me.site.weir("settings", "on_disconnect", "cancel")


# ---- seen and changed from outside ----
def test_a_caller_sees_its_own_limits_and_spend(me):
    alias = me.alias("script", price=PRICE)
    me.answers(alias, 2)
    me.limit(f"user/{me.user}", "cost", NANO, "calendar")
    me.limit(f"team/{me.team}", "tokens", 5000, "window", seconds=60, mode="soft")
    me.limit(f"key/{me.key_name}", "concurrency", 4)
    me.limit("user/somebody-else", "requests", 1)
    for _ in range(2):
        passed(me.chat(alias))
    told = me.usage()
    assert told["object"] == "usage"
    assert {(x["scope"], x["metric"], x["shape"], x["mode"]) for x in told["limits"]} == {
        (f"user/{me.user}", "cost", "calendar", "hard"), (f"team/{me.team}", "tokens", "window", "soft"),
        (f"key/{me.key_name}", "concurrency", None, "hard")}
    for x in told["limits"]:
        assert {"scope", "via", "metric", "shape", "mode", "limit", "used", "held", "remaining", "resets_at"} <= set(x)
    assert me.line(f"user/{me.user}", "cost")["used"] == 2 * EACH["cost"]
    assert me.line(f"team/{me.team}", "tokens")["remaining"] == 5000 - 2 * EACH["tokens"]
    month = told["month"]
    assert (month["requests"], month["prompt_tokens"], month["completion_tokens"]) == (2, 2 * PROMPT, 2 * COMPLETION)
    assert int(decimal.Decimal(month["cost"]) * NANO) == 2 * EACH["cost"]
    assert datetime.datetime.fromisoformat(month["since"].replace("Z", "+00:00")).day == 1


def test_usage_is_for_known_callers_only(me):
    assert me.http("sk-weir-nobody-0123456789abcdef0123456789").get("/v1/usage").status_code == 401


def test_a_changed_limit_keeps_its_count_and_holds_for_the_next_request(me):
    alias, scope, http = me.alias("ok"), f"user/{me.user}", me.http()
    passed(me.chat(alias, http))
    me.limit(scope, "requests", 1)
    passed(me.chat(alias, http))  # counts from its creation
    refused(me.chat(alias, http), "insufficient_quota")
    me.limit(scope, "requests", 3)
    passed(me.chat(alias, http))
    passed(me.chat(alias, http))
    refused(me.chat(alias, http), "insufficient_quota")
    me.limit(scope, "requests", 2)
    refused(me.chat(alias, http), "insufficient_quota", "The limit of 2 requests", "3 used")
    assert me.line(scope, "requests")["remaining"] == 0
    me.limit(scope, "requests", 2, mode="observe")
    passed(me.chat(alias, http))


def test_a_limit_that_is_set_while_a_request_is_in_flight_does_not_count_it(me):
    gate, scope = me.gate(), f"user/{me.user}"
    alias = me.alias(f"gated:{gate}")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(me.chat, alias, me.http())
        me.mock.asked(alias.first)
        me.limit(scope, "tokens", 100000)
        assert me.line(scope, "tokens")["held"] == 0
        me.mock.go(gate)
        passed(call.result())
    assert me.line(scope, "tokens")["used"] == 0


def test_daily_and_monthly_quotas_stand_side_by_side(me):
    alias, scope = me.alias("ok"), f"user/{me.user}"
    me.site.apply({"limits": [{"scope": scope, "metric": "requests", "shape": "calendar", "period": p, "amount": n}
                              for p, n in (("day", 5), ("month", 2))]})
    passed(me.chat(alias))
    passed(me.chat(alias))
    message = refused(me.chat(alias), "insufficient_quota", scope)
    assert "2 requests a month" in message
    assert {(x["period"], x["used"]) for x in me.usage()["limits"]} == {("day", 2), ("month", 2)}


def test_forty_callers_at_once_get_exactly_what_a_limit_has(me):
    """No look between the asking and the taking."""
    alias, scope = me.alias("ok"), f"user/{me.user}"
    me.limit(scope, "requests", 25)
    me.limit(f"team/{me.team}", "tokens", 10 ** 6)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda http: me.chat(alias, http).status_code, [me.http() for _ in range(40)]))
    assert sorted(codes) == [200] * 25 + [429] * 15
    assert len(me.seen(alias)) == 25 == me.line(scope, "requests")["used"]


def test_a_clamped_answer_is_an_answer_to_the_sdk(me):
    """Cut short, but no error."""
    me.site.apply({"models": [{"alias": "clamped-" + me.user, "targets": [{"provider": "built-in", "model": "mock"}]}]})
    alias = "clamped-" + me.user
    needed = me.asked_for(alias)
    me.limit(f"user/{me.user}", "tokens", needed)
    got = me.sdk().chat.completions.create(model=alias, messages=MESSAGES)
    assert got.usage.completion_tokens <= FLOOR
    me.clean = False  # the built-in mock reports to nobody else


@pytest.mark.alone
def test_limits_slow_nobody_down_noticeably(me):
    """Not a benchmark: ten limits on a request must not cost what a look through a table would."""
    alias, http = me.alias("ok"), me.http()

    def best():
        begun = []
        for _ in range(30):
            t = time.monotonic()
            passed(me.chat(alias, http))
            begun.append(time.monotonic() - t)
        return min(begun)
    before = best()
    for scope in (f"user/{me.user}", f"team/{me.team}", f"role/{me.role}", f"rolegroup/{me.rolegroup}", f"key/{me.key_name}"):
        me.limit(scope, "requests", 10 ** 6)
        me.limit(scope, "tokens", 10 ** 8, "window")
    assert best() < before + 0.01 * SLOW
