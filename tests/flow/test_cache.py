"""Answers from the cache: the same question is answered from memory, in the form asked for, to whom it belongs; and what is
on its way is waited for."""
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import threading
import time

import openai
import pytest

import behaviours
from harness import MESSAGES, PROVIDER_KEY, Web, until

WHOLE = "".join(behaviours.WORDS)


def cache_of(gw, which=-1):
    """x-weir-cache of a sent request, which the audit row says too."""
    said = gw.sent[which].headers["x-weir-cache"]
    assert gw.audit(which)["cache"] == said
    return said


def chat(client, alias, stream=False, messages=None, **kw):
    """The text of a chat, and its whole answer (of a stream: the helper's)."""
    if not stream:
        got = client.chat.completions.create(model=alias, messages=messages or MESSAGES, **kw)
        return got.choices[0].message.content, got
    with client.chat.completions.stream(model=alias, messages=messages or MESSAGES, **kw) as s:
        got = s.get_final_completion()
    return got.choices[0].message.content, got


def completions(client, alias, stream=False, **kw):
    got = client.completions.create(model=alias, prompt="What does a weir do?", stream=stream, **kw)
    if not stream:
        return got.choices[0].text, got
    parts = list(got)
    return "".join(c.choices[0].text for c in parts if c.choices), parts[-1]


def responses(client, alias, stream=False, **kw):
    if not stream:
        got = client.responses.create(model=alias, input="What does a weir do?", **kw)
        return got.output_text, got
    with client.responses.stream(model=alias, input="What does a weir do?", **kw) as s:
        got = s.get_final_response()
    return got.output_text, got


def messages(client, alias, stream=False, **kw):
    if not stream:
        got = client.messages.create(model=alias, messages=MESSAGES, max_tokens=100, **kw)
    else:
        with client.messages.stream(model=alias, messages=MESSAGES, max_tokens=100, **kw) as s:
            got = s.get_final_message()
    return "".join(b.text for b in got.content if b.type == "text"), got


ENDPOINTS = {"chat": (chat, "mock"), "completions": (completions, "mock"), "responses": (responses, "responding"), "messages": (messages, "claude"),
             "chat of claude": (chat, "claude"), "messages of chat": (messages, "mock"), "responses of chat": (responses, "mock"),
             "responses of claude": (responses, "claude")}


def usage_of(got):
    u = got.usage
    return (getattr(u, "input_tokens", None) or u.prompt_tokens, getattr(u, "output_tokens", None) or u.completion_tokens)


