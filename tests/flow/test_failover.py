"""Targets that fail: the next one is asked while nothing has reached the client, and what is left is told rightly."""
import json
import time

import openai
import pytest

import behaviours
from harness import MESSAGES, PROVIDER_KEY, SLOW

WHOLE = "".join(behaviours.WORDS)


def ask(gw, alias, stream, **kw):
    """The content, by the SDK."""
    got = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=stream, **kw)
    if stream:
        return "".join(c.choices[0].delta.content or "" for c in got if c.choices)
    return got.choices[0].message.content


# Besides those of test_failure_matrix.py.
MOVES_ON = ["status:429:30", "status:502", "status:504", "status-html:502", "status-empty:500", "error-array:503",
            "error-text:500", "status-detail-text:500", "cut-head", "redirect", "endless-head", "hasty/stall-head", "unknown-encoding"]
MOVES_ON_PLAIN = ["array-200", "empty-200", "short-body", "gzip-bomb", "endless-body", "json-as-stream"]
MOVES_ON_STREAM = ["error-event-after-role", "error-event-named", "empty-stream", "only-done", "empty-first-then-cut", "hasty/stall-role",
                   "endless-line-first", "endless-roles", "json-error-200"]


@pytest.mark.parametrize("stream, behaviour", [(s, b) for s in (False, True) for b in MOVES_ON]
                         + [(False, b) for b in MOVES_ON_PLAIN] + [(True, b) for b in MOVES_ON_STREAM])
def test_a_target_that_fails_before_content_is_passed_over(gw, stream, behaviour):
    alias = gw.alias(behaviour, "ok")
    before = gw.web.rss()
    assert ask(gw, alias, stream) == WHOLE
    sent, row = gw.sent[-1], gw.audit()
    assert sent.headers["x-weir-attempts"] == "2" and sent.headers["x-weir-model"] == alias.models[1]
    assert sent.headers["x-weir-provider"] == "mock"
    assert row["attempts"] == 2 and row["outcome"] == "ok" and row["provider"] == "mock" and row["model"] == alias.models[1]
    assert len(gw.seen(alias, 1)) == 1 and len(gw.seen(alias, 0)) == 1
    assert gw.web.rss() - before < 100000


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_key_that_is_refused_is_not_tried_on_another_model(gw, stream, status):
    alias = gw.alias(f"status:{status}", "ok", "other/ok")
    assert ask(gw, alias, stream) == WHOLE
    assert gw.sent[-1].headers["x-weir-attempts"] == "2" and gw.audit()["provider"] == "other"
    assert not gw.seen(alias, 1)


def test_a_plain_answer_to_a_stream_request_is_no_silent_empty_stream(gw):
    """The SDK would take it for a stream of nothing, without an error."""
    gw.usage_checked = False  # the answer that was passed over reported usage too
    assert ask(gw, gw.alias("stream-as-json", "ok"), True) == WHOLE


def test_three_targets_fail_and_the_fourth_answers(gw):
    alias = gw.alias("status:500", "refused/ok", "cut-before", "other/ok")
    assert ask(gw, alias, False) == WHOLE
    assert gw.sent[-1].headers["x-weir-attempts"] == "4" and gw.audit()["provider"] == "other"


def test_each_target_is_sent_its_own_model_and_the_same_request(gw):
    alias = gw.alias("status:500", "ok")
    ask(gw, alias, False, extra_body={"odd": [1.50]})
    first, second = gw.seen(alias, 0)[0], gw.seen(alias, 1)[0]
    assert first["body"].replace(alias.models[0], "M") == second["body"].replace(alias.models[1], "M")


def test_an_upstream_whose_certificate_nobody_vouches_for_is_not_spoken_to(gw):
    alias = gw.alias("tls/ok")
    with pytest.raises(openai.InternalServerError) as e:
        ask(gw, alias, False)
    assert e.value.status_code == 502 and e.value.code == "upstream_error"
    assert not gw.seen(alias), "the request went out in spite of the certificate"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", ["refused/ok", "cut-before", "reset-before", "cut-head", "status-html:502"])
