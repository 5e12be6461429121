"""Every face in against every wire out, by the official SDKs: text, tools, images, structured output, errors, and the usage
of each to the token."""
import json

import anthropic
import openai
import pytest

import behaviours
from harness import MESSAGES, PROVIDER_KEY

WHOLE = "".join(behaviours.WORDS)
FACES = ["chat", "completions", "responses", "messages"]
WIRES = ["mock", "claude", "responding", "groq", "gemini", "ollama", "azure"]
ASK = "What does a weir do?"


class Said:
    """What an SDK made of an answer, in one form."""

    def __init__(self, text, stop, prompt, completion, cached=None):
        self.text, self.stop, self.prompt, self.completion, self.cached = text, stop, prompt, completion, cached


def chat(gw, alias, stream):
    if not stream:
        got = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES)
        u = got.usage
        return Said(got.choices[0].message.content, got.choices[0].finish_reason, u.prompt_tokens, u.completion_tokens,
                    u.prompt_tokens_details and u.prompt_tokens_details.cached_tokens)
    with gw.sdk().chat.completions.stream(model=alias, messages=MESSAGES, stream_options={"include_usage": True}) as s:
        got = s.get_final_completion()
    return Said(got.choices[0].message.content, got.choices[0].finish_reason, got.usage.prompt_tokens, got.usage.completion_tokens)


def completions(gw, alias, stream):
    if not stream:
        got = gw.sdk().completions.create(model=alias, prompt=ASK)
        return Said(got.choices[0].text, got.choices[0].finish_reason, got.usage.prompt_tokens, got.usage.completion_tokens)
    parts = list(gw.sdk().completions.create(model=alias, prompt=ASK, stream=True, stream_options={"include_usage": True}))
    choices = [p.choices[0] for p in parts if p.choices]
    used = [p.usage for p in parts if p.usage][-1]
    return Said("".join(c.text for c in choices), [c.finish_reason for c in choices if c.finish_reason][-1], used.prompt_tokens,
                used.completion_tokens)


def responses(gw, alias, stream):
    if stream:
        with gw.sdk().responses.stream(model=alias, input=ASK) as s:
            for _ in s:
                pass
            got = s.get_final_response()
    else:
        got = gw.sdk().responses.create(model=alias, input=ASK)
    assert got.object == "response" and got.status == "completed"
    return Said(got.output_text, "stop", got.usage.input_tokens, got.usage.output_tokens)


def messages(gw, alias, stream):
    asked = {"model": alias, "max_tokens": 100, "messages": MESSAGES}
    if stream:
        with gw.claude().messages.stream(**asked) as s:
            got = s.get_final_message()
    else:
        got = gw.claude().messages.create(**asked)
    u = got.usage
    prompt = u.input_tokens + (u.cache_read_input_tokens or 0) + (u.cache_creation_input_tokens or 0)
    stop = {"end_turn": "stop"}.get(got.stop_reason, got.stop_reason)
    return Said("".join(b.text for b in got.content), stop, prompt, u.output_tokens)


SPEAK = {"chat": chat, "completions": completions, "responses": responses, "messages": messages}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("face", FACES)
def test_each_face_is_answered_over_each_wire_and_counted_to_the_token(gw, face, wire, stream):
    alias = gw.alias(f"{wire}/ok")
    said = SPEAK[face](gw, alias, stream)
    assert said.text == WHOLE and said.stop == "stop"
    row, told = gw.audit(), gw.seen(alias)[0]["usage"]
    assert (said.prompt, said.completion) == (row["prompt_tokens"], row["completion_tokens"])
    assert (row["prompt_tokens"], row["completion_tokens"]) == (told["prompt_tokens"], told["completion_tokens"])
    assert row["usage_source"] == "provider" and row["outcome"] == "ok" and row["provider"] == wire and row["stream"] == stream


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("face", FACES)
def test_each_face_is_answered_by_the_built_in_mock(gw, face, stream):
    gw.site.apply({"models": [{"alias": "mock-of-faces", "targets": [{"provider": "built-in", "model": "mock"}]}]})
    said = SPEAK[face](gw, "mock-of-faces", stream)
    assert "What does a weir do?" in said.text and said.completion == gw.audit()["completion_tokens"] > 0