@pytest.mark.parametrize("first", [False, True], ids=["plain first", "stream first"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_answer_serves_both_forms(gw, endpoint, first):
    ask, provider = ENDPOINTS[endpoint]
    client = gw.claude() if ask is messages else gw.sdk()
    alias = gw.aliased([(provider, "ok")], cache_ttl=60)
    made, whole = ask(client, alias, stream=first)
    assert made == WHOLE and cache_of(gw) == "miss"
    for form in (first, not first, first):
        text, got = ask(client, alias, stream=form)
        assert text == WHOLE and cache_of(gw) == "hit" and got.id == whole.id
        assert int(gw.sent[-1].headers["age"]) >= 0
        if not (form and ask in (completions,)) and not (form and ask is chat):
            assert usage_of(got)[1] == len(behaviours.WORDS)
    assert len(gw.seen(alias)) == 1


def test_the_usage_chunk_comes_to_who_asked_for_it(gw):
    alias = gw.alias("ok", cache_ttl=60)
    for wanted in (False, True, False):
        parts = list(gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True, stream_options={"include_usage": wanted}))
        assert bool(parts[-1].usage) == wanted and all(p.choices for p in parts[:-1])
    assert len(gw.seen(alias)) == 1


def test_the_same_form_comes_back_byte_by_byte(gw):
    for stream in (False, True):
        alias = gw.alias("ok", cache_ttl=60)
        one, two = (gw.chat(alias, stream=stream).content for _ in range(2))
        assert one == two and cache_of(gw) == "hit"


def test_answers_of_any_length_come_back_byte_by_byte(gw):
    """Up to 4 KB whoever has written the row sends them, and what is held back of an answer is as long as that."""
    http = gw.http()
    for length in (*range(3300, 4400, 60), 9000, 70000):
        alias = gw.alias(f"long:{length}", cache_ttl=60)
        for stream in (False, True):
            one, two = (gw.chat(alias, http, stream=stream).content for _ in range(2))
            assert one == two and len(one) > length and cache_of(gw) == "hit"


def test_a_long_prompt_is_found_again(gw):
    alias = gw.alias("ok", cache_ttl=60)
    for words in (100, 1000, 30000):
        prompt = [{"role": "user", "content": "A \"weir\"\n " * words}]
        for expected in ("miss", "hit"):
            assert chat(gw.sdk(), alias, messages=prompt)[0] == WHOLE and cache_of(gw) == expected


def test_embeddings_are_kept_in_the_encoding_asked_for(gw):
    alias = gw.alias("ok", cache_ttl=60)
    client = gw.sdk()
    one, two = (client.embeddings.create(model=alias, input="weir").data[0].embedding for _ in range(2))
    floats = client.embeddings.create(model=alias, input="weir", encoding_format="float").data[0].embedding
    assert one == two == pytest.approx(floats) and len(gw.seen(alias)) == 2


def test_calls_of_tools_are_kept_where_the_alias_says_so(gw):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    for keeps in (False, True):
        alias = gw.alias("tools", cache_ttl=60, cache_tool_calls=keeps)
        for form in (False, True, False):
            _, got = chat(gw.sdk(), alias, stream=form, tools=tools)
            assert [json.loads(c.function.arguments)["city"] for c in got.choices[0].message.tool_calls] == ["Lyon", "K\u00f6ln"]
        assert len(gw.seen(alias)) == (1 if keeps else 3)


@pytest.mark.parametrize("behaviour", ["status:500", "error-event-first", "cut-after-content", "no-finish", "garbage-json", "error-event-late"])
def test_what_went_wrong_is_not_kept(gw, behaviour):
    alias = gw.alias(behaviour, cache_ttl=60)
    for _ in range(2):
        gw.chat(alias, stream=True)
        gw.chat(alias)
    assert len(gw.seen(alias)) >= 3


@pytest.mark.parametrize("behaviour", ["max-tokens", "refusal"])
def test_what_was_cut_or_refused_is_not_kept(gw, behaviour):
    alias = gw.aliased([("claude", behaviour)], cache_ttl=60)
    for form in (False, True, False):
        messages(gw.claude(), alias, stream=form)
    assert len(gw.seen(alias)) == 3


def test_headers_of_the_request_are_followed(gw):
    alias = gw.alias("ok", cache_ttl=60)
    http = gw.http()

    def ask(**headers):
        gw.chat(alias, http, headers={k.replace("_", "-"): v for k, v in headers.items()})
        return cache_of(gw)
    assert ask(cache_control="no-store") == "bypass" and ask() == "miss" and ask() == "hit"
    assert ask(cache_control="no-cache") == "miss" and ask(cache_control="private, max-age=0") == "miss"
    assert ask(cache_control="max-age=30") == "hit" and ask(x_weir_cache="bypass") == "bypass"
    assert ask(x_weir_cache_ttl="0") == "bypass" and ask(x_weir_cache_ttl="30") == "hit"
    assert len(gw.seen(alias)) == 6
    other = gw.alias("ok")
    assert (gw.chat(other), gw.chat(other)) and cache_of(gw) == "bypass"


def test_tenants_never_see_each_other_s_answers(gw):
    secrets = {name: gw.site.create_key(f"{name}-{gw.gate()}", *words) for name, words in
               {"ada": ("--user", "ada", "--team", "looms"), "bob": ("--user", "bob", "--team", "looms"), "eve": ("--user", "eve", "--team", "spies"),
                "ada2": ("--user", "ada"), "ada3": ("--user", "ada"), "nobody": ()}.items()}

    def hits(alias, *names):
        return [(gw.chat(alias, gw.http(secrets[n])), cache_of(gw))[1] for n in names]
    gw.usage_checked = False
    assert hits(gw.alias("ok", cache_ttl=60), "ada", "bob", "eve", "ada2", "ada3", "nobody") == ["miss", "hit", "miss", "miss", "hit", "miss"]
    assert hits(gw.alias("ok", cache_ttl=60, cache_scope="user"), "ada", "bob", "ada2", "eve") == ["miss", "miss", "hit", "miss"]
    assert hits(gw.alias("ok", cache_ttl=60, cache_scope="key"), "ada", "ada2", "ada3", "ada") == ["miss", "miss", "miss", "hit"]
    assert hits(gw.alias("ok", cache_ttl=60, cache_scope="global"), "ada", "eve", "nobody") == ["miss", "hit", "hit"]


def test_another_order_is_the_same_question_and_another_word_is_not(gw):
    alias, http = gw.alias("ok", cache_ttl=60), gw.http(headers={"content-type": "application/json"})
    one = {"model": alias, "messages": MESSAGES, "temperature": 0.5, "seed": 7}

    def ask(body):
        http.post("/v1/chat/completions", content=body)
        return cache_of(gw)
    assert ask(json.dumps(one)) == "miss"
    assert ask(json.dumps(dict(reversed(one.items())), indent=3)) == "hit"
    assert ask(json.dumps(one).replace("weir", "w\\u0065ir")) == "hit"
    for more in ({"temperature": 0.6}, {"seed": 8}, {"user": "x"}, {"stop": ["."]}, {"messages": MESSAGES * 2}, {"metadata": {"a": "b"}}):
        assert ask(json.dumps(one | more)) == "miss"


def test_hits_count_as_requests_and_nothing_else(gw):
    name = f"counted-{gw.gate()}"
    secret = gw.site.create_key(name)
    alias = gw.alias("ok", cache_ttl=60, price={"input": "1", "output": "2"})
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "requests", "--shape", "total", "--amount", "3")
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "tokens", "--shape", "total", "--amount", "9000")
    http = gw.http(secret)
    assert [gw.chat(alias, http).status_code for _ in range(4)] == [200, 200, 200, 429]
    used = {m["metric"]: m["used"] for m in json.loads(gw.site.weir("limit", "list", f"key/{name}", "--json").stdout)}
    assert used["requests"] == 3 and used["tokens"] == gw.audit(-4)["prompt_tokens"] + len(behaviours.WORDS)
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "requests", "--shape", "total", "--amount", "9")
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "tokens", "--shape", "total", "--amount", "10")
    assert gw.chat(alias, http).status_code == 200 and cache_of(gw) == "hit"  # no limit on tokens keeps a hit away
    assert gw.site.books() == 0


