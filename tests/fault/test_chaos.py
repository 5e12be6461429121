"""Upstreams that fail and heal at random under load: who can be served is, rightly and on record, and what is down is left
in peace until it may be asked again."""
import asyncio
import collections
import json
import os
import time

import pytest

import behaviours
import harness
from harness import SLOW, events
from test_ledger import PRICE, limit, log_is_quiet, nano, own, run, settled, sums_are_counters, total  # noqa: F401 (own: a fixture)

SECONDS = float(os.environ.get("WEIR_CHAOS_SECONDS", "12"))
WHOLE = "".join(behaviours.WORDS)
CALLERS = 12
WELL = {"one": 75, "two": 50, "three": 30}  # of a hundred periods
PERIOD_MS = 1500


def text_of(answer):
    """What an SDK would make of it; an error event is none of the answer's."""
    if not answer.stream:
        return json.loads(answer.body)["choices"][0]["message"]["content"]
    told = events(answer.body)
    assert not any("error" in e for e in told)
    return harness.text_of(told)


@pytest.mark.timeout((SECONDS + 60) * SLOW)
def test_upstreams_that_fail_and_heal_at_random(own):  # noqa: F811
    gw = own()
    gw.site.apply({"settings": {"retries": 2}, "limits": [
        {"scope": s, "metric": m, "shape": "total", "amount": "1000000" if m == "cost" else 10 ** 12}
        for s in ("team/looms", "user/ada") for m in ("tokens", "cost")]})
    alias = gw.alias(*(f"moody:{name}:{PERIOD_MS}:{percent}" for name, percent in WELL.items()), price=PRICE)
    dead = gw.alias("status:500", f"moody:four:{PERIOD_MS}:100", price=PRICE)
    answers, begun = [], time.time()

    async def load(callers):
        async def one(i):
            while time.time() - begun < SECONDS:
                a = await callers.ask(alias if i % 4 else dead, stream=i % 2 == 1, max_tokens=30)
                answers.append((i % 4 == 0, a))
                if a is None or a.status != 200:
                    await asyncio.sleep(0.05)
        await asyncio.gather(*(one(i) for i in range(CALLERS)))
    run([gw.base], gw.secret, load, SECONDS + 30)
    lasted = time.time() - begun
    settled(gw.site)

    # no answer is wrong, none is without its row
    assert all(a is not None for _, a in answers)
    rows = {r["request_id"]: r for r in gw.site.audit()}
    assert len(rows) == len(answers) == len({a.id for _, a in answers})
    for _, a in answers:
        row = rows[a.id]
        assert row["status"] == a.status and row["attempts"] == int(a.headers.get("x-weir-attempts", 0)), (row, a.body[:200])
        if a.status == 200:
            assert text_of(a) == WHOLE and row["outcome"] == "ok"
        else:
            assert a.status in (408, 500, 502, 503, 504) and a.code and row["outcome"] == "failed", (a.status, a.body[:200])

    # those that had a target in health were served: at least as many as the best target alone would have
    moods = [sum(behaviours.mood(name, PERIOD_MS, percent, begun + t / 10) is None for t in range(int(lasted * 10))) / int(lasted * 10)
             for name, percent in WELL.items()]
    served = collections.Counter((is_dead, a.status == 200) for is_dead, a in answers)
    rate = served[False, True] / (served[False, True] + served[False, False])
    assert rate >= max(moods), (rate, moods, served)
    assert served[True, False] == 0, "a target that is always well stood behind the dead one"

    # what is dead is asked until its breaker opens, by whom is under way just then, and once for each time it is half open
    asked = [e for e in gw.mock.seen(dead.models[0]) if e["method"] == "POST"]
    assert 5 <= len(asked) <= 5 + CALLERS + lasted / 10 + 1, len(asked)

    # the books
    sums_are_counters(gw.site, ["team/looms", "user/ada"])
    reported = total(e["usage"] for e in gw.mock.seen(since=gw.seen_before) if e["usage"])
    assert reported <= sum(r["prompt_tokens"] + r["completion_tokens"] for r in rows.values())
    log_is_quiet(gw)
