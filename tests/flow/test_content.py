"""What setting audit_content keeps: nothing, what was asked, or the answer too; sealed, bounded, readable by one command, and
gone with time."""
import json
import pathlib
import sqlite3

import pytest

import behaviours
from harness import MESSAGES, NO_ROW

WHOLE = "".join(behaviours.WORDS)
MOST = 256 << 10


@pytest.fixture
def keeping(gw):
    """keeping("all") sets it for one test."""
    yield lambda what: gw.site.weir("settings", "audit_content", what)
    gw.site.weir("settings", "audit_content", "none")


def content(gw, which=-1, site=None):
    """What is kept of one sent request, once its row is there; None: nothing."""
    gw.audit(which)
    done = (site or gw.site).weir("audit", "--content", gw.sent[which].id, check=False)
    assert done.returncode in (0, 1), done.stderr
    if done.returncode == 1:
        assert not done.stdout and "nothing is kept" in done.stderr, done.stderr
        return None
    line, = done.stdout.splitlines()
    return json.loads(line)


def texts(found):
    """{(choice, kind): text} of a stream's answer."""
    return {(p["choice"], kind): p[kind] for p in found["answer"] for kind in ("text", "reasoning", "refusal", "arguments") if kind in p}


def drain(gw, alias, **fields):
    r = gw.chat(alias, stream=True, **fields)
    assert r.status_code == 200
    return r.content


def test_nothing_is_kept_unless_it_is_asked_for(gw):
    assert json.loads(gw.site.weir("settings", "audit_content", "--json").stdout)[0] | {"meaning": ""} == {
        "name": "audit_content", "value": "none", "default": "none", "kind": "run time", "meaning": ""}
    alias = gw.alias("ok")
    before = gw.site.query("select count(*) from content")
    assert gw.chat(alias).status_code == 200
    assert content(gw) is None
    drain(gw, alias)
    assert content(gw) is None
    assert gw.site.query("select count(*) from content") == before


def test_prompt_keeps_the_request_as_it_was_sent_and_no_answer(gw, keeping):
    keeping("prompt")
    alias = gw.alias("ok")
    body = '{"model":"%s",\n\t"messages" : [{"role":"user","content":"tab\\tand \\u00fc and ü"}], "x_unknown": [1, 2.50]}' % alias
    r = gw.http().post("/v1/chat/completions", content=body.encode(), headers={"content-type": "application/json"})
    assert r.status_code == 200
    found = content(gw)
    assert found["prompt"] == json.loads(body) and found["prompt_cut"] is False
    assert found["answer"] is None and found["answer_cut"] is False
    assert found["request_id"] == gw.sent[-1].id and found["time"] == gw.audit()["time"]
    drain(gw, alias)
    found = content(gw)
    assert found["prompt"] == {"model": alias, "messages": MESSAGES, "stream": True} and found["answer"] is None


def test_all_keeps_a_plain_answer_as_it_was_told(gw, keeping):
    keeping("all")
    chat = gw.chat(gw.alias("ok"))
    assert content(gw)["answer"] == chat.json()
    http = gw.http()
    r = http.post("/v1/completions", json={"model": gw.alias("ok"), "prompt": "Say"})
    assert content(gw)["answer"] == r.json() and content(gw)["prompt"]["prompt"] == "Say"
    r = http.post("/v1/embeddings", json={"model": gw.alias("ok"), "input": "x"})
    assert r.status_code == 200 and content(gw)["answer"] == r.json()


def test_all_keeps_a_streams_texts_without_its_events(gw, keeping):
    keeping("all")
    drain(gw, gw.alias("ok"))
    found = content(gw)
    assert found["answer"] == [{"choice": 0, "text": WHOLE}] and found["answer_cut"] is False
    drain(gw, gw.alias("tool-deltas"))
    call, = content(gw)["answer"]
    assert call["tool"] and call["arguments"] == "".join(behaviours.TOOL_ARGUMENTS)
    drain(gw, gw.alias("two-choices"), n=2)
    assert {c for c, _ in texts(content(gw))} == {0, 1}
    drain(gw, gw.alias("reasoning"))
    assert (0, "reasoning") in texts(content(gw))
    for odd in ("crlf", "two-data-lines", "comments", "dribble"):
        drain(gw, gw.alias(odd))
        assert content(gw)["answer"] == [{"choice": 0, "text": WHOLE}], odd
    http = gw.http()
    r = http.post("/v1/completions", json={"model": gw.alias("ok"), "prompt": "Say", "stream": True})
    assert r.status_code == 200 and content(gw)["answer"] == [{"choice": 0, "text": WHOLE}]