def test_content_of_hits_is_kept_too(gw):
    alias = gw.alias("ok", cache_ttl=60)
    gw.site.apply({"settings": {"audit_content": "all"}})
    try:
        for stream in (False, False, True):
            gw.chat(alias, stream=stream)
        assert cache_of(gw) == "hit"
        kept = json.loads(gw.site.weir("audit", "--content", gw.sent[-1].id).stdout)
        assert kept["answer"][0]["text"] == WHOLE
    finally:
        gw.site.apply({"settings": {"audit_content": "none"}})


def test_another_target_behind_the_alias_is_asked_anew(gw):
    alias = gw.alias("ok", cache_ttl=60)
    gw.chat(alias)
    gw.aliased([("mock", "stream:3")], name=str(alias), cache_ttl=60)
    gw.usage_checked = False
    gw.chat(alias, stream=True)
    assert cache_of(gw) == "miss"


def test_whoever_answers_is_asked_anew_when_the_configuration_says_so(gw):
    """And only then: prices, times, weights and keys do not change what is answered."""
    gw.usage_checked = False
    own = {"name": "moving", "dialect": "openai", "base_url": f"http://127.0.0.1:{gw.mock.port}/v1", "keys": [{"name": "k1", "secret": PROVIDER_KEY}]}
    gw.site.apply({"providers": [own]})
    alias, other = gw.aliased([("moving", "ok")], cache_ttl=60), gw.alias("ok")
    model = {"alias": alias, "targets": [{"provider": "moving", "model": alias.first}], "cache_ttl": 60}

    def ask():
        assert gw.chat(alias).status_code == 200
        return cache_of(gw)
    assert (ask(), ask()) == ("miss", "hit")
    targets = [*model["targets"], {"provider": "mock", "model": other.first}]
    for document, more in (("providers", {"base_url": f"http://localhost:{gw.mock.port}/v1"}), ("providers", {"headers": {"x-new": "1"}}),
                           ("providers", {"dialect": "groq"}), ("models", {"fallback": other}), ("models", {"system": "Be brief."}),
                           ("models", {"defaults": {"temperature": 0.5}}), ("models", {"targets": targets}), ("models", {"strategy": "weighted"})):
        changed = own if document == "providers" else model
        changed |= more
        gw.site.apply({document: [changed]})
        assert (ask(), ask()) == ("miss", "hit"), more
    gw.aliased([("mock", "stream:3")], name=str(other))
    assert (ask(), ask()) == ("miss", "hit")  # the fallback's own target
    for document, more in (("models", {"price": {"input": "1", "output": "2"}}), ("models", {"targets": [t | {"weight": 3} for t in targets]}),
                           ("providers", {"timeouts": {"total_ms": 9000}}), ("models", {"stale_for": 5}),
                           ("providers", {"keys": [{"name": "k2", "secret": PROVIDER_KEY}]})):
        changed = own if document == "providers" else model
        changed |= more
        gw.site.apply({document: [changed]})
        assert ask() == "hit", more


