"""Streamed chat: every event as the provider sent it, when it sent it, and an honest end."""
import asyncio
import time

import openai
import pytest

import behaviours
from harness import MESSAGES, events, text_of

WHOLE = "".join(behaviours.WORDS)
DONE = b"data: [DONE]\n\n"


def create(client, alias, **fields):
    return client.chat.completions.create(model=alias, messages=MESSAGES, stream=True, **fields)


def content(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def raw(gw, alias, **fields):
    """(headers, body bytes) of a streamed answer."""
    r = gw.chat(alias, stream=True, **fields)
    assert r.status_code == 200, r.text
    return r.headers, r.content


def test_the_sdk_gets_every_event_in_order(gw):
    alias = gw.alias("ok")
    got = list(create(gw.sdk(), alias))
    assert content(got) == WHOLE
    assert got[-1].choices[0].finish_reason == "stop"
    assert all(c.choices for c in got), "a chunk without choices that was not asked for"
    row = gw.audit()
    assert row["outcome"] == "ok" and row["stream"] is True and row["usage_source"] == "provider"
    assert row["completion_tokens"] == len(behaviours.WORDS)
    assert row["first_byte_ms"] <= row["latency_ms"]


def test_the_async_sdk_gets_every_event_of_many_streams_at_once(gw):
    alias = gw.alias("stream:20:10")

    async def one(client):
        return content([c async for c in await client.chat.completions.create(model=alias, messages=MESSAGES, stream=True)])

    async def ask():
        async with gw.async_sdk() as client:
            return await asyncio.gather(*(one(client) for _ in range(20)))
    assert asyncio.run(ask()) == ["".join(f"w{i} " for i in range(20))] * 20


def test_usage_is_asked_of_the_upstream_and_given_only_to_who_asked(gw):
    alias = gw.alias("ok")
    assert all(c.usage is None for c in create(gw.sdk(), alias))
    assert gw.seen(alias)[0]["json"]["stream_options"] == {"include_usage": True}
    with_usage = list(create(gw.sdk(), alias, stream_options={"include_usage": True}))
    assert with_usage[-1].choices == [] and with_usage[-1].usage.completion_tokens == len(behaviours.WORDS)
    no = list(create(gw.sdk(), alias, stream_options={"include_usage": False, "include_obfuscation": False}))
    assert all(c.choices for c in no)
    assert gw.seen(alias)[2]["json"]["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_null_stream_options_are_taken_for_none(gw):
    alias = gw.alias("ok")
    _, body = raw(gw, alias, stream_options=None)
    assert body.endswith(DONE) and gw.seen(alias)[0]["json"]["stream_options"] == {"include_usage": True}


def test_stream_false_is_plain_and_gets_no_stream_options(gw):
    alias = gw.alias("ok")
    assert gw.chat(alias, stream=False).json()["object"] == "chat.completion"
    assert "stream_options" not in gw.seen(alias)[0]["json"]


def test_a_stream_s_bytes_are_the_provider_s_but_for_the_usage_chunk(gw):
    alias = gw.alias("ok")
    headers, body = raw(gw, alias)
    steps = behaviours.stream(behaviours.Asked(gw.seen(alias)[0], 1))
    told = [s["send"] for s in steps if "send" in s]
    usage = [t for t in told if '"choices" : []' in t]
    assert len(usage) == 1
    assert body.decode() == "".join(t for t in told if t not in usage)
    assert headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in headers.get("cache-control", "no-cache")
    _, body = raw(gw, alias, stream_options={"include_usage": True})
    assert body.decode() == "".join(told)


def test_the_request_of_a_stream_changes_only_in_model_and_usage_option(gw):
    alias = gw.alias("ok")
    body = '{"stream" : true, "model":"%s","messages":[{"role":"user","content":"\\u00fc"}] , "stream_options":{"x":1.0}, "z":0}'
    gw.http().post("/v1/chat/completions", content=(body % alias).encode(), headers={"content-type": "application/json"})
    seen = gw.seen(alias)[0]
    assert seen["json"]["stream_options"] == {"x": 1.0, "include_usage": True}
    start, _, rest = (body % alias.first).partition("{\"x\":1.0")
    assert seen["body"].startswith(start) and seen["body"].endswith(', "z":0}')


@pytest.mark.parametrize("behaviour", ["dribble", "split-random:1", "split-random:2", "split-random:3", "crlf", "no-space-data",
                                       "comments", "event-ids", "two-data-lines", "until-eof", "no-done", "last-line-open",
                                       "after-done", "cut-after-finish", "gzip", "wrong-content-type", "reasoning",
                                       "empty-first-event", "byte-order-mark"])
def test_however_it_is_framed_the_stream_arrives_whole(gw, behaviour):
    alias = gw.alias(behaviour)
    got = list(create(gw.sdk(), alias))
    assert content(got) == WHOLE
    assert got[-1].choices[0].finish_reason == "stop"
    assert gw.audit()["outcome"] == "ok"


@pytest.mark.parametrize("behaviour", ["no-done", "last-line-open", "cut-after-finish", "until-eof", "crlf", "ok"])
def test_a_whole_stream_ends_with_done_and_a_blank_line(gw, behaviour):
    _, body = raw(gw, gw.alias(behaviour))
    assert body.replace(b"\r\n", b"\n").endswith(DONE) and body.count(b"[DONE]") == 1


@pytest.mark.alone
def test_a_connection_held_open_after_done_is_not_waited_for(gw):
    begun = time.monotonic()
    _, body = raw(gw, gw.alias("after-done"))
    assert body.endswith(DONE) and time.monotonic() - begun < 1


def test_characters_torn_apart_by_the_upstream_arrive_whole(gw):
    alias = gw.alias("split-utf8")
    _, body = raw(gw, alias)
    assert text_of(events(body)) == "\u00e4\u20ac\U0001f30a\u6f22end"


def test_a_line_of_200_kilobytes_passes(gw):
    alias = gw.alias("huge-line:200000")
    assert content(create(gw.sdk(), alias)) == "Hello" + "x" * 200000 + "."


def test_an_event_with_empty_data_does_not_break_the_stream(gw):
    alias = gw.alias("empty-data")
    assert content(create(gw.sdk(), alias)) == WHOLE


def test_tool_deltas_arrive_one_by_one(gw):
    alias = gw.alias("tool-deltas")
    calls = [c.choices[0].delta.tool_calls[0] for c in create(gw.sdk(), alias) if c.choices[0].delta.tool_calls]
    assert calls[0].function.name == "weather" and calls[0].id == "call_1"
    assert [c.function.arguments for c in calls] == ["", *behaviours.TOOL_ARGUMENTS]
    assert gw.audit()["outcome"] == "ok"


def test_the_sdk_s_own_stream_helper_accepts_the_stream(gw):
    alias = gw.alias("tool-deltas")
    with gw.sdk().chat.completions.stream(model=alias, messages=MESSAGES) as s:
        final = s.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == "".join(behaviours.TOOL_ARGUMENTS)


def test_two_choices_end_when_both_have_ended(gw):
    got = list(create(gw.sdk(), gw.alias("two-choices"), n=2))
    assert "".join(c.choices[0].delta.content or "" for c in got if c.choices[0].index == 1) == "BC"
    assert gw.audit()["outcome"] == "ok"


def test_usage_on_the_event_that_finishes_is_kept_and_counted(gw):
    got = list(create(gw.sdk(), gw.alias("usage-in-finish")))
    assert got[-1].choices[0].finish_reason == "stop" and got[-1].usage.completion_tokens == len(behaviours.WORDS)
    assert gw.audit()["completion_tokens"] == len(behaviours.WORDS)


def test_running_usage_totals_are_not_added_up(gw):
    assert content(create(gw.sdk(), gw.alias("usage-everywhere"))) == WHOLE
    assert gw.audit()["completion_tokens"] == len(behaviours.WORDS)


def test_groq_s_usage_is_understood(gw):
    assert content(create(gw.sdk(), gw.alias("groq-usage"))) == WHOLE
    row = gw.audit()
    assert row["usage_source"] == "provider" and row["completion_tokens"] == len(behaviours.WORDS)


def test_a_stream_without_usage_is_estimated(gw):
    assert content(create(gw.sdk(), gw.alias("no-usage"))) == WHOLE
    assert gw.audit()["usage_source"] == "estimated"


@pytest.mark.parametrize("kind", ["text", "negative", "huge", "array", "strings", "floats"])
def test_nonsense_as_usage_breaks_no_stream(gw, kind):
    assert content(create(gw.sdk(), gw.alias(f"usage-malformed:{kind}"))) == WHOLE
    row = gw.audit()
    assert row["outcome"] == "ok" and 0 <= row["completion_tokens"] < 10 ** 6


@pytest.mark.alone
def test_the_first_event_is_flushed_at_once(gw):
    gate = gw.gate()
    alias = gw.alias(f"gated:{gate}")
    with create(gw.sdk(), alias) as s:
        first = next(c for c in s if c.choices and c.choices[0].delta.content)
        arrived = time.monotonic()
        assert first.choices[0].delta.content == behaviours.WORDS[0]
        assert arrived - gw.seen(alias)[0]["sent"][-1] < 0.2, "the first content event was held back"
        gw.mock.go(gate)
        assert content(s) == "".join(behaviours.WORDS[1:])


def test_each_event_is_flushed_when_it_comes(gw):
    gate = gw.gate()
    alias = gw.alias(f"gated-each:{gate}")
    gw.mock.go(f"{gate}1")
    with create(gw.sdk(), alias) as s:
        got = []
        for c in s:
            if c.choices and c.choices[0].delta.content:
                got.append(c.choices[0].delta.content)
                gw.mock.go(f"{gate}{len(got) + 1}")
        assert got == behaviours.WORDS


def test_silence_after_the_first_byte_is_filled_with_comments(gw):
    gw.site.weir("settings", "keepalive_s", "1")
    try:
        gate = gw.gate()
        alias = gw.alias(f"gated:{gate}")
        body = b""
        with gw.http().stream("POST", "/v1/chat/completions", json={"model": alias, "messages": MESSAGES, "stream": True}) as r:
            for part in r.iter_raw():
                body += part
                if body.count(b": keep-alive\n\n") == 2:
                    gw.mock.go(gate)
        assert body.count(b": keep-alive\n\n") >= 2 and body.endswith(DONE)
        assert text_of(events(body)) == WHOLE
    finally:
        gw.site.weir("settings", "keepalive_s", "15")


def ends_in_error(gw, alias, code="upstream_error"):
    """The stream began, and says itself that it did not end well: an error event last, no [DONE]."""
    _, body = raw(gw, alias)
    assert b"[DONE]" not in body and body.endswith(b"\n\n")
    *before, last = events(body)
    assert set(last) == {"error"} and set(last["error"]) == {"message", "type", "param", "code"}
    assert last["error"]["message"] and last["error"]["type"]
    if code:
        assert last["error"]["code"] == code
    assert before and all("error" not in e for e in before)
    return before, last["error"]


CUT = ["cut-after-content", "reset-after-content", "cut-inside-event", "no-finish", "done-without-finish"]


@pytest.mark.parametrize("behaviour", CUT)
def test_a_stream_cut_after_content_is_said_to_be_cut(gw, behaviour):
    alias = gw.alias(behaviour, "ok")
    before, _ = ends_in_error(gw, alias)
    assert text_of(before) == "".join(behaviours.WORDS[:3])
    row = gw.audit()
    assert row["outcome"] == "truncated" and row["status"] == 200 and row["attempts"] == 1 and row["error"]
    assert not gw.seen(alias, 1), "failover after content"


@pytest.mark.parametrize("behaviour", CUT)
def test_the_sdk_raises_for_a_stream_cut_after_content(gw, behaviour):
    got = []
    with pytest.raises(openai.APIError) as e:
        for c in create(gw.sdk(), gw.alias(behaviour)):
            got.append(c)
    assert content(got) == "".join(behaviours.WORDS[:3])
    assert e.value.code == "upstream_error" and not isinstance(e.value, openai.APIConnectionError)


def test_a_tool_call_begun_counts_as_content(gw):
    alias = gw.alias("tool-first-then-cut", "ok")
    ends_in_error(gw, alias)
    assert gw.audit()["outcome"] == "truncated" and not gw.seen(alias, 1)


@pytest.mark.parametrize("behaviour", ["error-event-late", "error-event-late-done"])
def test_the_provider_s_own_late_error_event_ends_the_stream(gw, behaviour):
    alias = gw.alias(behaviour, "ok")
    _, error = ends_in_error(gw, alias, code=None)
    assert gw.audit()["outcome"] == "truncated" and not gw.seen(alias, 1)


def test_silence_longer_than_the_idle_time_out_ends_in_an_error_event(gw):
    alias = gw.alias("hasty/stall-mid")
    _, error = ends_in_error(gw, alias, code=None)
    assert error["code"] == "upstream_timeout"
    assert gw.audit()["outcome"] == "truncated"
    assert gw.mock.left(alias.first)["by"] == "client"


@pytest.mark.alone
def test_a_stream_longer_than_the_total_time_out_ends_in_an_error_event(gw):
    alias = gw.alias("hasty/drip:50")
    begun = time.monotonic()
    ends_in_error(gw, alias, code=None)
    assert 1 < time.monotonic() - begun < 3
    assert gw.audit()["outcome"] == "truncated"


def test_an_endless_line_is_an_error_and_not_a_growing_process(gw):
    before = gw.web.rss()
    alias = gw.alias("endless-line")
    ends_in_error(gw, alias)
    assert gw.mock.left(alias.first)["by"] == "client"
    assert gw.web.rss() - before < 40000
    assert gw.audit()["outcome"] == "truncated"


def test_the_role_alone_is_not_content_and_is_not_sent_before_it(gw):
    """A stream that only began with a role can still fail over: so nothing of it may have reached the client."""
    alias = gw.alias("hasty/stall-role", "ok")
    got = list(create(gw.sdk(), alias))
    assert content(got) == WHOLE and sum(1 for c in got if c.choices[0].delta.role) == 1


def test_a_hundred_streams_at_once_all_end_well(gw):
    alias = gw.alias("stream:10:20")

    async def one(client):
        return content([c async for c in await client.chat.completions.create(model=alias, messages=MESSAGES, stream=True)])

    async def ask():
        async with gw.async_sdk() as client:
            return await asyncio.gather(*(one(client) for _ in range(100)))
    assert set(asyncio.run(ask())) == {"".join(f"w{i} " for i in range(10))}
    assert len(gw.rows(alias, 100)) == 100
