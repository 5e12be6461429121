"""The failure matrix: every way an upstream can fail, at every place in the chain, plain and streamed. What is checked each
time: the answer, the attempts header, the audit row, the ticket that is settled, and what the breakers remember."""
import pytest

import behaviours
import harness
from conftest import SECRET
from harness import PROVIDER_KEY, events, text_of

WHOLE = "".join(behaviours.WORDS)
HELD = "".join(behaviours.WORDS[:3])

# What the health table says afterwards of the target and its key.
BAD, LIMITED, REFUSED, FINE = "a failure", "the key rests", "the key is disabled", "nothing bad"

# name: provider, behaviour, the status told when nothing else is left, what is remembered, for plain / stream / both
MOVES_ON = {
    "connection refused": ("refused", "ok", 502, BAD, "both"),
    "reset": ("mock", "reset-before", 502, BAD, "both"),
    "closed without an answer": ("mock", "cut-before", 502, BAD, "both"),
    "TLS failure": ("tls", "ok", 502, BAD, "both"),
    "silent": ("hasty", "stall-before", 504, BAD, "both"),
    "slow": ("hasty", "slow:2000", 504, BAD, "both"),
    "401": ("mock", "status:401", 502, REFUSED, "both"),
    "403": ("mock", "status:403", 502, REFUSED, "both"),
    "404": ("mock", "status:404", 404, BAD, "both"),
    "408": ("mock", "status:408", 408, BAD, "both"),
    "429": ("mock", "status:429", 429, BAD, "both"),
    "429 with retry-after": ("mock", "status:429:7", 429, LIMITED, "both"),
    "500": ("mock", "status:500", 500, BAD, "both"),
    "503": ("mock", "status:503", 503, BAD, "both"),
    "529": ("mock", "status:529", 529, BAD, "both"),
    "error event first": ("mock", "error-event-first", 502, BAD, "stream"),
    "dead before content": ("mock", "cut-role", 502, BAD, "stream"),
    "dead inside the body": ("mock", "cut-head", 502, BAD, "plain"),
    "garbage JSON": ("mock", "garbage-json", 502, BAD, "both"),
    "wrong content type": ("mock", "html-200", 502, BAD, "both"),
    "endless body": ("mock", "endless-body", 502, BAD, "plain"),
    "endless stream without content": ("mock", "endless-roles", 502, BAD, "stream"),
}
# The request itself is at fault: nobody else is asked.
FINAL = {"400": ("status:400", 400), "413": ("status:413", 413), "422": ("status:422", 422)}
# Content has gone out: what follows is an error event, and no breaker counts it.
TOO_LATE = {"dead after content": "cut-after-content", "reset after content": "reset-after-content",
            "clean truncation": "no-finish", "error event late": "error-event-late"}


@pytest.fixture(scope="module")
def chained(make_site, mock):
    """A site of its own, with two keys for each provider of which the second one is good."""
    site = make_site()
    keys = [{"name": "first", "secret": PROVIDER_KEY, "priority": 1}, {"name": "second", "secret": PROVIDER_KEY + "-good", "priority": 2}]
    here = f"http://127.0.0.1:{mock.port}/v1"
    site.apply({"providers": [
        {"name": "keyed", "dialect": "openai", "base_url": here, "keys": keys},
        {"name": "keyed-hasty", "dialect": "openai", "base_url": here, "keys": keys,
         "timeouts": {"connect_ms": 300, "first_byte_ms": 300, "idle_ms": 400, "total_ms": 1200}}]})
    w = harness.Web(site)
    yield w.start()
    w.stop()


@pytest.fixture
def me(chained, mock):
    g = harness.Gateway(chained, mock, "flow", SECRET)
    g.more_keys = True
    g.overloads = g.usage_checked = False
    yield g
    g.check()
    assert g.site.books() == 0


def ask(me, alias, stream):
    """Status, text, error: an event's too."""
    r = me.chat(alias, stream=stream)
    if not r.headers["content-type"].startswith("text/event-stream"):
        body = r.json()
        return r, body["choices"][0]["message"]["content"] if r.status_code == 200 else "", body.get("error")
    told = events(r.content)
    return r, text_of(told), next((e["error"] for e in told if "error" in e), None)