@pytest.mark.parametrize("priced", ["alias", "target", "nobody"])
def test_rows_of_what_cost_nothing_say_so(gw, priced):
    """Hit, hit refused, joined, follower refused, stale: nothing used, and a cost of 0, also where the model has no price."""
    gw.usage_checked = False
    name, gate = f"idle-{gw.gate()}", gw.gate()
    secret = gw.site.create_key(name, "--team", "looms")
    price = {"price": {"input": "1", "output": "2"}}
    alias = gw.alias(f"gated:{gate}", cache_ttl=60, stale_for=60, **(price if priced == "alias" else {}))
    if priced == "target":
        gw.site.apply({"models": [{"alias": alias, "targets": [{"provider": "mock", "model": alias.first} | price], "cache_ttl": 60, "stale_for": 60}]})
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "requests", "--shape", "total", "--amount", "1")
    one, two = gw.http(), gw.http(secret)
    threads = [threading.Thread(target=gw.chat, args=(alias, h)) for h in (one, two)]
    threads[0].start()
    gw.mock.asked(alias.first)
    threads[1].start()
    until("a follower", lambda: any(f.endswith(".followed") for f in os.listdir(gw.site.data + "/flight")), 20)
    until("it to be in flight", lambda: gw.site.open_tickets() == 2)
    assert gw.chat(alias, two).status_code == 429  # would be a follower too
    gw.mock.go(gate)
    for t in threads:
        t.join()
    assert gw.chat(alias, two).status_code == 429 and gw.chat(alias, one, stream=True).status_code == 200
    with contextlib.closing(sqlite3.connect(gw.site.data + "/cache.db", timeout=10)) as db, db:
        db.execute("update entry set expires = created, created = created - 5000")
    gw.mock.script(alias.first, [{"status": 503, "headers": [["content-length", "0"]]}, {"end": True}])
    assert gw.chat(alias, one).status_code == 200
    rows = sorted(gw.rows(alias, 6, 20), key=lambda r: (r["cache"], r["status"], r["stream"]))
    assert [(r["cache"], r["status"], r["outcome"]) for r in rows] == [("hit", 200, "ok"), ("hit", 429, "refused"), ("joined", 200, "ok"),
                                                                      ("joined", 429, "refused"), ("miss", 200, "ok"), ("stale", 200, "ok")]
    for r in rows:
        if r["cache"] == "miss":
            assert r["prompt_tokens"] and (r["cost"] is None) == (priced == "nobody")
            continue
        assert (r["cost"], r["prompt_tokens"], r["cached_tokens"], r["cache_write_tokens"], r["completion_tokens"], r["usage_source"]) == \
            ("0.00", 0, 0, 0, 0, "none"), r
        assert r["attempts"] == (r["cache"] == "stale") and bool(r["error"]) == (r["status"] != 200 or r["cache"] == "stale"), r
        assert (r["provider"], r["model"]) == (("mock", alias.first) if r["status"] == 200 or r["cache"] == "hit" else (None, None)), r
    assert gw.site.books() == 0


# ---- stale ----
@pytest.mark.parametrize("form", [False, True])
def test_an_expired_answer_stands_in_where_everything_fails(gw, form):
    alias = gw.aliased([("mock", "flaky:0:500")], cache_ttl=1, stale_for=60)
    gw.usage_checked = False
    assert gw.chat(alias).status_code == 200
    gw.site.apply({"models": [{"alias": alias, "targets": [{"provider": "mock", "model": alias.first}], "cache_ttl": 1, "stale_for": 60}]})
    db = sqlite3.connect(gw.site.data + "/cache.db", timeout=10)
    with db:
        db.execute("update entry set expires = created, created = created - 5000")
    db.close()
    gw.mock.script(alias.first, [{"status": 503, "headers": [["content-length", "0"]]}])
    got, _ = chat(gw.sdk(), alias, stream=form)
    assert got == WHOLE and cache_of(gw) == "stale" and int(gw.sent[-1].headers["age"]) >= 5
    assert gw.audit()["attempts"] == 1 and gw.audit()["outcome"] == "ok" and gw.audit()["error"]


