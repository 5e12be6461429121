"""What is charged otherwise than by the token: held at the dearest that may come of it, charged as the provider says it was,
and refused under a limit on cost where nobody knows its price."""
import json

import pytest

import behaviours
from test_limits import NANO, limits_web, me, passed, refused  # noqa: F401 (fixtures)

BASE = {"input": "1", "cached_input": "0.5", "cache_write": "1.25", "output": "2"}  # nano-dollars a token: times 1000
TIERS = BASE | {"priority_input": "2", "priority_output": "4", "flex_input": "0.5", "flex_output": "1"}
LONG = BASE | {"long_above": 1000, "long_input": "2", "long_output": "3"}
ASK = {"role": "user", "content": "hi"}


def script(me, alias, body, prompt, completion, target=0):
    me.mock.script(alias.models[target], [{"usage": {"prompt_tokens": prompt, "completion_tokens": completion}}] + behaviours.plain(json.dumps(body)))


def answer(me, alias, prompt=100, completion=10, usage=None, **more):
    used = {"prompt_tokens": prompt, "completion_tokens": completion} | (usage or {})
    script(me, alias, {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": used, "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]} | more, prompt, completion)


def message(me, alias, usage, prompt, completion):
    script(me, alias, {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
                       "content": [{"type": "text", "text": "hi"}], "usage": usage}, prompt, completion)


def cost(me):
    return round(float(me.audit()["cost"]) * NANO)


def priced_limit(me, dollars=1):
    me.limit(f"user/{me.user}", "cost", dollars * NANO)


@pytest.mark.parametrize("asked, told, nano", [
    (None, None, 100 * 1000 + 10 * 2000), (None, "default", 100 * 1000 + 10 * 2000), (None, "priority", 100 * 2000 + 10 * 4000),
    ("priority", "priority", 100 * 2000 + 10 * 4000), ("priority", "default", 100 * 1000 + 10 * 2000),
    ("priority", None, 100 * 2000 + 10 * 4000),  # nothing is told: what was asked for
    ("flex", "flex", 100 * 500 + 10 * 1000), ("flex", None, 100 * 1000 + 10 * 2000)])
def test_the_tier_that_served_it_is_charged(me, asked, told, nano):
    alias = me.alias("script", price=TIERS)
    priced_limit(me)
    answer(me, alias, **({"service_tier": told} if told else {}))
    passed(me.chat(alias, **({"service_tier": asked} if asked else {})))
    row = me.audit()
    assert cost(me) == nano and row["error"] is None
    assert me.line(f"user/{me.user}", "cost")["used"] == nano