def test_of_what_is_refused_nothing_is_kept(gw, keeping):
    keeping("all")
    alias = gw.alias("ok")
    before = gw.site.query("select count(*) from content")
    assert gw.chat("no-such-model").status_code == 404
    assert content(gw) is None
    assert gw.chat(alias, messages="none").status_code == 400
    assert content(gw) is None
    gw.site.weir("limit", "set", f"model/{alias}", "--metric", "requests", "--shape", "total", "--amount", "1")
    assert gw.chat(alias).status_code == 200
    assert gw.chat(alias).status_code == 429
    assert content(gw) is None
    assert gw.site.query("select count(*) from content")[0][0] == before[0][0] + 1


def test_a_broken_answer_is_kept_as_far_as_it_went(gw, keeping):
    keeping("all")
    drain(gw, gw.alias("cut-after-content"))
    text, rest = content(gw)["answer"]
    assert text == {"choice": 0, "text": "".join(behaviours.WORDS[:3])}
    assert rest["events"][0]["error"]["code"] == "upstream_error"
    r = gw.chat(gw.alias("status:400"))
    assert r.status_code == 400 and content(gw)["answer"] == r.json()
    drain(gw, gw.aliased([("mock", "cut-role#keep"), ("mock", "ok#keep")]))
    assert content(gw)["answer"] == [{"choice": 0, "text": WHOLE}], "what a failed attempt said was not delivered"


@pytest.mark.parametrize("policy", ["cancel", "drain"])
def test_a_caller_who_leaves_has_been_given_what_is_kept(gw, keeping, policy):
    keeping("all")
    gw.site.weir("settings", "on_disconnect", policy)
    try:
        alias = gw.alias("stream:60:20")
        stream = gw.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True)
        next(c for c in stream if c.choices and c.choices[0].delta.content)
        stream.close()
        found = content(gw)
        assert gw.audit()["outcome"] == "cancelled"
        text = texts(found)[0, "text"]
        whole = "".join(f"w{i} " for i in range(60))
        assert text and whole.startswith(text) and text != whole, text
    finally:
        gw.site.weir("settings", "on_disconnect", "cancel")


def test_what_is_too_long_is_cut_and_marked(gw, keeping):
    keeping("all")
    alias = gw.alias(f"long:{2 * MOST}")
    prompt = "ä" * MOST
    r = gw.http().post("/v1/chat/completions", content=json.dumps({"model": alias, "messages": [{"role": "user", "content": prompt}]},
                                                                  ensure_ascii=False).encode(), headers={"content-type": "application/json"})
    assert r.status_code == 200
    found = content(gw)
    assert found["prompt_cut"] and found["prompt"].startswith('{"model": "' + alias) and found["prompt"].endswith("ä")
    assert MOST - 1 <= len(found["prompt"].encode()) <= MOST
    assert found["answer_cut"] and len(found["answer"].encode()) == MOST and r.text.startswith(found["answer"])
    alias = gw.alias("script")
    chunks = [{"choices": [{"index": 0, "delta": {"content": letter * (60 << 10)}, "finish_reason": None}]} for letter in "abcde"]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    gw.mock.script(alias.first, behaviours.sse_head() + [{"send": behaviours.data(c)} for c in [*chunks, "[DONE]"]] + [{"end": True}])
    drain(gw, alias)
    found = content(gw)
    assert found["answer_cut"] and not found["prompt_cut"]
    assert found["answer"] == [{"choice": 0, "text": "".join(letter * (60 << 10) for letter in "abcd")}]


