"""Plain chat through lighttpd: what the SDK gets, what the upstream saw, and that neither's bytes were touched."""
import asyncio
import json

import pytest

import behaviours
from harness import MESSAGES, PROVIDER_KEY


def sent_by_mock(entry):
    """The body the mock sent for a plain request it saw."""
    return behaviours.text(behaviours.completion(behaviours.Asked(entry, 1))[0]).encode()


def test_the_sdk_gets_the_provider_s_answer_field_by_field(gw):
    alias = gw.alias("ok")
    got = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES)
    told = json.loads(sent_by_mock(gw.seen(alias)[0]))
    assert got.choices[0].message.content == "".join(behaviours.WORDS)
    assert got.choices[0].finish_reason == "stop"
    assert got.usage.prompt_tokens == told["usage"]["prompt_tokens"]
    assert got.usage.completion_tokens == len(behaviours.WORDS)
    assert got.id == told["id"] and got.model == told["model"] and got.created == told["created"]
    assert got.model_extra["x_unknown_to_all"] == told["x_unknown_to_all"]
    row = gw.audit()
    assert (row["user"], row["team"], row["role"], row["rolegroup"], row["key"]) == ("ada", "looms", "dev", "eng", "flow")
    assert (row["alias"], row["provider"], row["model"]) == (alias, "mock", alias.first)
    assert row["outcome"] == "ok" and row["stream"] is False and row["attempts"] == 1
    assert row["usage_source"] == "provider" and row["error"] is None
    assert row["prompt_tokens"] == told["usage"]["prompt_tokens"]
    assert row["completion_tokens"] == told["usage"]["completion_tokens"]
    assert row["cached_tokens"] == told["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_the_async_sdk_gets_the_same(gw):
    alias = gw.alias("ok")

    async def ask():
        async with gw.async_sdk() as client:
            return await asyncio.gather(*(client.chat.completions.create(model=alias, messages=MESSAGES) for _ in range(10)))
    for got in asyncio.run(ask()):
        assert got.choices[0].message.content == "".join(behaviours.WORDS)


def test_a_plain_answer_s_bytes_are_the_provider_s(gw):
    alias = gw.alias("ok")
    r = gw.chat(alias)
    assert r.status_code == 200
    assert r.content == sent_by_mock(gw.seen(alias)[0])
    assert r.headers["content-type"] == "application/json"


def test_a_plain_answer_dribbled_byte_by_byte_arrives_whole(gw):
    alias = gw.alias("dribble")
    assert gw.chat(alias).content == sent_by_mock(gw.seen(alias)[0])


def test_an_answer_of_5_megabytes_arrives_whole(gw):
    alias = gw.alias("long:5000000")
    r = gw.chat(alias)
    assert len(r.json()["choices"][0]["message"]["content"]) == 4999998


def test_a_prompt_of_5_megabytes_arrives_whole(gw):
    alias = gw.alias("ok")
    prompt = [{"role": "user", "content": "\u00e4 flow " * 700000}]
    assert gw.sdk().chat.completions.create(model=alias, messages=prompt).choices
    assert gw.seen(alias)[0]["json"]["messages"] == prompt


def test_the_request_s_bytes_change_only_where_the_model_is_named(gw):
    alias = gw.alias("ok")
    body = ('{ "zeta" : 1.50,\n "model":"%s" , "messages":[ {"role":"user","content":"caf\\u00e9 \u00fc \\/"} ],"temperature": 0.10,'
            '"metadata":{"model":"not this one","stream":true},"big":12345678901234567890, "x-unknown":[null, true ,{"a":{}}],'
            '"n":1,"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}],"e":1E5 }')
    r = gw.http().post("/v1/chat/completions", content=(body % alias).encode(), headers={"content-type": "application/json"})
    assert r.status_code == 200
    assert gw.seen(alias)[0]["body"].encode("latin-1").decode() == body % alias.first


def test_an_alias_with_escapes_in_the_request_is_found(gw):
    alias = gw.alias("ok")
    body = '{"model":"%s","messages":[{"role":"user","content":"x"}]}' % alias.replace("a", "\\u0061").replace("-", "\\u002d")
    r = gw.http().post("/v1/chat/completions", content=body.encode(), headers={"content-type": "application/json"})
    assert r.status_code == 200 and gw.seen(alias)[0]["json"]["model"] == alias.first


def test_the_short_path_is_the_same_endpoint(gw):
    alias = gw.alias("ok")
    assert gw.chat(alias, path="/chat/completions").status_code == 200
    assert gw.seen(alias)[0]["target"] == "/v1/chat/completions"


def test_the_answer_says_where_it_came_from(gw):
    alias = gw.alias("ok")
    r = gw.chat(alias, headers={"x-request-id": "my-own.id:1_2"})
    assert r.headers["x-request-id"] == "my-own.id:1_2"
    assert r.headers["x-weir-provider"] == "mock"
    assert r.headers["x-weir-model"] == alias.first
    assert r.headers["x-weir-attempts"] == "1"
    assert r.headers["x-weir-cache"] == "bypass"
    for name in ("x-request-id", "x-weir-provider", "content-type", "content-length"):
        assert len(r.headers.get_list(name)) <= 1, f"{name} is doubled"
    assert "set-cookie" not in r.headers


def test_a_request_without_an_id_gets_one(gw):
    alias = gw.alias("ok")
    ids = {gw.chat(alias, headers={"x-test-no-id": "1"}).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2 and all(8 <= len(i) <= 128 for i in ids)


@pytest.mark.parametrize("bad", ["has space", "quote\"", "x" * 129, "semi;colon", "<b>"])
def test_an_id_of_another_form_is_replaced(gw, bad):
    alias = gw.alias("ok")
    r = gw.chat(alias, headers={"x-request-id": bad})
    assert r.headers["x-request-id"] not in ("", bad)
    gw.sent[-1].id = r.headers["x-request-id"]


def test_the_upstream_is_sent_its_own_key_and_nothing_of_the_caller_s(gw):
    alias = gw.alias("ok", "other/ok")
    r = gw.chat(alias, headers={"cookie": "session=1", "x-forwarded-for": "10.0.0.1", "x-weir-test": "1", "openai-organization": "org-caller"})
    assert r.status_code == 200
    headers = {k.lower(): v for k, v in gw.seen(alias)[0]["headers"]}
    assert headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert headers["host"] == f"127.0.0.1:{gw.mock.port}"


def test_a_provider_s_configured_headers_are_sent_and_no_key_when_it_has_none(gw):
    alias = gw.alias("other/ok")
    assert gw.chat(alias).status_code == 200
    entry = gw.seen(alias)[0]
    headers = {k.lower(): v for k, v in entry["headers"]}
    assert entry["target"] == "/other/v1/chat/completions"
    assert headers["x-extra"] == "1" and headers["x-tenant"] == "flow tests"


def test_tool_calls_arrive_as_they_were(gw):
    alias = gw.alias("tool-deltas")
    got = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES)
    call = got.choices[0].message.tool_calls[0]
    assert got.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "K\u00f6ln"} and call.id == "call_1"