def test_a_dead_upstream_is_502_when_nothing_is_left(gw, stream, behaviour):
    alias = gw.alias(behaviour)
    with pytest.raises(openai.InternalServerError) as e:
        ask(gw, alias, stream)
    assert e.value.status_code == 502
    assert set(e.value.body) == {"message", "type", "param", "code"} and e.value.code == "upstream_error"
    row = gw.audit()
    assert row["outcome"] == "failed" and row["status"] == 502 and row["error"] and row["attempts"] == 1


@pytest.mark.parametrize("behaviour", ["garbage-json", "html-200", "array-200", "empty-200", "short-body", "endless-body", "gzip-bomb"])
def test_an_answer_that_is_none_is_502(gw, behaviour):
    with pytest.raises(openai.InternalServerError) as e:
        ask(gw, gw.alias(behaviour), False)
    assert e.value.status_code == 502 and e.value.code == "upstream_error"
    assert gw.audit()["outcome"] == "failed"


@pytest.mark.parametrize("behaviour", ["error-event-first", "error-event-after-role", "empty-stream", "only-done", "cut-role",
                                       "empty-first-then-cut", "html-200", "json-error-200", "endless-roles"])
def test_a_stream_that_fails_before_content_has_a_real_status(gw, behaviour):
    with pytest.raises(openai.APIStatusError) as e:
        ask(gw, gw.alias(behaviour), True)
    assert e.value.status_code >= 500 and e.value.body["message"]
    assert gw.audit()["outcome"] == "failed"


@pytest.mark.parametrize("stream", [False, True])
def test_silence_before_the_first_byte_is_504(gw, stream):
    alias = gw.alias("hasty/stall-before")
    begun = time.monotonic()
    with pytest.raises(openai.InternalServerError) as e:
        ask(gw, alias, stream)
    assert e.value.status_code == 504 and e.value.code == "upstream_timeout"
    assert time.monotonic() - begun < 2.5 * SLOW
    assert gw.mock.left(alias.first)["by"] == "client"
    assert gw.audit()["outcome"] == "failed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status, kind", [(400, openai.BadRequestError), (422, openai.UnprocessableEntityError), (413, openai.APIStatusError)])
def test_an_upstream_that_faults_the_request_is_believed_and_no_other_asked(gw, stream, status, kind):
    alias = gw.alias(f"status:{status}", "ok")
    with pytest.raises(kind) as e:
        ask(gw, alias, stream)
    assert e.value.status_code == status and e.value.code == f"mock_{status}" and e.value.body["message"] == f"The mock says {status}."
    if status != 413:
        assert e.value.param == "messages"
    assert gw.sent[-1].headers["x-weir-attempts"] == "1" and not gw.seen(alias, 1)
    row = gw.audit()
    assert row["status"] == status and row["attempts"] == 1 and row["outcome"] == "failed"


@pytest.mark.parametrize("status, kind", [(404, openai.NotFoundError), (408, openai.APIStatusError), (429, openai.RateLimitError),
                                          (500, openai.InternalServerError), (503, openai.InternalServerError),
                                          (529, openai.InternalServerError)])
@pytest.mark.parametrize("stream", [False, True])
def test_the_last_target_s_own_status_and_error_are_told(gw, stream, status, kind):
    alias = gw.alias("status:500", f"status:{status}")
    with pytest.raises(kind) as e:
        ask(gw, alias, stream)
    assert e.value.status_code == status and e.value.body["message"] == f"The mock says {status}."
    assert set(e.value.body) == {"message", "type", "param", "code"}
    row = gw.audit()
    assert row["outcome"] == "failed" and row["attempts"] == 2 and row["status"] == status