# ---- tools ----
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
HEARD = [["sunny", "Lyon"], ["rain", "K\u00f6ln"]]


def chat_round(gw, alias, stream):
    tools = [{"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": SCHEMA}}]
    said = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    sdk = gw.sdk()

    def ask():
        if not stream:
            return sdk.chat.completions.create(model=alias, messages=said, tools=tools).choices[0]
        with sdk.chat.completions.stream(model=alias, messages=said, tools=tools) as s:
            return s.get_final_completion().choices[0]
    first = ask()
    assert first.finish_reason == "tool_calls"
    calls = first.message.tool_calls
    said.append({"role": "assistant", "content": first.message.content, "tool_calls": [
        {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}} for c in calls]})
    said += [{"role": "tool", "tool_call_id": c.id, "content": w} for c, (w, _) in zip(calls, HEARD, strict=True)]
    return [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls], ask().message.content


def responses_round(gw, alias, stream):
    tools = [{"type": "function", "name": "weather", "description": "Weather.", "parameters": SCHEMA, "strict": False}]
    said = [{"role": "user", "content": ASK}]
    sdk = gw.sdk()

    def ask():
        asked = {"model": alias, "input": said, "tools": tools, "instructions": "Be brief."}
        if not stream:
            return sdk.responses.create(**asked)
        with sdk.responses.stream(**asked) as s:
            for _ in s:
                pass
            return s.get_final_response()
    calls = [o for o in ask().output if o.type == "function_call"]
    said += [{"type": "function_call", "call_id": c.call_id, "name": c.name, "arguments": c.arguments} for c in calls]
    said += [{"type": "function_call_output", "call_id": c.call_id, "output": w} for c, (w, _) in zip(calls, HEARD, strict=True)]
    return [(c.call_id, c.name, json.loads(c.arguments)) for c in calls], ask().output_text


def messages_round(gw, alias, stream):
    tools = [{"name": "weather", "description": "Weather.", "input_schema": SCHEMA}]
    said = list(MESSAGES)
    sdk = gw.claude()

    def ask():
        asked = {"model": alias, "max_tokens": 200, "messages": said, "tools": tools, "system": "Be brief."}
        if not stream:
            return sdk.messages.create(**asked)
        with sdk.messages.stream(**asked) as s:
            return s.get_final_message()
    first = ask()
    assert first.stop_reason == "tool_use"
    calls = [b for b in first.content if b.type == "tool_use"]
    said.append({"role": "assistant", "content": [b.model_dump(include={"type", "text", "id", "name", "input"}, exclude_none=True) for b in first.content]})
    said.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": c.id, "content": w}
                                             for c, (w, _) in zip(calls, HEARD, strict=True)]})
    return [(c.id, c.name, c.input) for c in calls], ask().content[0].text


ROUNDS = {"chat": chat_round, "responses": responses_round, "messages": messages_round}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", ["mock", "claude"])
@pytest.mark.parametrize("face", ROUNDS)
def test_two_calls_at_once_go_out_and_their_results_come_back(gw, face, wire, stream):
    alias = gw.alias(f"{wire}/tools")
    calls, last = ROUNDS[face](gw, alias, stream)
    assert [(name, given) for _, name, given in calls] == [("weather", {"city": c}) for _, c in HEARD]
    assert len({ident for ident, _, _ in calls}) == 2
    heard = json.loads(last.removeprefix("Heard: "))
    results = [[i, w if isinstance(w, str) else w[0]["text"]] for i, w in heard]
    assert results == [[ident, w] for (ident, _, _), (w, _) in zip(calls, HEARD, strict=True)], "the results went to the wrong calls"
    first = gw.seen(alias)[0]["json"]
    described = first["tools"][0] if wire == "claude" else first["tools"][0]["function"]
    assert described["name"] == "weather" and described.get("input_schema", described.get("parameters")) == SCHEMA
    assert "Be brief." in json.dumps(first["system"] if wire == "claude" else first["messages"][0])


