"""Conversations that fit: long ones are cut where they may be, refused, or given to the larger model; and it is told."""
import json
import re

import anthropic
import openai
import pytest

import behaviours
from harness import MESSAGES

WORDS = "lorem ipsum dolor sit amet " * 8
WHOLE = "".join(behaviours.WORDS)


def talk(turns):
    """That many turns, and a last question."""
    out = []
    for i in range(turns):
        out += [{"role": "user", "content": f"question {i} {WORDS}"}, {"role": "assistant", "content": f"answer {i} {WORDS}"}]
    return [*out, {"role": "user", "content": "and now?"}]


def told(gw, which=-1):
    """What x-weir-context says, which the audit row says too: (action, {name: number})."""
    header = gw.sent[which].headers.get("x-weir-context")
    assert gw.audit(which)["context"] == header
    if header is None:
        return None, {}
    action, *rest = header.split("; ")
    return action, {k: int(v) for k, v in (r.split("=") for r in rest)}


@pytest.mark.parametrize("tenths", [40, 28])  # characters a token, tenths: as estimated, and a model that counts more
def test_a_growing_conversation_never_passes_the_window(gw, tenths):
    window = 2000
    alias = gw.alias(f"window:{window}:{tenths}", context_window=window, context={})
    client, messages, actions = gw.sdk(), [{"role": "system", "content": "Be brief."}], []
    for i in range(40):
        messages.append({"role": "user", "content": f"question {i} {WORDS}"})
        got = client.chat.completions.create(model=alias, messages=messages)
        assert got.usage.prompt_tokens <= window
        action, n = told(gw)
        actions.append(action)
        if action == "trimmed":
            assert n["after"] <= window * 60 // 100 < n["before"] and n["dropped"] % 2 == 0
        messages.append({"role": "assistant", "content": got.choices[0].message.content + WORDS})
        sent = gw.seen(alias)[-1]["json"]["messages"]
        assert sent[0] == messages[0] and sent[1]["role"] == "user" and sent[-1] == messages[-2]
    assert None in actions and "warning" in actions and actions[-1] == "trimmed"


def test_calls_of_tools_and_their_results_go_together(gw):
    alias = gw.aliased([("claude", "window:3000:40")], context_window=3000, context={"trim_at": 50, "trim_to": 30})
    messages = [{"role": "user", "content": "Weather everywhere?"}]
    for i in range(12):
        messages += [{"role": "assistant", "content": [{"type": "tool_use", "id": f"a{i}", "name": "weather", "input": {}},
                                                       {"type": "tool_use", "id": f"b{i}", "name": "weather", "input": {}}]},
                     {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"b{i}", "content": WORDS},
                                                  {"type": "tool_result", "tool_use_id": f"a{i}", "content": WORDS}]}]
    got = gw.claude().messages.create(model=alias, max_tokens=100, messages=messages)
    assert got.content[0].text == WHOLE
    action, n = told(gw)
    sent = gw.seen(alias)[-1]["json"]["messages"]
    assert action == "trimmed" and n["dropped"] == len(messages) - len(sent) and n["after"] <= 900
    assert sent[0] == messages[0] and sent[1:] == messages[1 + n["dropped"]:]
    assert [b["type"] for b in sent[1]["content"]] == ["tool_use"] * 2


def test_what_is_important_stays_and_the_mark_does_not_go_out(gw):
    alias = gw.alias("window:1000:40", context_window=1000, context={"trim_to": 40})
    messages = talk(8)
    messages[2]["x_weir_important"] = True
    gw.sdk().chat.completions.create(model=alias, messages=messages)
    sent = gw.seen(alias)[-1]
    assert told(gw)[0] == "trimmed" and "x_weir" not in sent["body"]
    assert [m["content"][:10] for m in sent["json"]["messages"][:2]] == ["question 1", "answer 1 l"]
    other = gw.alias("ok")  # not even where nothing is trimmed
    gw.sdk().chat.completions.create(model=other, messages=[MESSAGES[0] | {"x_weir_important": True}])
    assert gw.seen(other)[-1]["json"]["messages"] == MESSAGES
    with pytest.raises(openai.BadRequestError, match=r"messages\[0\].x_weir_important"):
        gw.sdk().chat.completions.create(model=other, messages=[MESSAGES[0] | {"x_weir_important": "yes"}])


def test_a_long_conversation_is_refused_where_the_alias_says_so(gw):
    alias = gw.aliased([("mock", "ok")], context_window=1000, context={"action": "refuse"})
    with pytest.raises(openai.BadRequestError) as e:
        gw.sdk().chat.completions.create(model=alias, messages=talk(20))
    assert (e.value.code, e.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(anthropic.BadRequestError, match="messages has about"):
        gw.claude().messages.create(model=alias, max_tokens=10, messages=talk(20))
    with pytest.raises(openai.BadRequestError, match="input has about"):
        gw.sdk().responses.create(model=alias, input=talk(20))
    assert gw.seen(alias) == []
    assert gw.sdk().chat.completions.create(model=alias, messages=talk(1)).choices


def test_a_long_conversation_goes_to_the_larger_model(gw):
    gw.usage_checked = False  # what the larger model told stands under the other alias's name
    larger = gw.alias("ok", context_window=100000)
    alias = gw.alias("status:500", context_window=1000, context_fallback=larger, context={"action": "fallback"})
    got = gw.sdk().chat.completions.create(model=alias, messages=talk(20))
    assert got.choices[0].message.content == WHOLE
    assert told(gw)[0] == "fallback" and gw.audit()["model"] == larger.first and gw.audit()["attempts"] == 1
    assert gw.seen(alias) == []


def test_input_of_responses_is_trimmed(gw):
    alias = gw.aliased([("responding", "ok")], context_window=1000, context={})
    assert gw.sdk().responses.create(model=alias, input=talk(20)).output_text
    action, n = told(gw)
    sent = gw.mock.seen(alias.first)[-1]["json"]["input"]
    assert action == "trimmed" and sent == talk(20)[n["dropped"]:]


def test_documents_say_what_is_wrong_with_it(gw):
    base = {"alias": "x", "targets": [{"provider": "mock", "model": "ok"}]}
    for fields, path in [({"context": {}}, r"models\[0\].context: needs context_window"),
                         ({"context_window": 9, "context": {"trim_at": 50, "trim_to": 60}}, r"context.trim_to: must not be above"),
                         ({"context_window": 9, "context": {"action": "drop"}}, r"context.action"),
                         ({"context_window": 9, "context": {"action": "fallback"}}, r"context.action: needs context_fallback")]:
        with pytest.raises(AssertionError) as e:
            gw.site.apply({"models": [base | fields]})
        assert re.search(path, str(e.value)), e.value
    name = gw.alias("ok", context_window=9000, context={"trim_at": 80})
    model = next(m for m in json.loads(gw.site.weir("export").stdout)["models"] if m["alias"] == name)
    assert model["context"] == {"action": "trim", "trim_at": 80, "trim_to": 60}
    assert "0 changed" in gw.site.apply({"models": [model]}).stderr