def test_nothing_of_it_stands_in_any_file(make_site, make_gw):
    site = make_site()
    site.weir("settings", "audit_content", "all")
    gw = make_gw(site, WEIR_LOG_LEVEL="debug")
    asked, said = "marker-that-was-asked", "regulate"
    messages = [{"role": "user", "content": asked}]
    gw.chat(gw.alias("ok"), messages=messages)
    drain(gw, gw.alias("ok"), messages=messages)
    drain(gw, gw.alias("cut-after-content"), messages=messages)
    gw.chat(gw.alias("status:500"), messages=messages)
    assert asked in site.weir("audit", "--content", gw.sent[0].id).stdout and said in site.weir("audit", "--content", gw.sent[1].id).stdout

    def scan(when):
        files = [p for p in pathlib.Path(site.data).rglob("*") if p.is_file()]
        assert {"weir.db", "weir.db-wal"} <= {p.name for p in files} or when == "moved"
        for p in files:
            raw = p.read_bytes()
            for word in (asked, said, "measure"):
                assert word.encode() not in raw and word.encode("utf-16-le") not in raw, f"{word} stands in {p} ({when})"
    scan("written")
    site.weir("tick")
    scan("moved")
    assert said not in site.weir("export").stdout + site.weir("audit", "--json").stdout


def test_it_goes_by_its_own_age_and_with_its_row(make_site, make_gw):
    site = make_site()
    site.weir("settings", "audit_content", "prompt")
    gw = make_gw(site)
    alias = gw.alias("ok")
    for _ in range(4):
        assert gw.chat(alias).status_code == 200
    kept = [content(gw, i) is not None for i in range(4)]
    assert kept == [True] * 4

    def age(table, request_id, days):
        db = sqlite3.connect(f"{site.data}/weir.db", timeout=10)
        db.execute(f"update {table} set time = time - ? where request_id = ?", (days * 86400000, request_id))
        db.commit()
        db.close()

    def tick():
        return json.loads(site.weir("tick", "--json").stdout)
    age("content", gw.sent[0].id, 29)
    assert tick()["contents_deleted"] == 0
    age("content", gw.sent[0].id, 2)
    done = tick()
    assert done["contents_deleted"] == 1 and done["audit_rows_deleted"] == 0
    assert content(gw, 0) is None and content(gw, 1)
    site.weir("settings", "audit_content_keep_days", "0")
    age("content", gw.sent[1].id, 300)
    assert tick()["contents_deleted"] == 0
    site.weir("settings", "audit_keep_rows", "2")
    assert tick()["audit_rows_deleted"] == 2
    assert site.query("select request_id from content order by ticket") == [(gw.sent[2].id,), (gw.sent[3].id,)]
    for s in gw.sent[:2]:
        s.row = NO_ROW  # it had one
    gw.usage_checked = False


def test_the_books_do_not_wait_for_content_that_cannot_be_written(make_site, make_gw):
    site = make_site()
    site.weir("settings", "audit_content", "all")
    db = sqlite3.connect(f"{site.data}/weir.db")
    db.execute("create trigger broken before insert on content begin select raise(abort, 'no room'); end")
    db.close()
    gw = make_gw(site)
    gw.site.weir("limit", "set", "user/ada", "--metric", "tokens", "--shape", "total", "--amount", "100000")
    r = gw.chat(gw.alias("ok"))
    assert r.status_code == 200 and gw.audit()["completion_tokens"] == r.json()["usage"]["completion_tokens"]
    assert gw.chat(gw.alias("ok")).status_code == 200, "writing works, and was taken for broken"
    assert site.query("select count(*) from content") == [(0,)] and site.books() == 0
    dropped = [json.loads(line) for line in gw.web.log.read_text().splitlines() if "content_dropped" in line]
    assert [d["request_id"] for d in dropped] == [s.id for s in gw.sent]


def test_the_command_says_what_it_cannot_do(gw):
    for words in (("--user", "ada"), ("--follow",), ("--since", "1h"), ("--limit", "3")):
        done = gw.site.weir("audit", "--content", "x", *words, check=False)
        assert done.returncode == 2 and "--content" in done.stderr
    done = gw.site.weir("audit", "--content", "no-such-request", check=False)
    assert done.returncode == 1 and "no-such-request" in done.stderr and not done.stdout
    assert gw.site.weir("audit", "--content", "x" * 200, check=False).returncode == 1