def test_gemini_s_calls_have_index_id_and_the_reason_they_ended_for(gw):
    alias = gw.alias("gemini/gemini-tools")
    parts = list(gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True))
    calls = [c for p in parts for choice in p.choices for c in choice.delta.tool_calls or []]
    assert [c.index for c in calls] == [0, 1] and calls[1].id == "call_1" and calls[0].id and calls[0].id != "call_1"
    assert [p.choices[0].finish_reason for p in parts if p.choices][-1] == "tool_calls"
    signatures = [c.model_extra["extra_content"]["google"]["thought_signature"] for c in calls]
    assert signatures == ["sig0", "sig1"], "what Gemini wants back was lost"


@pytest.mark.parametrize("face", ["responses", "messages"])
def test_gemini_s_calls_are_translated_whole(gw, face):
    alias = gw.alias("gemini/gemini-tools")
    if face == "messages":
        with gw.claude().messages.stream(model=alias, max_tokens=9, messages=MESSAGES) as s:
            got = s.get_final_message()
        calls = [b.input for b in got.content if b.type == "tool_use"]
        assert got.stop_reason == "tool_use"
    else:
        with gw.sdk().responses.stream(model=alias, input=ASK) as s:
            for _ in s:
                pass
            calls = [json.loads(o.arguments) for o in s.get_final_response().output if o.type == "function_call"]
    assert calls == [{"city": c} for _, c in HEARD]


# ---- other quirks ----
def test_azure_s_filter_events_harm_no_client(gw):
    alias = gw.alias("azure/azure-filter")
    parts = list(gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True))
    assert "".join(p.choices[0].delta.content or "" for p in parts) == WHOLE  # raises where a choice or a delta is missing
    assert {p.id for p in parts} == {"chatcmpl-1"} and all(p.object == "chat.completion.chunk" for p in parts)
    seen = gw.seen(alias)[0]
    assert seen["target"].startswith(f"/azure/openai/deployments/{alias.first.split('#')[0]}%23") and "?api-version=2024-10-21" in seen["target"]


def test_groq_s_usage_is_told_where_clients_look(gw):
    alias = gw.alias("groq/groq-usage")
    with gw.sdk().chat.completions.stream(model=alias, messages=MESSAGES, stream_options={"include_usage": True}) as s:
        assert s.get_final_completion().usage.completion_tokens == gw.audit()["completion_tokens"] > 0


@pytest.mark.parametrize("provider, given, field", [
    ("groq", {"logprobs": True}, "logprobs"), ("groq", {"logit_bias": {"5": 1}}, "logit_bias"), ("groq", {"n": 2}, "n"),
    ("groq", {"messages": [{"role": "user", "content": "x", "name": "bob"}]}, "messages[0].name"), ("ollama", {"n": 2}, "n"),
    ("ollama", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}]}]},
     "messages[0].content[0]"),
    ("claude", {"seed": 5}, "seed"), ("claude", {"n": 2}, "n"), ("claude", {"frequency_penalty": 1}, "frequency_penalty"),
])
def test_what_a_target_refuses_is_a_400_that_names_it_and_others_are_asked(gw, provider, given, field):
    alone, both = gw.alias(f"{provider}/ok"), gw.alias(f"{provider}/ok", "ok")
    with pytest.raises(openai.BadRequestError) as e:
        gw.sdk().chat.completions.create(**{"model": alone, "messages": MESSAGES} | given)
    assert e.value.param == field and e.value.type == "invalid_request_error"
    assert not gw.seen(alone) and gw.audit()["attempts"] == 0
    assert gw.sdk().chat.completions.create(**{"model": both, "messages": MESSAGES} | given).choices
    assert not gw.seen(both, 0) and gw.audit()["provider"] == "mock"


def test_neutral_values_are_no_refusal(gw):
    alias = gw.alias("groq/ok")
    neutral = {"n": 1, "logprobs": False, "logit_bias": {}, "top_logprobs": None, "temperature": 0}
    assert gw.chat(alias, **neutral).status_code == 200
    assert set(gw.seen(alias)[0]["json"]) == {"model", "messages", "temperature"}