def test_a_stream_tells_its_tier_too(me):
    alias = me.alias("script", price=TIERS)
    used = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    events = [{"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}], "service_tier": "priority"},
              {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "service_tier": "priority"}, {"choices": [], "usage": used}]
    me.mock.script(alias.first, behaviours.sse_head() + [{"send": behaviours.data(e)} for e in events] + [{"usage": used}, {"send": behaviours.data("[DONE]")}, {"end": True}])
    passed(me.chat(alias, stream=True))
    assert cost(me) == 100 * 2000 + 10 * 4000


def test_who_leaves_the_tier_to_the_provider_is_held_at_the_dearest(me):
    """So a limit that has no room for it refuses; naming the cheaper one has it pass."""
    alias = me.alias("script", price=TIERS, max_output=10)
    body = len(json.dumps([ASK]))
    me.limit(f"user/{me.user}", "cost", (body + 200) * 1000 + 10 * 2000)
    r = me.chat(alias, max_tokens=10, messages=[ASK | {"content": "x" * 300}])
    refused(r, "insufficient_quota")
    answer(me, alias, 5, 5, service_tier="default")
    passed(me.chat(alias, max_tokens=10, messages=[ASK | {"content": "x" * 80}], service_tier="default"))


@pytest.mark.parametrize("prompt, nano", [(1000, 1000 * 1000 + 10 * 2000), (1001, 1001 * 2000 + 10 * 3000)])
def test_a_long_prompt_pays_the_long_price_for_all_of_it(me, prompt, nano):
    alias = me.alias("script", price=LONG)
    priced_limit(me)
    answer(me, alias, prompt)
    passed(me.chat(alias, messages=[ASK | {"content": "x" * 1500}]))
    assert cost(me) == nano and me.audit()["error"] is None


def test_what_may_be_long_is_held_as_long(me):
    alias = me.alias("ok", price=LONG, max_output=10)
    me.limit(f"user/{me.user}", "cost", 1500 * 1000)
    r = me.chat(alias, max_tokens=10, messages=[ASK | {"content": "x" * 1100}])
    refused(r, "insufficient_quota", "asked for")
    assert not me.seen(alias)


@pytest.mark.parametrize("more, nano", [({}, 600 * 1250 + 400 * 2000), ({"cache_write_1h": "3"}, 600 * 1250 + 400 * 3000)])
def test_an_hour_in_the_provider_s_cache_has_its_own_price(me, more, nano):
    alias = me.alias("claude/script", price=BASE | more)
    priced_limit(me)
    message(me, alias, {"input_tokens": 0, "output_tokens": 10, "cache_creation_input_tokens": 1000, "cache_read_input_tokens": 0,
                        "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400}}, 1000, 10)
    mark = {"type": "text", "text": "x" * 1200, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    passed(me.ask(alias, path="/v1/messages", max_tokens=20, messages=[ASK], system=[mark]))
    assert cost(me) == nano + 10 * 2000 and me.audit()["error"] is None


def test_searches_are_charged_by_the_piece(me):
    alias = me.alias("claude/script", price=BASE | {"searches": "10"})
    tools = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
    priced_limit(me)
    message(me, alias, {"input_tokens": 100, "output_tokens": 10, "server_tool_use": {"web_search_requests": 2}}, 100, 10)
    passed(me.ask(alias, path="/v1/messages", max_tokens=20, messages=[ASK], tools=tools))
    assert cost(me) == 100 * 1000 + 10 * 2000 + 2 * NANO // 100


def test_searches_of_a_response_are_counted(me):
    alias = me.alias("responding/script", price=BASE | {"searches": "10"})
    found = {"type": "web_search_call", "id": "ws", "status": "completed"}
    script(me, alias, {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "service_tier": "default", "output": [
        found | {"action": {"type": "search", "query": "q"}}, found | {"action": {"type": "open_page", "url": "u"}},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
        "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}}, 100, 10)
    passed(me.ask(alias, path="/v1/responses", input="hi", tools=[{"type": "web_search"}]))
    assert cost(me) == 100 * 1000 + 10 * 2000 + NANO // 100


def test_sound_has_its_own_price(me):
    alias = me.alias("script", price=BASE | {"audio_input": "40", "audio_output": "80"})
    priced_limit(me, 10)
    answer(me, alias, 100, 20, {"prompt_tokens_details": {"audio_tokens": 60}, "completion_tokens_details": {"audio_tokens": 15}})
    passed(me.chat(alias, modalities=["text", "audio"], max_tokens=20, messages=[
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]))
    assert cost(me) == 40 * 1000 + 60 * 40000 + 5 * 2000 + 15 * 80000


UNKNOWN = [("/v1/chat/completions", {"service_tier": "priority"}, "service_tier"), ("/v1/chat/completions", {"web_search_options": {}}, "web_search_options"),
           ("/v1/chat/completions", {"modalities": ["text", "audio"]}, "modalities"), ("/v1/chat/completions", {"models": ["dear"]}, "models"),
           ("/v1/chat/completions", {"service_t\u0069er": "turbo"}, "service_tier")]


@pytest.mark.parametrize("mode", ["hard", "soft"])
@pytest.mark.parametrize("path, fields, name", UNKNOWN)
def test_what_has_no_price_is_refused_under_a_limit_on_cost(me, path, fields, name, mode):
    alias = me.alias("ok", price=BASE)
    me.limit(f"user/{me.user}", "cost", NANO, mode=mode)
    r = me.ask(alias, path=path, **fields)
    error = r.json()["error"]
    assert r.status_code == 403 and error["code"] == "model_price_unknown" and error["param"] == name and not me.seen(alias)
    assert me.audit()["outcome"] == "refused"


@pytest.mark.parametrize("tool", ["code_execution_20250825", "something_new"])
def test_a_tool_whose_fee_nobody_knows_is_refused_under_a_limit_on_cost(me, tool):
    alias = me.alias("claude/ok", price=BASE)
    priced_limit(me)
    r = me.ask(alias, path="/v1/messages", max_tokens=20, messages=[ASK], tools=[{"type": tool, "name": "t"}])
    assert r.status_code == 403 and "tools" in r.json()["error"]["message"] and not me.seen(alias)


def test_a_target_whose_price_says_it_all_is_taken_instead(me):
    alias = me.alias("ok", "script", price=BASE)
    me.site.apply({"models": [{"alias": alias, "price": BASE, "targets": [{"provider": "mock", "model": alias.models[0]},
                                                                          {"provider": "mock", "model": alias.models[1], "price": TIERS}]}]})
    priced_limit(me)
    script(me, alias, {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "service_tier": "priority", "usage": {"prompt_tokens": 100, "completion_tokens": 10},
                       "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}, 100, 10, target=1)
    passed(me.chat(alias, service_tier="priority"))
    assert not me.seen(alias) and cost(me) == 100 * 2000 + 10 * 4000


def test_without_a_limit_on_cost_it_passes_and_the_row_says_what_is_missing(me):
    alias = me.alias("script", price=BASE)
    answer(me, alias, service_tier="priority")
    passed(me.chat(alias, service_tier="priority"))
    assert me.audit()["error"] == "price_incomplete" and cost(me) == 100 * 1000 + 10 * 2000


def test_reasoning_that_is_only_in_the_total_is_charged(me):
    """Gemini's and xAI's completion_tokens leave it out."""
    alias = me.alias("script", price=BASE)
    answer(me, alias, 100, 90, {"completion_tokens": 10, "total_tokens": 190, "completion_tokens_details": {"reasoning_tokens": 80}})
    passed(me.chat(alias))
    row = me.audit()
    assert (row["prompt_tokens"], row["completion_tokens"]) == (100, 90) and cost(me) == 100 * 1000 + 90 * 2000


def test_a_budget_that_leaves_nothing_beside_the_thoughts_refuses_instead_of_asking(me):
    """Anthropic refuses a max_tokens that is no larger than what is to be thought."""
    alias = me.alias("claude/ok")
    asked = {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 2000}, "messages": [ASK]}
    me.limit(f"user/{me.user}", "tokens", 1900)
    refused_as_anthropic(me.ask(alias, path="/v1/messages", **asked))
    assert not me.seen(alias)
    me.limit(f"user/{me.user}", "tokens", 2500)
    passed(me.ask(alias, path="/v1/messages", **asked))
    sent = me.seen(alias)[0]["json"]
    assert 2000 < sent["max_tokens"] < 2500 and sent["thinking"] == asked["thinking"]


def refused_as_anthropic(r):
    assert r.status_code == 429 and r.json()["error"]["type"] == "rate_limit_error" and "asked for" in r.json()["error"]["message"], r.text
    assert r.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_maximum_of_nothing_is_refused_at_the_door(me, field):
    alias = me.alias("claude/ok")
    r = me.chat(alias, **{field: 0})
    assert r.status_code == 400 and r.json()["error"]["param"] == field and not me.seen(alias)


def test_a_completion_of_nothing_is_not_asked_of_who_refuses_it(me):
    alias = me.alias("claude/ok")
    r = me.ask(alias, path="/v1/completions", prompt="hi", max_tokens=0)
    assert r.status_code == 400 and r.json()["error"]["param"] == "max_tokens" and not me.seen(alias)


def test_a_stored_conversation_is_held_as_a_whole_window(me):
    alias = me.alias("responding/ok", context_window=300000)
    assert 300000 < me.asked_for(alias, path="/v1/responses", input="hi", previous_response_id="resp_1") < 310000
    assert me.asked_for(alias, path="/v1/responses", input="hi") < 5000


def test_a_file_that_may_be_text_is_held_by_its_bytes(me):
    alias = me.alias("ok")

    def held(data):
        return me.asked_for(alias, messages=[{"role": "user", "content": [{"type": "file", "file": {"filename": "f", "file_data": data}}]}])
    assert held("data:text/plain;base64," + "QUJD" * 30000) > 120000
    assert held("data:application/pdf;base64," + "QUJD" * 30000) < 60000