# ---- together ----
CROWD = 500


async def crowd(gw, clients, alias, n):
    async def one(i):
        client = clients[i % len(clients)]
        got = await client.chat.completions.create(model=alias, messages=MESSAGES, stream=bool(i // 2 % 2))
        if i // 2 % 2 == 0:
            return got.choices[0].message.content
        return "".join([c.choices[0].delta.content or "" async for c in got if c.choices])
    return await asyncio.gather(*(one(i) for i in range(n)), return_exceptions=True)


@pytest.fixture(scope="module")
def second(site):
    w = Web(site)
    yield w.start()
    w.stop()


def clients_of(gw, second):
    one, two = gw.async_sdk(), gw.async_sdk()
    two.base_url = second.url + "/v1"
    return [one, two]


def test_a_crowd_that_asks_the_same_is_served_by_one_call(gw, second):
    n, gate = CROWD, gw.gate()
    alias = gw.alias(f"gated:{gate}", cache_ttl=60, price={"input": "1", "output": "2"})
    gw.site.weir("limit", "set", f"model/{alias}", "--metric", "concurrency", "--amount", str(n))  # so that who waits has a ticket

    def open_gate():
        until("the first of them at the provider", lambda: gw.mock.seen(alias.first), 20)
        until("a quarter of them to wait", lambda: gw.site.open_tickets() > n // 4, 20)
        gw.mock.go(gate)
    thread = threading.Thread(target=open_gate)
    thread.start()
    got = asyncio.run(crowd(gw, clients_of(gw, second), alias, n))
    thread.join()
    assert [g for g in got if g != WHOLE] == []
    rows = gw.rows(alias, n, 20)
    assert len(gw.seen(alias)) == 1 and len(rows) == n
    assert sum(r["cost"] != "0.00" for r in rows) == 1 and sum(r["cache"] == "miss" for r in rows) == 1
    assert sum(r["cache"] == "joined" for r in rows) > n // 4
    assert gw.site.books() == 0


def test_a_leader_whose_client_leaves_goes_on_for_the_others(gw, second):
    gate, alias = gw.gate(), gw.alias("script", cache_ttl=60)
    first, *rest = [{"send": behaviours.data({"choices": [{"index": 0, "delta": {"content": f"w{i} "}, "finish_reason": "stop" if i == 59 else None}]})}
                    for i in range(60)]
    gw.mock.script(alias.first, [*behaviours.sse_head(), first, {"gate": gate}, *(step for word in rest for step in ({"sleep": 0.02}, word)),
                                 {"send": behaviours.data("[DONE]")}, {"end": True}])
    leader = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)
    next(iter(leader))
    earliest = []
    follower = threading.Thread(target=lambda: earliest.append(chat(gw.sdk(), alias)[0]))
    follower.start()
    until("a follower", lambda: any(f.endswith(".followed") for f in os.listdir(gw.site.data + "/flight")))
    leader.close()
    gw.mock.go(gate)
    got = asyncio.run(crowd(gw, clients_of(gw, second), alias, CROWD))
    follower.join()
    assert earliest + got == ["".join(f"w{i} " for i in range(60))] * (CROWD + 1) and len(gw.seen(alias)) == 1
    rows = gw.rows(alias, CROWD + 2, 20)
    assert sum(r["cache"] in ("joined", "hit") for r in rows) == CROWD + 1 and [r["outcome"] for r in rows if r["cache"] == "miss"] == ["cancelled"]


def test_a_leader_that_fails_is_followed_by_another(gw, second):
    alias = gw.alias("flaky:1:500", cache_ttl=60)
    got = asyncio.run(crowd(gw, clients_of(gw, second), alias, CROWD))
    failed = [g for g in got if g != WHOLE]
    assert len(failed) == 1 and isinstance(failed[0], openai.InternalServerError)
    assert len(gw.seen(alias)) == 2
    assert sum(r["outcome"] == "ok" and r["completion_tokens"] > 0 for r in gw.rows(alias, CROWD, 20)) == 1
    gw.usage_checked = False


def test_a_provider_that_fails_three_of_them_is_asked_by_nobody_else(gw, second):
    """Who has waited for three that failed is told so: all the others at once would not help it."""
    gw.usage_checked = False
    alias, gates, n = gw.alias("ok", cache_ttl=60), [gw.gate() for _ in range(3)], 20
    for gate in gates:
        gw.mock.script(alias.first, [{"gate": gate}, {"status": 503, "headers": [["content-length", "0"], ["retry-after", "7"]]}, {"end": True}])

    def fail():
        until("all to be in flight", lambda: gw.site.open_tickets() == n, 10)
        for i, gate in enumerate(gates, 1):
            gw.mock.asked(alias.first, i)
            gw.mock.go(gate)
    thread = threading.Thread(target=fail)
    thread.start()
    got = asyncio.run(crowd(gw, clients_of(gw, second), alias, n))
    thread.join()
    assert [type(g) for g in got] == [openai.InternalServerError] * n and {g.status_code for g in got} == {503}
    assert len(gw.seen(alias)) == 3 and {g.response.headers["retry-after"] for g in got} == {"7"}
    rows = gw.rows(alias, n, 20)
    assert sorted((r["cache"], r["attempts"], r["outcome"]) for r in rows) == [("joined", 0, "failed")] * (n - 3) + [("miss", 1, "failed")] * 3
    assert sum("failed 3 times" in str(g) for g in got) == n - 3
    assert {r["cost"] for r in rows if r["cache"] == "joined"} == {"0.00"} and gw.site.books() == 0
    assert gw.chat(alias).status_code == 200 and cache_of(gw) == "miss"


def test_a_leader_that_is_killed_is_followed_by_another(make_site, make_gw):
    site = make_site()
    gw, other = make_gw(site), make_gw(site)
    gate = gw.gate()
    alias = gw.alias(f"gated:{gate}", cache_ttl=60)
    gone = threading.Thread(target=lambda: pytest.raises(openai.APIError, gw.sdk().chat.completions.create, model=alias, messages=MESSAGES))
    gone.start()
    gw.mock.asked(alias.first)

    def kill():
        until("a follower", lambda: any(f.endswith(".followed") for f in os.listdir(site.data + "/flight")), 20)
        for pid in gw.web.responders():
            os.kill(pid, signal.SIGKILL)
        gw.mock.asked(alias.first, 2)
        gw.mock.go(gate)
    thread = threading.Thread(target=kill)
    thread.start()
    got = asyncio.run(crowd(other, [other.async_sdk()], alias, CROWD))
    thread.join()
    gone.join()
    assert got == [WHOLE] * CROWD and len(gw.seen(alias)) == 2
    until("the orphan to be swept", lambda: site.open_tickets() == 0, 20)
    assert site.books() == 0
    gw.skip()
    gw.usage_checked = other.usage_checked = False
    other.rows_before = gw.rows_before = site.mark()
    other.sent.clear()


def test_a_follower_is_refused_by_a_limit_on_requests_before_it_is_told_anything(gw):
    name, gate = f"few-{gw.gate()}", gw.gate()
    secret = gw.site.create_key(name, "--team", "looms")
    alias = gw.alias(f"gated:{gate}", cache_ttl=60)
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "requests", "--shape", "total", "--amount", "1")
    gw.chat(gw.alias("ok"), gw.http(secret))
    leader = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)
    next(iter(leader))
    for stream in (True, False):
        if not stream:
            gw.mock.go(gate)
        with pytest.raises(openai.RateLimitError):
            gw.sdk(secret).chat.completions.create(model=alias, messages=MESSAGES, stream=stream)
    assert "".join(c.choices[0].delta.content or "" for c in leader) == WHOLE