# ---- what goes out to Anthropic ----
def test_anthropic_s_own_requests_go_out_as_they_came(gw):
    alias = gw.alias("claude/ok")
    body = '{ "model" : "%s", "max_tokens": 7,"messages":[{"role":"user","content":"\\u00e4"}] ,"odd":[1.50]}' % alias
    r = gw.http(headers={"anthropic-beta": "tools-2026-01-01", "anthropic-version": "2023-06-01", "content-type": "application/json"}).post(
        "/v1/messages", content=body)
    assert r.status_code == 200 and r.json()["content"][0]["text"] == WHOLE
    seen = gw.seen(alias)[0]
    headers = {k.lower(): v for k, v in seen["headers"]}
    assert seen["body"] == body.replace(f'"{alias}"', json.dumps(alias.first)) and seen["target"] == "/anthropic/v1/messages"
    assert headers["x-api-key"] == PROVIDER_KEY and headers["anthropic-version"] == "2023-06-01"
    assert headers["anthropic-beta"] == "tools-2026-01-01"
    assert r.headers["request-id"] == r.headers["x-request-id"]


def test_a_maximum_is_made_where_the_caller_gave_none(gw):
    alias = gw.alias("claude/ok", max_output=777)
    gw.chat(alias)
    assert gw.seen(alias)[0]["json"]["max_tokens"] == 777


def test_images_cross_over_both_ways(gw):
    pixel = "iVBORw0KGgo="
    over, back = gw.alias("claude/ok"), gw.alias("ok")
    gw.chat(over, messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}}]}])
    source = gw.seen(over)[0]["json"]["messages"][0]["content"][1]["source"]
    assert source == {"type": "base64", "media_type": "image/png", "data": pixel}
    gw.claude().messages.create(model=back, max_tokens=9, messages=[{"role": "user", "content": [
        {"type": "text", "text": "?"}, {"type": "image", "source": source}]}])
    part = gw.seen(back)[0]["json"]["messages"][0]["content"][1]
    assert part["image_url"]["url"] == f"data:image/png;base64,{pixel}"


@pytest.mark.parametrize("wire", ["mock", "claude"])
def test_structured_output_is_asked_for_in_the_upstream_s_form(gw, wire):
    alias = gw.alias(f"{wire}/structured")
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"],
              "additionalProperties": False}
    wish = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema, "strict": True}}
    got = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, response_format=wish)
    also = gw.sdk().responses.create(model=alias, input=ASK, text={"format": {"type": "json_schema", "name": "trip", "schema": schema, "strict": True}})
    assert json.loads(got.choices[0].message.content) == json.loads(also.output_text) == {"city": "Lyon", "days": 3}
    for seen in (e["json"] for e in gw.seen(alias)):
        asked = seen["output_config"]["format"]["schema"] if wire == "claude" else seen["response_format"]["json_schema"]["schema"]
        assert asked == schema


@pytest.mark.parametrize("behaviour, reason", [("max-tokens", "length"), ("refusal", "content_filter"), ("stop-sequence", "stop")])
@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_s_stop_reasons_are_chat_s(gw, behaviour, reason, stream):
    got = gw.sdk().chat.completions.create(model=gw.alias(f"claude/{behaviour}"), messages=MESSAGES, stream=stream)
    assert (list(got)[-1] if stream else got).choices[0].finish_reason == reason


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_are_told_as_reasoning(gw, stream):
    alias = gw.alias("claude/thinking")
    got = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=stream)
    if stream:
        deltas = [c.choices[0].delta for c in got if c.choices]
        thoughts = "".join((d.model_extra or {}).get("reasoning_content") or "" for d in deltas)
        assert "".join(d.content or "" for d in deltas) == WHOLE
    else:
        thoughts = got.choices[0].message.model_extra["reasoning_content"]
        assert got.choices[0].message.content == WHOLE
    assert thoughts == "hm, aha"


# ---- errors ----
@pytest.mark.parametrize("wire", ["mock", "claude"])
@pytest.mark.parametrize("status, kind, type_", [(400, anthropic.BadRequestError, "invalid_request_error"), (429, anthropic.RateLimitError, "rate_limit_error"),
                                                 (529, anthropic.APIStatusError, None), (500, anthropic.InternalServerError, "api_error")])
