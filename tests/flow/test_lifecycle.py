"""Starting, stopping and too much load: what is in flight ends well, what is refused is told so."""
import json
import os
import pathlib
import re
import signal
import sqlite3
import threading
import time

import openai
import pytest

import behaviours
from harness import MESSAGES, SLOW, Web, _serial, exited, until

WHOLE = "".join(behaviours.WORDS)


class Call(threading.Thread):
    """One chat in a thread of its own."""

    def __init__(self, gw, alias, stream):
        super().__init__()
        self.gw, self.alias, self.stream, self.got, self.error = gw, alias, stream, "", None
        self.begun = threading.Event()
        self.client = gw.sdk()
        self.start()

    def run(self):
        try:
            got = self.client.chat.completions.create(model=self.alias, messages=MESSAGES, stream=self.stream)
            if not self.stream:
                self.got = got.choices[0].message.content
            else:
                for c in got:
                    self.got += c.choices[0].delta.content or ""
                    self.begun.set()
        except openai.OpenAIError as e:
            self.error = e
        finally:
            self.begun.set()

    def end(self):
        self.join(20 * SLOW)
        assert not self.is_alive()
        return self.got


def terminate(gw):
    pid, = gw.web.responders()
    os.kill(pid, signal.SIGTERM)
    return pid


def ended_well(gw):
    """lighttpd logs how each child ended: "child exited: 0 ..." or "... signaled: 9"."""
    log = gw.web.log.read_text()
    assert "signaled" not in log and "Sanitizer" not in log, log[-2000:]
    return all(line.split("exited: ")[1].split()[0] == "0" for line in log.splitlines() if "exited: " in line)


@pytest.fixture
def own(make_site, make_gw):
    """A gateway of the test's own, in a data directory of its own."""
    return lambda **env: make_gw(make_site(), **env)


def test_a_stopping_process_ends_what_is_in_flight_and_exits_0(own):
    gw = own(WEIR_DRAIN_S=10)
    gate = gw.gate()
    plain, stream = gw.alias(f"gated:{gate}"), gw.alias(f"gated:{gate}")
    calls = [Call(gw, plain, False), Call(gw, stream, True)]
    gw.mock.asked(plain.first)
    assert calls[1].begun.wait(5)
    pid = terminate(gw)
    gw.web.alive()  # lighttpd starts no second process while this one lives: a new request may fail, but must not hang
    assert not exited(pid), "it did not wait for its requests"
    gw.mock.go(gate)
    assert [c.end() for c in calls] == [WHOLE, WHOLE]
    until("the old process to end", lambda: exited(pid), 5)
    assert [r["outcome"] for r in gw.site.audit() if r["alias"] in (plain, stream)] == ["ok", "ok"]
    until("new requests to work", gw.web.alive)
    assert ended_well(gw)


def test_what_does_not_end_in_time_is_ended_told_and_written_down(own):
    gw = own(WEIR_DRAIN_S=1)
    stream, plain = gw.alias("stall-mid"), gw.alias("stall-before")
    calls = [Call(gw, stream, True), Call(gw, plain, False)]
    assert calls[0].begun.wait(5)
    gw.mock.asked(plain.first)
    begun = time.monotonic()
    pid = terminate(gw)
    until("the process to end", lambda: exited(pid), 5)
    assert 0.9 < time.monotonic() - begun < 3 * SLOW
    calls[0].end()
    calls[1].end()
    assert isinstance(calls[0].error, openai.APIError), "a stream that was ended looks whole"
    assert isinstance(calls[1].error, openai.APIError)
    assert gw.mock.left(stream.first)["by"] == "client"
    assert [r["outcome"] for r in gw.rows(stream)] == ["truncated"]
    assert [r["outcome"] for r in gw.rows(plain)] == ["failed"]
    until("new requests to work", gw.web.alive)
    assert gw.chat(gw.alias("ok")).status_code == 200


@pytest.mark.alone
def test_an_idle_process_stops_at_once(own):
    gw = own()
    assert gw.chat(gw.alias("ok")).status_code == 200
    begun = time.monotonic()
    pid = terminate(gw)
    until("the process to end", lambda: exited(pid), 3)
    assert time.monotonic() - begun < 1 * SLOW


def test_the_web_server_s_own_stop_leaves_no_process_and_a_sound_database(own):
    gw = own()
    alias = gw.alias("ok")
    for _ in range(20):
        assert gw.chat(alias).status_code == 200
    pids = gw.web.responders()
    gw.web.stop()
    until("the responders to end", lambda: all(exited(p) for p in pids))
    db = sqlite3.connect(f"{gw.site.data}/weir.db")
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    assert db.execute("select count(*) from audit").fetchone() == (20,)
    db.close()


def test_a_web_server_started_again_serves_as_before(own):
    gw = own()
    alias = gw.alias("ok")
    assert gw.chat(alias).status_code == 200
    gw.web.stop()
    gw.web.start()
    assert gw.chat(alias).status_code == 200


