"""The mock dialect inside Weir, which `make run` shows: a provider without a network."""
import openai
import pytest

from harness import MESSAGES


@pytest.fixture
def model(gw):
    """An alias for one of the built-in models."""
    def make(name):
        alias = f"built-in-{name}"
        gw.site.apply({"models": [{"alias": alias, "targets": [{"provider": "built-in", "model": name}]}]})
        return alias
    return make


@pytest.mark.parametrize("name, finish", [("mock", "stop"), ("mock-long", "length")])
def test_a_plain_answer_counts_its_tokens(gw, model, name, finish):
    got = gw.sdk().chat.completions.create(model=model(name), messages=MESSAGES)
    assert got.choices[0].message.content and got.choices[0].finish_reason == finish
    row = gw.audit()
    assert row["provider"] == "built-in" and row["usage_source"] == "provider"
    assert (row["prompt_tokens"], row["completion_tokens"]) == (got.usage.prompt_tokens, got.usage.completion_tokens)
    assert got.usage.prompt_tokens > 0 < got.usage.completion_tokens


@pytest.mark.parametrize("name", ["mock", "mock-stream"])
def test_a_stream_ends_with_usage_for_who_asked(gw, model, name):
    got = list(gw.sdk().chat.completions.create(model=model(name), messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
    assert sum(1 for c in got if c.choices and c.choices[0].delta.content) > 1
    assert got[-1].usage.completion_tokens == gw.audit()["completion_tokens"] > 0


def test_a_tool_call_in_both_forms(gw, model):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    alias = model("mock-tool")
    plain = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, tools=tools)
    assert plain.choices[0].finish_reason == "tool_calls" and plain.choices[0].message.tool_calls[0].function.name
    with gw.sdk().chat.completions.stream(model=alias, messages=MESSAGES, tools=tools) as s:
        assert s.get_final_completion().choices[0].message.tool_calls[0].id


def test_an_error_is_one(gw, model):
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError):
            gw.sdk().chat.completions.create(model=model("mock-error"), messages=MESSAGES, stream=stream)
        assert gw.audit()["outcome"] == "failed"


def test_leaving_a_built_in_stream_ends_it(gw, model):
    s = gw.sdk().chat.completions.create(model=model("mock-stream:1000:20"), messages=MESSAGES, stream=True)
    next(iter(s))
    s.close()
    assert gw.audit()["outcome"] == "cancelled"