def test_an_upstream_s_error_is_told_in_anthropic_s_form(gw, wire, status, kind, type_):
    alias = gw.alias(f"{wire}/status:{status}")
    with pytest.raises(kind) as e:
        gw.claude().messages.create(model=alias, max_tokens=9, messages=MESSAGES)
    assert e.value.status_code == status and e.value.body["type"] == "error" and e.value.body["error"]["message"] == f"The mock says {status}."
    assert e.value.body["error"]["type"] == (type_ or e.value.body["error"]["type"]) and e.value.body["request_id"]
    assert gw.sent[-1].headers["request-id"] == gw.sent[-1].id


@pytest.mark.parametrize("status", [400, 429, 500])
def test_anthropic_s_error_is_told_in_openai_s_form(gw, status):
    with pytest.raises(openai.APIStatusError) as e:
        gw.sdk().chat.completions.create(model=gw.alias(f"claude/status:{status}"), messages=MESSAGES)
    assert e.value.status_code == status and set(e.value.body) == {"message", "type", "param", "code"}
    assert e.value.body["message"] == f"The mock says {status}."


@pytest.mark.parametrize("wire", ["mock", "claude"])
@pytest.mark.parametrize("behaviour", ["error-event-first", "status:529"])
def test_an_error_before_the_content_goes_to_the_next_whatever_its_wire(gw, wire, behaviour):
    other = {"mock": "claude", "claude": "mock"}[wire]
    alias = gw.alias(f"{wire}/{behaviour}", f"{other}/ok")
    assert chat(gw, alias, True).text == WHOLE and gw.audit()["attempts"] == 2


@pytest.mark.parametrize("wire", ["mock", "claude"])
@pytest.mark.parametrize("behaviour", ["error-event-late", "cut-after-content"])
@pytest.mark.parametrize("face", ["chat", "responses", "messages"])
def test_a_stream_that_breaks_off_raises_in_every_sdk(gw, face, wire, behaviour):
    alias = gw.alias(f"{wire}/{behaviour}")
    heard = []
    with pytest.raises((openai.APIError, anthropic.APIError)):
        if face == "messages":
            for e in gw.claude().messages.create(model=alias, max_tokens=9, messages=MESSAGES, stream=True):
                heard.append(e.type)
        elif face == "responses":
            for e in gw.sdk().responses.create(model=alias, input=ASK, stream=True):
                heard.append(e.type)
        else:
            for e in gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True):
                heard.append("chunk")
    assert heard and "message_stop" not in heard and "response.completed" not in heard
    row = gw.audit()
    assert row["outcome"] == "truncated" and row["status"] == 200 and row["completion_tokens"] > 0


@pytest.mark.parametrize("behaviour", ["error-event-late", "cut-after-content"])
def test_a_native_response_that_breaks_off_raises(gw, behaviour):
    alias = gw.alias(f"responding/{behaviour}")
    with pytest.raises(openai.APIError):
        list(gw.sdk().responses.create(model=alias, input=ASK, stream=True))
    assert gw.audit()["outcome"] == "truncated"


def test_long_instructions_that_a_response_repeats_break_no_stream(gw):
    """They are told before the first content, twice."""
    long = "Be brief. " * 80000
    for wire in ("claude", "mock"):
        alias = gw.alias(f"{wire}/ok")
        events = list(gw.sdk().responses.create(model=alias, instructions=long, input="hi", stream=True))
        assert events[0].response.instructions == long and events[-1].type == "response.completed"
        assert len(gw.seen(alias)) == 1


def test_a_message_that_lacks_only_its_last_event_gets_it(gw):
    with gw.claude().messages.stream(model=gw.alias("claude/no-done"), max_tokens=9, messages=MESSAGES) as s:
        assert [e.type for e in s][-1] == "message_stop"
    assert gw.audit()["outcome"] == "ok"