@pytest.mark.alone
def test_overload_is_told_as_such_and_over_when_it_is_over(own):
    """Five times as many connections as threads: each gets 200 or 503, and a request succeeds within a second after."""
    gw = own(WEIR_THREADS_MAX=8)
    gw.overloads = True
    alias, other = gw.alias("slow:150"), gw.alias("ok")
    answers, lock = [], threading.Lock()
    stop = time.monotonic() + 2

    def load():
        http = gw.http()
        while time.monotonic() < stop:
            r = gw.chat(alias, http)
            with lock:
                answers.append(r)
    threads = [threading.Thread(target=load) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ended = time.monotonic()
    until("a request to succeed", lambda: gw.chat(other).status_code == 200, 1)
    assert time.monotonic() - ended < 1 * SLOW
    codes = {r.status_code for r in answers}
    assert codes == {200, 503}, codes
    for r in answers:
        if r.status_code == 503:
            error = r.json()["error"]
            assert error["code"] == "overloaded" and set(error) == {"message", "type", "param", "code"}
            assert 0 < int(r.headers["retry-after"]) <= 60 and r.headers["x-request-id"]
    assert len(gw.mock.seen(alias.first)) == sum(r.status_code == 200 for r in answers)
    assert max(overlap(gw.mock.seen(alias.first))) <= 8


def overlap(entries):
    """How many were in flight at each arrival."""
    for e in entries:
        yield sum(o["read_at"] <= e["read_at"] < (o["answered_at"] or 1e18) for o in entries)


def test_more_requests_than_idle_threads_run_side_by_side(own):
    """Few threads when few suffice; but waiting ones must not queue behind each other."""
    gw = own()
    gate = gw.gate()
    alias = gw.alias(f"gated:{gate}")
    calls = [Call(gw, alias, False) for _ in range(60)]
    gw.mock.asked(alias.first, 60)
    gw.mock.go(gate)
    assert {c.end() for c in calls} == {WHOLE}


@pytest.mark.alone
def test_a_new_process_answers_within_a_second_and_a_half_of_the_old_one_s_end(make_site):
    w = Web(make_site())
    w.start()
    try:
        pid, = w.responders()
        os.kill(pid, signal.SIGTERM)
        until("the process to end", lambda: exited(pid))
        begun = time.monotonic()
        until("an answer", w.alive, 5)
        assert time.monotonic() - begun < 1.5 * SLOW, "lighttpd looks for dead processes once a second"
    finally:
        w.stop()


def test_a_database_that_is_written_by_another_holds_requests_back_and_loses_none(own):
    """What cannot be booked does not go upstream; as soon as it can be, it does."""
    gw = own()
    alias, warm = gw.alias("ok"), gw.alias("ok")
    assert gw.chat(warm).status_code == 200
    db = sqlite3.connect(f"{gw.site.data}/weir.db", isolation_level=None, timeout=5)
    db.execute("begin immediate")
    call = Call(gw, alias, False)
    begun = time.monotonic()
    until("half a second", lambda: gw.seen(alias) or time.monotonic() - begun > 0.5)
    assert not gw.seen(alias), "sent upstream before it was booked"
    assert call.is_alive(), f"not held back but answered: {call.error}"
    db.execute("rollback")
    db.close()
    assert call.end() == WHOLE
    assert gw.audit()["outcome"] == "ok" and len(gw.seen(alias)) == 1


def test_settings_of_the_environment_that_are_nonsense_do_not_keep_it_from_starting_or_say_why(make_site):
    w = Web(make_site(), WEIR_THREADS_MAX="many", WEIR_DRAIN_S="-1", WEIR_LOG_LEVEL="loud")
    w.start(ready=None)
    try:
        until("an answer or a word in the log", lambda: w.alive() or "WEIR_" in w.log.read_text(), 10)
    finally:
        w.process.send_signal(signal.SIGTERM)
        w.process.wait(15)


def test_ids_serve_all_log_lines_of_a_request(own):
    """The log is one JSON object a line, and a failed attempt can be found by the caller's request id."""
    gw = own(WEIR_LOG_LEVEL="debug")
    alias = gw.alias("status:500", "ok")
    r = gw.chat(alias, headers={"x-request-id": f"find-me-{next(_serial)}"})
    assert r.status_code == 200
    lines = [line for line in gw.web.log.read_text().splitlines() if line.startswith("{")]
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)
    assert gw.secret not in gw.web.log.read_text()


@pytest.mark.skipif(SLOW > 1, reason="a sanitizer's report is written outside the fence")
def test_a_responder_serves_from_behind_its_fence(gw):
    assert gw.sdk().chat.completions.create(model=gw.alias("ok"), messages=MESSAGES).choices
    for pid in gw.web.responders():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{pid}/limits").read_text())
