"""A second attempt beside a silent first: the faster content wins, the loser is cancelled, counted and charged."""
import os
import signal
import threading
import time

import pytest

import behaviours
from harness import SLOW, events, text_of, until

WHOLE = "".join(behaviours.WORDS)
PRICE = {"input": "1", "output": "2"}


def content(r, stream):
    if not stream:
        return r.json()["choices"][0]["message"]["content"]
    return text_of(events(r.content))


@pytest.mark.parametrize("stream", [False, True])
def test_a_silent_first_is_overtaken_and_cancelled(gw, stream):
    alias = gw.alias("stall-before", "ok", hedge_after_ms=100, price=PRICE)
    begun = time.monotonic()
    r = gw.chat(alias, stream=stream)
    assert r.status_code == 200 and content(r, stream) == WHOLE and time.monotonic() - begun < 3 * SLOW
    assert r.headers["x-weir-attempts"] == "2" and r.headers["x-weir-model"] == alias.models[1]
    assert gw.mock.left(alias.first)["by"] == "client"
    row = gw.audit()
    assert row["attempts"] == 2 and row["outcome"] == "ok" and row["model"] == alias.models[1]
    told = gw.seen(alias, 1)[0]["usage"]
    assert row["prompt_tokens"] == told["prompt_tokens"], "a loser that said nothing and reported nothing costs nothing"
    assert gw.site.query("SELECT count(*) FROM attempt a JOIN audit u ON u.ticket = a.ticket WHERE u.request_id = ?",
                         row["request_id"])[0][0] == 2
    assert gw.site.books() == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_first_that_is_fast_enough_is_not_hedged(gw, stream):
    alias = gw.alias("ok", "ok", hedge_after_ms=2000)
    assert gw.chat(alias, stream=stream).headers["x-weir-attempts"] == "1" and not gw.seen(alias, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_may_still_win(gw, stream):
    gw.usage_checked = False
    alias = gw.alias("slow:400", "stall-before", hedge_after_ms=100)
    r = gw.chat(alias, stream=stream)
    assert r.headers["x-weir-model"] == alias.models[0] and r.headers["x-weir-attempts"] == "2" and content(r, stream) == WHOLE
    assert gw.mock.left(alias.models[1])["by"] == "client"


@pytest.mark.parametrize("second", ["status:500", "refused/ok", "cut-before", "status:429"])
def test_a_second_that_fails_leaves_the_first_its_chance(gw, second):
    alias = gw.alias("slow:500", second, hedge_after_ms=100)
    r = gw.chat(alias)
    assert r.status_code == 200 and r.headers["x-weir-model"] == alias.models[0] and r.headers["x-weir-attempts"] == "2"


@pytest.mark.parametrize("stream", [False, True])
def test_a_second_that_faults_the_request_leaves_the_first_its_chance(gw, stream):
    """What one target cannot take another may."""
    alias = gw.alias("slow:500", "status:400", hedge_after_ms=100)
    r = gw.chat(alias, stream=stream)
    assert r.status_code == 200 and content(r, stream) == WHOLE and r.headers["x-weir-model"] == alias.models[0]
    assert r.headers["x-weir-attempts"] == "2" and gw.audit()["outcome"] == "ok" and gw.site.books() == 0


def test_a_first_that_faults_the_request_leaves_the_second_its_chance(gw):
    alias = gw.alias("script", "slow:500", hedge_after_ms=100)
    gw.mock.script(alias.first, [{"sleep": 0.3}, *behaviours.plain(behaviours.text(behaviours.error_body("no such tool", "invalid_request_error")), 400)])
    r = gw.chat(alias)
    assert r.status_code == 200 and r.headers["x-weir-model"] == alias.models[1] and r.headers["x-weir-attempts"] == "2"


@pytest.mark.parametrize("first", ["hasty/stall-before", "slow-error"])
def test_a_fault_is_told_when_nobody_answers_after_all(gw, first):
    alias = gw.alias(first if "/" in first else "script", "status:400", "ok", hedge_after_ms=50)
    if first == "slow-error":
        gw.mock.script(alias.first, [{"sleep": 0.4}, *behaviours.plain(behaviours.text(behaviours.error_body("broken")), 500)])
    r = gw.chat(alias)
    assert r.status_code == 400 and r.headers["x-weir-attempts"] == "2" and not gw.seen(alias, 2), r.text
    assert gw.audit()["model"] == alias.models[1] and gw.site.books() == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_first_that_fails_after_all_leaves_the_second_its_chance(gw, stream):
    alias = gw.alias("hasty/stall-before", "slow:600", hedge_after_ms=100)
    r = gw.chat(alias, stream=stream)
    assert r.status_code == 200 and r.headers["x-weir-model"] == alias.models[1] and r.headers["x-weir-attempts"] == "2"


def test_when_both_fail_the_third_is_asked(gw):
    alias = gw.alias("hasty/stall-before", "hasty/stall-before", "ok", hedge_after_ms=50)
    r = gw.chat(alias)
    assert r.status_code == 200 and r.headers["x-weir-attempts"] == "3" and r.headers["x-weir-model"] == alias.models[2]
    assert gw.site.books() == 0


def test_content_that_has_begun_is_never_overtaken(gw):
    gate = gw.gate()
    alias, silent = gw.alias(f"gated:{gate}", "ok", hedge_after_ms=50), gw.alias("stall-before", "ok", hedge_after_ms=100)
    with gw.http().stream("POST", "/v1/chat/completions", json={"model": alias, "stream": True, "messages": [
            {"role": "user", "content": "hi"}]}) as r:
        lines = r.iter_lines()
        next(line for line in lines if behaviours.WORDS[0] in line)
        assert gw.chat(silent).headers["x-weir-attempts"] == "2"  # there was time for a second attempt
        gw.mock.go(gate)
        assert "[DONE]" in "".join(lines)
    assert gw.audit(0)["attempts"] == 1 and not gw.seen(alias, 1)


def test_a_limit_that_has_no_room_for_two_lets_the_first_go_on(gw):
    alias = gw.alias("slow:400", "ok", hedge_after_ms=50, max_output=100)
    gw.site.apply({"limits": [{"scope": f"model/{alias}", "metric": "tokens", "shape": "total", "amount": 250}]})
    r = gw.chat(alias)
    assert r.status_code == 200 and r.headers["x-weir-attempts"] == "1" and not gw.seen(alias, 1)
    assert gw.site.books() == 0


def test_the_loser_that_has_reported_its_usage_is_charged(gw):
    """It counted the prompt at once, and then fell silent."""
    alias = gw.alias("script", "ok", hedge_after_ms=100, price=PRICE)
    used = {"prompt_tokens": 500, "completion_tokens": 0, "total_tokens": 500}
    gw.mock.script(alias.first, behaviours.sse_head() + [{"send": behaviours.data({"choices": [], "usage": used})}, {"usage": used},
                                                          {"stall": True}])
    r = gw.chat(alias, stream=True)
    assert r.headers["x-weir-model"] == alias.models[1] and r.headers["x-weir-attempts"] == "2"
    assert gw.audit()["prompt_tokens"] == 500 + gw.seen(alias, 1)[0]["usage"]["prompt_tokens"]
    assert gw.site.books() == 0


def test_of_two_that_begin_at_once_only_one_is_passed_on(gw):
    """The gateway sleeps while both contents arrive, so that it finds them together."""
    gw.usage_checked = False  # the loser's figure was on its way
    gate = gw.gate()
    alias = gw.alias(f"gated-each:{gate}", f"gated-each:{gate}", hedge_after_ms=50)
    got = []
    asking = threading.Thread(target=lambda: got.append(gw.chat(alias, stream=True)))
    asking.start()
    gw.mock.asked(alias.models[1])
    pids = gw.web.responders()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for k in range(len(behaviours.WORDS), 0, -1):
            gw.mock.go(f"{gate}{k}")
        until("both answers to be sent", lambda: all(gw.seen(alias, i)[0].get("usage") for i in (0, 1)))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    asking.join()
    assert content(got[0], True) == WHOLE and got[0].text.count("[DONE]") == 1
    assert gw.audit()["attempts"] == 2 and gw.site.books() == 0
