"""Who fails is not asked for a while: breakers, shared by all processes, opened and closed by hand, and found out of use by
probes. How long a breaker is open is told by its row; tests move that, not the clock."""
import contextlib
import os
import pathlib
import socket
import sqlite3
import statistics
import threading
import time

import pytest

import harness
from conftest import SECRET
from harness import Gateway, Web, until

HERE = pathlib.Path(__file__).parent


def row(gw, alias, columns):
    """Of the health of the alias's first target."""
    return gw.site.query(f"SELECT {columns} FROM health WHERE kind = 1 AND name = ?", alias.first)[0]


def pass_time(site):
    """As if every breaker's pause were over."""
    with contextlib.closing(sqlite3.connect(f"{site.data}/weir.db", timeout=10)) as db, db:
        db.execute("UPDATE health SET until = 1 WHERE state <> 0")
    pathlib.Path(site.data, "health.stamp").write_bytes(os.urandom(8))


def fail(gw, alias, times=5):
    http = gw.http()
    for _ in range(times):
        assert gw.chat(alias, http=http).status_code == 503


def state(gw, alias, i=0):
    model = next(m for m in gw.site.json("model", "list") if m["alias"] == alias)
    return model["targets"][i]["state"]


def test_five_failures_open_it_and_then_nobody_is_asked(gw):
    alias = gw.alias("status:503")
    fail(gw, alias, 4)
    assert state(gw, alias) == "closed"
    fail(gw, alias, 1)
    assert state(gw, alias) == "open"
    r = gw.chat(alias)
    assert r.status_code == 503 and r.json()["error"]["code"] == "upstream_error" and 1 <= int(r.headers["retry-after"]) <= 10
    assert len(gw.seen(alias)) == 5 and gw.audit()["attempts"] == 0 and gw.audit()["outcome"] == "failed"
    provider = next(p for p in gw.site.json("provider", "list") if p["name"] == "mock")
    assert provider["breaker"] == "open" and provider["failures"] == 5 and "503" in provider["error"]


def test_another_model_of_the_provider_is_not_touched(gw):
    bad, good = gw.alias("status:503"), gw.alias("ok")
    fail(gw, bad)
    assert gw.chat(good).status_code == 200


def test_a_success_between_keeps_it_closed(gw):
    alias = gw.alias("flaky:4:503")
    fail(gw, alias, 4)
    assert gw.chat(alias).status_code == 200
    assert state(gw, alias) == "closed" and row(gw, alias, "failures") == (0,)


@pytest.mark.parametrize("behaviour", ["status:400", "status:422", "cut-after-content", "no-finish"])
def test_what_is_not_the_target_s_failure_opens_nothing(gw, behaviour):
    alias = gw.alias(behaviour)
    for _ in range(6):
        gw.chat(alias, stream=behaviour[0] != "s")
    assert state(gw, alias) == "closed" and len(gw.seen(alias)) == 6


def test_when_its_pause_is_over_one_request_finds_out(gw):
    alias = gw.alias("flaky:6:503")
    fail(gw, alias)
    pass_time(gw.site)
    assert state(gw, alias) == "half_open"
    fail(gw, alias, 1)
    assert state(gw, alias) == "open" and len(gw.seen(alias)) == 6
    assert row(gw, alias, "until - updated") == (20000,)
    pass_time(gw.site)
    assert gw.chat(alias).status_code == 200
    assert state(gw, alias) == "closed"


@pytest.fixture
def elsewhere(gw):
    """The same requests to another process of the same data."""
    w = Web(gw.site)
    w.start()
    yield gw.transport(base_url=w.url, headers={"authorization": f"Bearer {SECRET}"})
    w.stop()


def test_only_one_probe_at_a_time_over_all_processes(gw, elsewhere):
    """Many at once, to two processes: one gets through to the target, the others are served by the next."""
    gate, here = gw.gate(), gw.http()
    alias = gw.alias("script", "ok")
    gw.usage_checked = False
    failure = [{"status": 503, "headers": [["content-length", "2"], ["content-type", "application/json"]]}, {"send": "{}"}]
    gw.mock.script(alias.first, failure)
    for _ in range(5):
        assert gw.chat(alias).status_code == 200
    gw.mock.script(alias.first, [{"gate": gate}] + failure)
    pass_time(gw.site)
    answers = []
    threads = [threading.Thread(target=lambda h=h: answers.append(gw.chat(alias, http=h).status_code)) for h in (here, elsewhere) * 8]
    for t in threads:
        t.start()
    until("all but the probe served", lambda: len(answers) >= 15, 10)
    gw.mock.go(gate)
    for t in threads:
        t.join()
    assert answers == [200] * 16 and len(gw.seen(alias)) == 6