def remembered(me, alias, key):
    """What the health table says of the alias's first target and of the key that was tried first."""
    rows = {(kind, name): row for kind, name, *row in
            me.site.query("SELECT kind, name, failures, cool_until > 0, disabled FROM health WHERE provider = ?", alias.providers[0])}
    target, used = rows.get((1, alias.first), [0, 0, None]), rows.get((2, key), [0, 0, None])
    return REFUSED if used[2] else LIMITED if used[1] or target[1] else BAD if target[0] or used[0] else FINE


def remembers(me, alias, memory, key="k1"):
    """The health of what failed is written behind the answer."""
    return harness.until(f"{alias.first} to be remembered: {memory}", lambda: remembered(me, alias, key) == memory)


def cases(table):
    return [(name, stream) for name, (*_, how) in table.items() for stream in (False, True)
            if how in ("both", "stream" if stream else "plain")]


@pytest.mark.parametrize("name, stream", cases(MOVES_ON))
def test_a_failure_before_content(me, name, stream):
    provider, behaviour, status, memory, _ = MOVES_ON[name]
    # nothing else is left: the failure is told
    alone = me.alias(f"{provider}/{behaviour}")
    r, text, error = ask(me, alone, stream)
    row = me.audit()
    assert r.status_code == status and text == "" and error["message"], r.text
    assert r.headers["x-weir-attempts"] == "1" and r.headers["x-weir-cache"] == "bypass"
    assert row["outcome"] == "failed" and row["attempts"] == 1 and row["status"] == status and row["error"]
    assert remembers(me, alone, memory)
    assert me.site.open_tickets() == 0
    me.site.forget_health()

    # the alias's next target, and the fallback alias's only one
    good = me.alias("other/ok")
    for alias, answered in ((me.alias(f"{provider}/{behaviour}", "other/ok"), 1), (me.alias(f"{provider}/{behaviour}", fallback=good), 0)):
        r, text, error = ask(me, alias, stream)
        row = me.audit()
        assert (r.status_code, text, error) == (200, WHOLE, None), r.text
        assert r.headers["x-weir-attempts"] == "2" and r.headers["x-weir-provider"] == "other"
        assert row["outcome"] == "ok" and row["attempts"] == 2 and row["provider"] == "other"
        assert row["model"] == (alias.models[1] if answered else good.first) and row["alias"] == alias
        assert remembers(me, alias, memory)
        assert me.site.open_tickets() == 0
        me.site.forget_health()

    # the provider's next key
    if provider in ("mock", "hasty"):
        keyed = "keyed" if provider == "mock" else "keyed-hasty"
        alias = me.alias(f"{keyed}/by-key:{behaviour}", "other/ok")
        r, text, error = ask(me, alias, stream)
        row = me.audit()
        assert (r.status_code, text, error) == (200, WHOLE, None), r.text
        assert r.headers["x-weir-attempts"] == "2" and row["attempts"] == 2 and row["outcome"] == "ok"
        assert row["provider"] == keyed
        assert me.site.open_tickets() == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", FINAL)
def test_a_request_at_fault(me, name, stream):
    behaviour, status = FINAL[name]
    alias = me.alias(behaviour, "other/ok", fallback=me.alias("other/ok"))
    r, text, error = ask(me, alias, stream)
    row = me.audit()
    assert r.status_code == status and error["message"] and r.headers["x-weir-attempts"] == "1"
    assert row["attempts"] == 1 and row["status"] == status and row["outcome"] == "failed"
    assert remembered(me, alias, "k1") == FINE and me.site.open_tickets() == 0


@pytest.mark.parametrize("name", TOO_LATE)
def test_a_failure_after_content(me, name):
    alias = me.alias(TOO_LATE[name], "other/ok", fallback=me.alias("other/ok"))
    r, text, error = ask(me, alias, True)
    row = me.audit()
    assert r.status_code == 200 and text == HELD and error["message"] and "[DONE]" not in r.text
    assert r.headers["x-weir-attempts"] == "1" and row["attempts"] == 1 and row["outcome"] == "truncated"
    assert row["completion_tokens"] > 0 and row["usage_source"] == "estimated"
    assert remembered(me, alias, "k1") == FINE and me.site.open_tickets() == 0