def test_an_answer_compressed_unasked_is_decoded(gw):
    alias = gw.alias("gzip")
    r = gw.chat(alias, headers={"accept-encoding": "identity"})
    assert r.status_code == 200 and "content-encoding" not in r.headers
    assert r.content == sent_by_mock(gw.seen(alias)[0])


def test_an_answer_that_ends_with_its_connection_is_whole(gw):
    alias = gw.alias("until-eof")
    assert gw.chat(alias).content == sent_by_mock(gw.seen(alias)[0])


def test_a_right_answer_under_a_wrong_content_type_reaches_the_sdk(gw):
    alias = gw.alias("wrong-content-type")
    assert gw.sdk().chat.completions.create(model=alias, messages=MESSAGES).choices[0].message.content


@pytest.mark.parametrize("behaviour", ["no-usage", "usage-null", *(f"usage-malformed:{k}" for k in
                                                                     ("text", "negative", "huge", "array", "strings", "floats"))])
def test_usage_that_is_missing_or_nonsense_breaks_nothing_and_is_not_believed(gw, behaviour):
    alias = gw.alias(behaviour)
    r = gw.chat(alias)
    assert r.status_code == 200 and r.json()["choices"]
    row = gw.audit()
    assert row["outcome"] == "ok"
    assert 0 <= row["prompt_tokens"] < 10 ** 6 and 0 <= row["completion_tokens"] < 10 ** 6
    assert row["usage_source"] == "estimated"


def test_the_connection_to_the_upstream_is_used_again(gw):
    alias = gw.alias("ok")
    http = gw.http()
    for _ in range(6):
        assert gw.chat(alias, http).status_code == 200
    assert len({e["connection"] for e in gw.seen(alias)}) < 6


def test_an_upstream_that_closes_idle_connections_costs_no_request(gw):
    """A pooled connection may be dead when it is taken: that is no failure of the request."""
    alias = gw.alias("script", "status:500")
    for i in range(4):
        body = '{"id":"1","object":"chat.completion","choices":[]}'
        gw.mock.script(alias.first, [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", str(len(body))]]},
                                     {"send": body}, {"close": True}])
        assert gw.chat(alias).status_code == 200, f"request {i}"


def test_fifty_chats_at_once_each_get_their_own_answer(gw):
    alias = gw.alias("slow:50")

    async def ask():
        async with gw.async_sdk() as client:
            async def one(i):
                got = await client.chat.completions.create(model=alias, messages=[{"role": "user", "content": "x" * (4 * i)}])
                return got.usage.prompt_tokens
            return await asyncio.gather(*(one(i) for i in range(50)))
    got = asyncio.run(ask())
    assert sorted(got) == sorted(e["usage"]["prompt_tokens"] for e in gw.seen(alias))
    assert got == sorted(got) and len(set(got)) > 40