@pytest.mark.parametrize("given, told", [("7", 7), ("60", 60), ("90", 60), ("86400", 60)])
def test_retry_after_is_passed_on_but_never_above_a_minute(gw, given, told):
    r = gw.chat(gw.alias(f"status:429:{given}"))
    assert r.status_code == 429 and int(r.headers["retry-after"]) == told


@pytest.mark.parametrize("bad, told", [("-5", None), ("soon", None), ("99999999999999999999", "60"), ("", None)])
def test_a_nonsense_retry_after_harms_nobody(gw, bad, told):
    r = gw.chat(gw.alias(f"status:429:{bad}"))
    assert r.status_code == 429 and r.headers.get("retry-after") == told


@pytest.mark.parametrize("behaviour, status", [("status-detail:422", 422), ("status-detail-text:400", 400), ("error-array:400", 400),
                                               ("error-array:429", 429), ("error-text:500", 500), ("status-html:503", 503),
                                               ("status-empty:400", 400), ("status-empty:500", 500)])
def test_errors_of_other_forms_are_told_in_openai_s(gw, behaviour, status):
    r = gw.chat(gw.alias(behaviour))
    assert r.status_code == status
    error = r.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
    assert r.headers["content-type"] == "application/json"
    for text, of in (("declines", ("status-detail-text", "error-array")), ("tired", ("error-text",))):
        if behaviour.startswith(of):
            assert text in error["message"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream", [False, True])
def test_our_key_refused_by_the_provider_is_our_failure_and_its_text_stays_here(gw, status, stream):
    """The mock quotes the key it was sent, as providers do."""
    alias = gw.alias(f"status:{status}")
    r = gw.chat(alias, stream=stream)
    assert r.status_code == 502 and r.json()["error"]["code"] == "upstream_error"
    assert PROVIDER_KEY not in r.text and PROVIDER_KEY[-12:] not in r.text and "Incorrect API key" not in r.text
    row = gw.audit()
    assert row["outcome"] == "failed" and PROVIDER_KEY not in json.dumps(row)
    assert PROVIDER_KEY not in gw.web.log.read_text()


def test_the_sdk_s_retries_are_all_written_down(gw):
    alias = gw.alias("status:500")
    with pytest.raises(openai.InternalServerError):
        gw.sdk(retries=2).chat.completions.create(model=alias, messages=MESSAGES)
    assert len(gw.sent) == 3
    rows = gw.rows(alias, 3)
    assert len(rows) == 3 and sum(r["attempts"] for r in rows) == len(gw.seen(alias))


def test_the_sdk_s_retry_gets_through_once_the_upstream_is_back(gw):
    alias = gw.alias("flaky:1:503")
    got = gw.sdk(retries=2).chat.completions.create(model=alias, messages=MESSAGES)
    assert got.choices[0].message.content == WHOLE
    assert [r["outcome"] for r in gw.rows(alias, len(gw.sent))] == ["failed", "ok"][-len(gw.sent):]


@pytest.mark.parametrize("fields, secret, status", [({"model": "no-such-alias"}, None, 404), ({"model": "no-such-alias"}, "sk-weir-" + "0" * 40, 401),
                                                    ({"model": "no-such-alias", "messages": 5}, None, 400)])
def test_errors_that_waiting_does_not_mend_are_asked_once(gw, fields, secret, status):
    with pytest.raises(openai.APIStatusError) as e:
        gw.sdk(secret=secret, retries=2).chat.completions.create(**({"messages": MESSAGES} | fields))
    assert e.value.status_code == status and len(gw.sent) == 1
    assert e.value.response.headers["x-should-retry"] == "false"


def test_a_fallback_after_a_time_out_still_has_time_of_its_own(gw):
    alias = gw.alias("hasty/stall-before", "hasty/stall-before", "ok")
    assert ask(gw, alias, True) == WHOLE
    assert gw.sent[-1].headers["x-weir-attempts"] == "3"