@pytest.mark.parametrize("stream", [False, True])
def test_who_waits_is_in_flight_like_any_other(gw, stream):
    """Otherwise whoever asks the same a thousand times holds every thread, whatever his limit on requests in flight."""
    name, gate = f"patient-{gw.gate()}", gw.gate()
    secret = gw.site.create_key(name, "--team", "looms")
    other = gw.site.create_key(f"first-{gw.gate()}", "--team", "looms")
    alias = gw.alias(f"gated:{gate}", cache_ttl=60)
    for metric, amount in (("concurrency", "1"), ("requests", "5")):
        gw.site.weir("limit", "set", f"key/{name}", "--metric", metric, "--amount", amount, *(() if metric == "concurrency" else ("--shape", "total")))

    def line(metric):
        return next(m for m in json.loads(gw.site.weir("limit", "list", f"key/{name}", "--json").stdout) if m["metric"] == metric)
    got = []
    threads = [threading.Thread(target=lambda s=s, f=f: got.append(chat(gw.sdk(s), alias, stream=f)[0])) for s, f in ((other, False), (secret, stream))]
    threads[0].start()
    gw.mock.asked(alias.first)
    threads[1].start()
    until("a follower", lambda: any(f.endswith(".followed") for f in os.listdir(gw.site.data + "/flight")), 20)
    until("it to be in flight", lambda: line("concurrency")["used"] == 1 or line("concurrency")["remaining"] == 0)
    for form in (False, True):
        with pytest.raises(openai.RateLimitError):
            gw.sdk(secret).chat.completions.create(model=alias, messages=MESSAGES, stream=form)
    gw.mock.go(gate)
    for t in threads:
        t.join()
    assert got == [WHOLE] * 2 and line("requests")["used"] == 1
    gw.usage_checked = False


