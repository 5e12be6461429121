"""The older completions endpoint, plain and streamed."""
import openai
import pytest

import behaviours

WHOLE = "".join(behaviours.WORDS)


def test_a_plain_completion(gw):
    alias = gw.alias("ok")
    got = gw.sdk().completions.create(model=alias, prompt="Once")
    assert got.choices[0].text == WHOLE and got.object == "text_completion"
    assert gw.seen(alias)[0]["target"] == "/v1/completions"
    row = gw.audit()
    assert row["endpoint"] == "/v1/completions" and row["completion_tokens"] == len(behaviours.WORDS)


@pytest.mark.parametrize("behaviour", ["ok", "dribble", "no-done"])
def test_a_streamed_completion(gw, behaviour):
    alias = gw.alias(behaviour)
    got = list(gw.sdk().completions.create(model=alias, prompt="Once", stream=True))
    assert "".join(c.choices[0].text for c in got) == WHOLE and got[-1].choices[0].finish_reason == "stop"
    assert gw.audit()["usage_source"] == "provider"


def test_a_streamed_completion_cut_short_is_said_to_be(gw):
    with pytest.raises(openai.APIError):
        list(gw.sdk().completions.create(model=gw.alias("no-finish"), prompt="Once", stream=True))
    assert gw.audit()["outcome"] == "truncated"


def test_a_streamed_completion_fails_over_before_its_first_text(gw):
    alias = gw.alias("error-event-first", "ok")
    got = list(gw.sdk().completions.create(model=alias, prompt="Once", stream=True))
    assert "".join(c.choices[0].text for c in got) == WHOLE and gw.sent[-1].headers["x-weir-attempts"] == "2"


@pytest.mark.parametrize("prompt", ["text", ["a", "b"], [1, 2], [[1], [2, 3]]])
def test_every_form_of_prompt_passes(gw, prompt):
    alias = gw.alias("ok")
    gw.sdk().completions.create(model=alias, prompt=prompt)
    assert gw.seen(alias)[0]["json"]["prompt"] == prompt


@pytest.mark.parametrize("body, param", [({"prompt": {"a": 1}}, "prompt"), ({"prompt": "x", "stream": "yes"}, "stream"),
                                         ({"prompt": "x", "max_tokens": "many"}, "max_tokens")])
def test_a_wrong_completion_request_is_told_its_field(gw, body, param):
    r = gw.http().post("/v1/completions", json={"model": gw.alias("ok")} | body)
    assert r.status_code == 400 and r.json()["error"]["param"] == param
