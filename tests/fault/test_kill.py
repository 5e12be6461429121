"""kill -9 of the responder under load: what was answered whole is written down, the database is sound, and it goes on."""
import asyncio
import contextlib
import os
import signal
import sqlite3

import httpx2
import pytest

from harness import MESSAGES, SLOW, http_client, is_whole, until, when
from test_ledger import accepted, locked

LIVE = 200


async def load(gw, ways, kills, answered, stop_writing=contextlib.nullcontext):
    """Keeps LIVE requests in flight, in turn of these ways (an alias, and whether it is a stream), while the responder is
    killed again and again. Notes in answered the ids of those that were answered whole with 200. Under stop_writing() it is
    killed when there are LIVE that wait."""
    stop, count = asyncio.Event(), 0
    limits = httpx2.Limits(max_connections=LIVE, max_keepalive_connections=LIVE)

    async with http_client(httpx2.AsyncClient, limits=limits, headers={"authorization": f"Bearer {gw.secret}"}) as http:
        async def one(worker):
            nonlocal count
            while not stop.is_set():
                count += 1
                (alias, stream), request_id = ways[worker % len(ways)], f"kill-{worker}-{count}"
                try:
                    r = await http.post(gw.base + "/chat/completions", headers={"x-request-id": request_id},
                                        json={"model": alias, "messages": MESSAGES, "stream": stream})
                except httpx2.HTTPError:
                    await asyncio.sleep(0.01)  # cut off: that is what was asked for
                    continue
                if r.status_code == 200 and is_whole(stream, r.content):
                    answered.append(request_id)
                elif r.status_code != 200:
                    await asyncio.sleep(0.05)  # lighttpd's own 500 and 503 while there is no process

        async def killer():
            for _ in range(kills):
                before, wanted = len(answered), len(answered) + LIVE
                await when(lambda: len(answered) >= wanted)
                with stop_writing() as writing_stopped:
                    pids = gw.web.responders()
                    if writing_stopped:
                        mark = gw.mock.mark() - LIVE  # what was asked earlier is answered
                        await when(lambda p=pids, m=mark: accepted(p[0]) == LIVE and all(e["answered_at"] for e in gw.mock.seen(since=m)))
                    for pid in pids:
                        os.kill(pid, signal.SIGKILL)
                assert len(answered) > before
            wanted = len(answered) + LIVE
            await when(lambda: len(answered) >= wanted)
            stop.set()
        workers = [asyncio.create_task(one(i)) for i in range(LIVE)]
        try:
            await asyncio.wait_for(killer(), 100 * SLOW)
        finally:
            stop.set()
            await asyncio.gather(*workers)


def check_after_kills(gw, answered):
    """Returns the rows of those that were answered whole: of each one."""
    assert len(set(answered)) == len(answered)
    until("the last rows", lambda: set(answered) <= {i for i, in gw.site.query("select request_id from audit")}, 3)
    rows = {}
    for r in gw.site.audit():
        rows.setdefault(r["request_id"], []).append(r)
    doubled = [i for i in rows if len(rows[i]) != 1]
    assert not doubled, f"{len(doubled)} requests with several rows"
    assert all(rows[i][0]["outcome"] == "ok" for i in answered)
    db = sqlite3.connect(f"{gw.site.data}/weir.db")
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()
    other = gw.alias("ok")
    assert gw.chat(other).status_code == 200
    gw.rows_before = gw.site.mark()
    gw.sent.clear()
    return [rows[i][0] for i in answered]


@pytest.mark.timeout(180)
def test_ten_kills_under_load_lose_no_row_of_a_whole_answer(make_site, make_gw):
    gw = make_gw(make_site())
    answered = []
    asyncio.run(load(gw, [(gw.alias("slow:160"), False), (gw.alias("stream:8:20"), True)], 10, answered))
    assert len(answered) >= 11 * LIVE
    assert all(r["completion_tokens"] > 0 for r in check_after_kills(gw, answered))


@pytest.mark.timeout(120)
def test_five_kills_under_a_load_of_short_answers_lose_no_row_of_any(make_site, make_gw):
    """Whoever wrote their rows sends them. When it is killed, all of them wait for their rows, which cannot be written."""
    gw = make_gw(make_site())
    answered = []
    kept, fetched = gw.alias("ok", cache_ttl=600), gw.alias("slow:100")
    until("a hit", lambda: gw.chat(kept).headers["x-weir-cache"] == "hit")

    @contextlib.contextmanager
    def stop_writing():
        with locked(gw.site, "transaction"):
            yield True
    asyncio.run(load(gw, [(kept, False), (fetched, False), (kept, True), (fetched, False)], 5, answered, stop_writing))
    rows = check_after_kills(gw, answered)
    assert {r["cache"] for r in rows} == {"hit", "bypass"} and len(rows) >= 6 * LIVE