def test_who_leaves_a_joined_stream_has_made_a_request(gw):
    """Or all but the last word of every answer that is under way would be free of the limit on requests."""
    name, gate = f"nibbler-{gw.gate()}", gw.gate()
    secret = gw.site.create_key(name)
    alias = gw.alias(f"gated:{gate}", cache_ttl=60, cache_scope="global")
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "requests", "--shape", "total", "--amount", "1")
    leader = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)
    next(iter(leader))
    nibbler = gw.sdk(secret).chat.completions.create(model=alias, messages=MESSAGES, stream=True)
    next(iter(nibbler))
    nibbler.close()
    gw.mock.go(gate)
    assert len("".join(c.choices[0].delta.content or "" for c in leader)) > 0
    row = next(r for r in gw.rows(alias, 2, 20) if r["key"] == name)
    assert (row["cache"], row["outcome"]) in (("joined", "cancelled"), ("joined", "ok"))
    assert json.loads(gw.site.weir("limit", "list", f"key/{name}", "--json").stdout)[0]["used"] == 1 and gw.site.books() == 0
    gw.usage_checked = False


def test_who_waited_in_vain_is_counted_once(gw):
    name, gate = f"vain-{gw.gate()}", gw.gate()
    secret = gw.site.create_key(name)
    alias = gw.alias("ok", cache_ttl=60, cache_scope="global")
    gw.mock.script(alias.first, [{"gate": gate}, {"status": 400, "headers": [["content-length", "0"]]}, {"end": True}])
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "requests", "--shape", "total", "--amount", "1")
    first = threading.Thread(target=lambda: pytest.raises(openai.BadRequestError, gw.sdk().chat.completions.create, model=alias, messages=MESSAGES))
    first.start()
    gw.mock.asked(alias.first)
    got = []
    waits = threading.Thread(target=lambda: got.append(chat(gw.sdk(secret), alias)[0]))
    waits.start()
    until("a follower", lambda: any(f.endswith(".followed") for f in os.listdir(gw.site.data + "/flight")), 20)
    gw.mock.go(gate)
    first.join()
    waits.join()
    assert got == [WHOLE] and len(gw.seen(alias)) == 2
    gw.usage_checked = False


def test_what_a_budget_cuts_short_is_nobody_else_s(gw):
    """The leader's budget leaves 20 tokens; who follows has asked for a whole answer, and gets one."""
    name, gate = f"poor-{gw.gate()}", gw.gate()
    poor = gw.site.create_key(name, "--team", "looms")
    rich = gw.site.create_key(f"rich-{gw.gate()}", "--team", "looms")
    alias = gw.alias(f"gated:{gate}", cache_ttl=60)
    gw.site.weir("limit", "set", f"key/{name}", "--metric", "tokens", "--shape", "total", "--amount", "100")
    got = []
    threads = [threading.Thread(target=lambda s=s: got.append(chat(gw.sdk(s), alias, max_tokens=1000)[0])) for s in (poor, rich)]
    threads[0].start()
    gw.mock.asked(alias.first)
    threads[1].start()
    seen = gw.mock.asked(alias.first, 2)
    gw.mock.go(gate)
    for t in threads:
        t.join()
    assert [s["json"]["max_tokens"] for s in seen][1] == 1000 > seen[0]["json"]["max_tokens"] and len(got) == 2
    gw.usage_checked = False