def test_what_one_process_finds_out_the_others_know(gw, elsewhere):
    alias = gw.alias("status:503", "ok")
    for _ in range(5):
        assert gw.chat(alias).headers["x-weir-attempts"] == "2"
    assert gw.chat(alias, http=elsewhere).headers["x-weir-attempts"] == "1"


def test_programs_that_serve_one_request_share_it_too(site, mock):
    w = Web(site, conf=(HERE / "cgi.conf").read_text(), mount="/llm")
    w.start()
    try:
        cgi = Gateway(w, mock, "flow", SECRET)
        alias = cgi.alias("status:503", "ok")
        for _ in range(5):
            assert cgi.chat(alias).headers["x-weir-attempts"] == "2"
        assert cgi.chat(alias).headers["x-weir-attempts"] == "1"
        target = next(m for m in site.json("model", "list") if m["alias"] == alias)["targets"][1]
        assert target["requests"] == 6, "what a CGI program counts is written at its end"
        cgi.check()
    finally:
        w.stop()


def test_by_hand(gw):
    alias = gw.alias("other/ok", "ok")
    assert gw.chat(alias).headers["x-weir-provider"] == "other"
    gw.site.weir("provider", "open", "other")
    assert gw.chat(alias).headers["x-weir-provider"] == "mock"
    listed = next(p for p in gw.site.json("provider", "list") if p["name"] == "other")
    assert listed["breaker"] == "open" and listed["forced"] == "open"
    assert "switched off" in gw.site.weir("doctor", check=False).stdout
    gw.site.weir("provider", "auto", "other")
    assert gw.chat(alias).headers["x-weir-provider"] == "other"
    bad = gw.alias("status:503")
    fail(gw, bad)
    gw.site.weir("provider", "close", "mock")
    assert gw.chat(bad).headers["x-weir-attempts"] == "1" and len(gw.seen(bad)) == 6
    gw.site.weir("provider", "auto", "mock")
    assert state(gw, bad) == "closed"
    assert gw.site.weir("provider", "open", "nobody", check=False).returncode == 1


@pytest.mark.alone
def test_an_open_breaker_costs_the_next_caller_nothing(gw):
    dead, alone = gw.alias("hasty/stall-before", "ok"), gw.alias("ok")
    gw.usage_checked = False
    http = gw.http()

    def times(alias, n=40):
        out = []
        for _ in range(n):
            begun = time.perf_counter()
            assert gw.chat(alias, http=http).status_code == 200
            out.append(time.perf_counter() - begun)
        return statistics.median(out)
    for _ in range(5):
        assert gw.chat(dead, http=http).headers["x-weir-attempts"] == "2"
    assert gw.chat(dead, http=http).headers["x-weir-attempts"] == "1"
    assert times(dead) < times(alone) * 1.5 + 0.002


def test_an_upstream_that_comes_back_is_noticed_without_a_request(make_site, mock, make_gw):
    """Its port is closed, then open: the prober's own look closes the breaker."""
    site = make_site()
    port = harness.free_port()
    site.apply({"providers": [{"name": "lost", "dialect": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "keys": []}]})
    gw = make_gw(site)
    alias = gw.aliased([("lost", "ok")])
    for _ in range(5):
        assert gw.chat(alias).status_code == 502
    assert state(gw, alias) == "open"
    assert next(p for p in site.json("provider", "list") if p["name"] == "lost")["health"] == "disconnected"
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(8)

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    c, _ = s.accept()
                    with c:
                        c.recv(4096)
                        c.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        threading.Thread(target=answer, daemon=True).start()
        pass_time(site)
        until("the breaker closed", lambda: state(gw, alias) == "closed", 8)
        assert next(p for p in site.json("provider", "list") if p["name"] == "lost")["health"] == "connected"
        s.shutdown(socket.SHUT_RDWR)


def test_tick_probes_where_no_process_stays(make_site, mock):
    site = make_site()
    done = site.json("tick")
    assert done["upstreams_probed"] >= 4 and done["upstreams_alive"] < done["upstreams_probed"]
    health = {p["name"]: p["health"] for p in site.json("provider", "list")}
    assert health["mock"] in ("connected", "slow") and health["refused"] == "disconnected"
    assert site.json("tick")["upstreams_probed"] == 0