def test_a_broken_off_claude_stream_is_charged_its_prompt_and_what_was_delivered(gw):
    gw.usage_checked = False
    alias = gw.alias("claude/cut-after-content")
    with pytest.raises(openai.APIError):
        list(gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True))
    row = gw.audit()
    assert row["prompt_tokens"] == max(1, len(gw.seen(alias)[0]["body"]) // 4) + 5 and row["completion_tokens"] >= 1


# ---- who asks, and what else there is ----
@pytest.mark.parametrize("bearer", [False, True])
def test_anthropic_s_sdk_may_send_its_key_either_way(gw, bearer):
    got = gw.claude(bearer=bearer).messages.create(model=gw.alias("ok"), max_tokens=9, messages=MESSAGES)
    assert got.content[0].text == WHOLE


def test_a_wrong_key_is_told_in_anthropic_s_form(gw):
    with pytest.raises(anthropic.AuthenticationError) as e:
        gw.claude("sk-weir-wrong-0123456789012345678901234567890").messages.create(model="x", max_tokens=9, messages=MESSAGES)
    assert e.value.body["error"]["type"] == "authentication_error" and e.value.response.headers["request-id"]
    gw.skip()


def test_what_is_missing_is_named_in_anthropic_s_form(gw):
    r = gw.http().post("/v1/messages", json={"model": gw.alias("ok"), "messages": MESSAGES})
    assert r.status_code == 400 and r.json()["error"]["type"] == "invalid_request_error" and "max_tokens" in r.json()["error"]["message"]
    assert r.json()["request_id"] == r.headers["x-request-id"]


def test_tokens_are_counted_without_asking_anybody(gw):
    alias = gw.alias("claude/ok")
    few = gw.claude().messages.count_tokens(model=alias, messages=MESSAGES).input_tokens
    many = gw.claude().messages.count_tokens(model=alias, messages=[{"role": "user", "content": "word " * 4000}], system="Be brief.").input_tokens
    assert 5 < few < 40 and 4000 < many < 6500 and not gw.seen(alias)
    row = gw.audit()
    assert row["endpoint"] == "/v1/messages/count_tokens" and row["attempts"] == 0 and row["usage_source"] == "none" and row["outcome"] == "ok"


def test_counting_for_an_unknown_model_is_404(gw):
    with pytest.raises(anthropic.NotFoundError):
        gw.claude().messages.count_tokens(model="no-such-model", messages=MESSAGES)


def test_the_models_have_anthropic_s_shape_for_its_sdk(gw):
    alias = gw.alias("ok")
    listed = {m.id: m for m in gw.claude().models.list()}
    assert listed[alias].type == "model" and listed[alias].display_name == alias and listed[alias].created_at
    assert gw.claude().models.retrieve(alias).id == alias
    with pytest.raises(anthropic.NotFoundError):
        gw.claude().models.retrieve("no-such-model")


def test_what_needs_stored_state_is_refused_unless_the_upstream_keeps_it(gw):
    for wire in ("mock", "claude"):
        with pytest.raises(openai.BadRequestError) as e:
            gw.sdk().responses.create(model=gw.alias(f"{wire}/ok"), input=ASK, previous_response_id="resp_0")
        assert e.value.param == "previous_response_id"
    native = gw.alias("responding/ok")
    assert gw.sdk().responses.create(model=native, input=ASK, previous_response_id="resp_0").output_text == WHOLE
    assert gw.seen(native)[0]["json"]["previous_response_id"] == "resp_0" and gw.seen(native)[0]["target"] == "/v1/responses"


def test_a_job_in_the_background_is_refused_everywhere(gw):
    with pytest.raises(openai.BadRequestError) as e:
        gw.sdk().responses.create(model=gw.alias("responding/ok"), input=ASK, background=True)
    assert e.value.param == "background"


def test_embeddings_are_not_translated(gw):
    with pytest.raises(openai.BadRequestError) as e:
        gw.sdk().embeddings.create(model=gw.alias("claude/ok"), input="x")
    assert e.value.param == "model"


@pytest.mark.parametrize("wire", ["mock", "claude"])
@pytest.mark.parametrize("face", ["chat", "responses", "messages"])
def test_an_alias_s_system_text_and_parameters_go_before_the_caller_s(gw, face, wire):
    alias = gw.alias(f"{wire}/ok", system="Speak as a weir.", defaults={"temperature": 0.25, "max_tokens": 60})
    SPEAK[face](gw, alias, False)
    seen = gw.seen(alias)[0]["json"]
    said = seen["system"] if wire == "claude" else seen["messages"][0]["content"]
    assert "Speak as a weir." in json.dumps(said) and seen["temperature"] == 0.25
    assert seen["max_tokens"] == (100 if face == "messages" else 60)  # Anthropic's callers always say theirs