def test_the_cache_may_be_deleted_while_it_is_used(gw):
    alias = gw.alias("ok", cache_ttl=60)
    assert (gw.chat(alias), gw.chat(alias)) and cache_of(gw) == "hit"
    for f in ("cache.db", "cache.db-wal", "cache.db-shm"):
        if os.path.exists(f"{gw.site.data}/{f}"):
            os.unlink(f"{gw.site.data}/{f}")
    until("the cache to be made anew", lambda: (gw.chat(alias).status_code, gw.chat(alias).status_code, cache_of(gw))[2] == "hit" and
          os.path.exists(f"{gw.site.data}/cache.db"))


def scribble(path, at, what=b"no database at all" * 4000):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(what)


def version(path, n):
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as db, db:
        db.execute(f"pragma user_version = {n}")


def replace_by_directory(path):
    os.unlink(path)
    os.mkdir(path)


DAMAGES = {"its head": lambda p: scribble(p, 0), "its pages": lambda p: scribble(p, 4096), "its log": lambda p: scribble(p + "-wal", 32),
           "cut to nothing": lambda p: os.truncate(p, 0), "cut in two": lambda p: os.truncate(p, os.path.getsize(p) // 2), "its log gone": lambda p: os.unlink(p + "-wal"),
           "a newer version": lambda p: version(p, 99), "an older version": lambda p: version(p, 1), "no file": replace_by_directory}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_nobody_s_trouble_and_heals(gw, second, damage):
    """Two processes use it while it happens. Every request is answered; soon there are hits again, in both."""
    alias, path = gw.alias("ok", cache_ttl=60), gw.site.data + "/cache.db"
    clients = [gw.http(), gw.transport(base_url=second.url, headers={"authorization": f"Bearer {gw.secret}"})]

    def ask(client):
        assert gw.chat(alias, client).status_code == 200
        return cache_of(gw)
    # What an earlier test has deleted is noticed within a second.
    until("a file that serves both", lambda: (gw.chat(alias, seed=len(gw.sent)), [ask(c) for c in clients])[1] == ["hit", "hit"] and
          os.path.exists(path + "-wal"))
    DAMAGES[damage](path)
    for _ in range(3):
        for client in clients:
            gw.chat(alias, client, seed=len(gw.sent))  # what comes is to be kept as well
            ask(client)
    if os.path.isdir(path):
        os.rmdir(path)
    until("hits in both", lambda: [ask(c) for c in clients] == ["hit", "hit"] and gw.site.weir("cache", "stats", check=False).returncode == 0, 15)
    assert sum(s.status != 200 for s in gw.sent) == 0


def entries(gw):
    """In the file of that name; 0 also where there is none, or not yet a table."""
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(
            sqlite3.connect(f"file:{gw.site.data}/cache.db?mode=ro", uri=True, timeout=10)) as db:
        return db.execute("select count(*) from entry").fetchone()[0]
    return 0


def uses_its_file(gw, alias):
    """What an earlier test has deleted or damaged is noticed within a second."""
    def keeps_one():
        before = entries(gw)
        gw.chat(alias, seed=len(gw.sent))
        return entries(gw) > before
    until("answers to be kept in the file", keeps_one)


@pytest.mark.parametrize("form", [15, -1, 9])
def test_an_entry_that_nobody_can_have_written_is_none(gw, form):
    alias = gw.alias("ok", cache_ttl=60)
    uses_its_file(gw, alias)
    gw.chat(alias)
    db = sqlite3.connect(gw.site.data + "/cache.db", timeout=10)
    with db:
        db.execute("update entry set form = ?", (form,))
    db.close()
    assert gw.chat(alias, stream=True).status_code == 200 and cache_of(gw) == "miss"
    until("the answer to be kept", lambda: (gw.chat(alias).status_code, cache_of(gw)) == (200, "hit"))


def test_the_command_line_tells_of_the_cache_and_clears_it(gw):
    alias = gw.alias("ok", cache_ttl=60)
    uses_its_file(gw, alias)
    assert (gw.chat(alias), gw.chat(alias)) and cache_of(gw) == "hit"
    stats = json.loads(gw.site.weir("cache", "stats", "--json").stdout)
    assert stats["entries"] >= 1 and 0 < stats["bytes"] <= stats["file_bytes"] + 9_000_000 and stats["oldest"]
    gw.site.weir("cache", "clear")
    assert json.loads(gw.site.weir("cache", "stats", "--json").stdout) == {"entries": 0, "bytes": 0, "file_bytes": 0, "hits": 0, "oldest": None}
    until("the gateway to see it", lambda: (gw.chat(alias), cache_of(gw))[1] == "miss")
