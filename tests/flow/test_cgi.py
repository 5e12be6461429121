"""The same binary as CGI under lighttpd's mod_cgi: nothing may depend on the process living on."""
import concurrent.futures
import os
import socket
import pathlib
import time

import openai
import pytest

import behaviours
from admin_site import logged_in
from harness import MESSAGES, Gateway, Web, _serial, until

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def hosted(site):
    w = Web(site, conf=(HERE / "cgi.conf").read_text(), mount="/llm")
    yield w.start()
    w.stop()


@pytest.fixture
def cgi(hosted, mock):
    from conftest import SECRET
    g = Gateway(hosted, mock, "flow", SECRET)
    yield g
    g.check()


def test_a_plain_chat(cgi):
    alias = cgi.alias("ok")
    got = cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES)
    assert got.choices[0].message.content == "".join(behaviours.WORDS)
    row = cgi.audit()
    assert row["outcome"] == "ok" and row["usage_source"] == "provider"


def test_a_streamed_chat_comes_event_by_event(cgi):
    gate = cgi.gate()
    alias = cgi.alias(f"gated:{gate}")
    with cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True) as s:
        assert next(c for c in s if c.choices[0].delta.content).choices[0].delta.content == behaviours.WORDS[0]
        cgi.mock.go(gate)
        assert "".join(c.choices[0].delta.content or "" for c in s) == "".join(behaviours.WORDS[1:])


def test_an_abandoned_stream_closes_the_upstream_and_leaves_its_row(cgi):
    alias = cgi.alias("stream:200:50")
    s = cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)
    next(iter(s))
    s.close()
    assert cgi.mock.left(alias.first)["by"] == "client"
    assert cgi.audit()["outcome"] == "cancelled"


def test_failover_errors_and_bad_input(cgi):
    alias = cgi.alias("refused/ok", "status:503", "ok")
    assert cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES).choices
    assert cgi.sent[-1].headers["x-weir-attempts"] == "3"
    with pytest.raises(openai.RateLimitError):
        cgi.sdk().chat.completions.create(model=cgi.alias("status:429"), messages=MESSAGES)
    with pytest.raises(openai.NotFoundError):
        cgi.sdk().chat.completions.create(model="no-such", messages=MESSAGES)
    with pytest.raises(openai.AuthenticationError):
        cgi.sdk(secret="sk-weir-wrong" + "0" * 40).chat.completions.create(model="no-such", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError):
        cgi.sdk().chat.completions.create(model=alias, messages="no list")
    with pytest.raises(openai.APIError):
        list(cgi.sdk().chat.completions.create(model=cgi.alias("no-finish"), messages=MESSAGES, stream=True))
    assert cgi.audit()["outcome"] == "truncated"


def test_a_body_of_a_megabyte_comes_through_standard_input(cgi):
    alias = cgi.alias("ok")
    prompt = [{"role": "user", "content": "x" * (1 << 20)}]
    assert cgi.sdk().chat.completions.create(model=alias, messages=prompt).choices
    assert cgi.seen(alias)[0]["json"]["messages"] == prompt


def test_the_other_paths(cgi):
    assert cgi.transport().get(cgi.url + "/health").status_code == 200
    assert cgi.sdk().models.list().data
    assert cgi.http().head("/health").content == b""
    assert cgi.http().get("/v1/nothing").status_code == 404


def test_a_request_names_no_proxy_for_the_calls_it_makes(cgi):
    """CVE-2016-5385: a header Proxy is HTTP_PROXY in the environment of a CGI program."""
    alias = cgi.alias("ok")
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        there = f"http://127.0.0.1:{trap.getsockname()[1]}"
        assert cgi.chat(alias, headers={"proxy": there, "https-proxy": there, "all-proxy": there}).status_code == 200
        with pytest.raises(TimeoutError):
            trap.accept()
    assert len(cgi.seen(alias)) == 1


def test_the_pages_work_as_cgi_too(cgi):
    """One process a request: nothing of a log-in may depend on the memory of one."""
    b = logged_in(cgi.web, f"cgi-{next(_serial)}", "admin")
    page = b.send(b.get("budget"), "budget", kind="team", id="cgi", metric="requests", shape="total", amount="5", period="")
    assert "The limit on team/cgi is in force" in page.said
    b.send(b.send(b.get("budget?scope=team/cgi&metric=requests&shape=total"), "budget-remove"), "budget-remove")
    b.close()


def test_an_abandoned_stream_is_read_on_for_its_figure_under_drain(cgi):
    alias = cgi.alias("stream:8:40")
    cgi.site.weir("settings", "on_disconnect", "drain")
    try:
        s = cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)
        next(iter(s))
        s.close()
        row = cgi.audit()
    finally:
        cgi.site.weir("settings", "on_disconnect", "cancel")
    assert (row["outcome"], row["usage_source"], row["completion_tokens"]) == ("cancelled", "provider", 8)


def test_a_leader_whose_client_leaves_goes_on_for_the_others(cgi):
    """The web server tells the program to end when its client has left; those who follow it have not."""
    gate, whole = cgi.gate(), "".join(behaviours.WORDS)
    alias = cgi.alias(f"gated-each:{gate}", cache_ttl=60)
    cgi.mock.go(gate + "1")

    def ask(stream):
        got = cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=stream)
        return "".join(c.choices[0].delta.content or "" for c in got) if stream else got.choices[0].message.content
    leader = cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)
    next(iter(leader))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        others = [pool.submit(ask, i % 2 == 0) for i in range(4)]
        until("all to be in flight", lambda: cgi.site.open_tickets() == 5, 20)
        leader.close()
        for k in range(2, len(behaviours.WORDS) + 1):
            cgi.mock.go(f"{gate}{k}")
            time.sleep(0.25)  # the web server notices by what it cannot send
        assert [f.result() for f in others] == [whole] * 4
    assert len(cgi.seen(alias)) == 1
    row = until("the leader's row", lambda: [r for r in cgi.site.audit() if r["alias"] == alias and r["cache"] == "miss"])[0]
    assert (row["outcome"], row["usage_source"], row["completion_tokens"]) == ("cancelled", "provider", len(behaviours.WORDS))
    assert ask(False) == whole and cgi.sent[-1].headers["x-weir-cache"] == "hit"


def test_answers_are_kept_and_waited_for_over_processes_that_do_not_stay(cgi):
    gate = cgi.gate()
    alias = cgi.alias(f"gated:{gate}", cache_ttl=60)

    def ask(stream):
        got = cgi.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=stream)
        return "".join(c.choices[0].delta.content or "" for c in got) if stream else got.choices[0].message.content

    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, True)
        cgi.mock.asked(alias.first)
        others = [pool.submit(ask, i % 2 == 0) for i in range(8)]
        until("a follower", lambda: any(f.endswith(".followed") for f in os.listdir(cgi.site.data + "/flight")))
        cgi.mock.go(gate)
        assert [f.result() for f in [first, *others]] == ["".join(behaviours.WORDS)] * 9
    assert len(cgi.seen(alias)) == 1
    assert ask(False) == "".join(behaviours.WORDS) and cgi.sent[-1].headers["x-weir-cache"] == "hit"
    assert {s.headers["x-weir-cache"] for s in cgi.sent} <= {"miss", "joined", "hit"}
