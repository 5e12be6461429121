"""Input as it must not be: the right 4xx in OpenAI's shape naming the field, in bounded time and memory, and the process
lives on. What lighttpd itself refuses keeps lighttpd's answer."""
import json
import re
import socket
import time

import pytest

from harness import MESSAGES, SLOW, until

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module", autouse=True)
def the_process_lives_on(request):
    """Afterwards the same processes are there and have not grown beyond what two bodies at their limit may cost."""
    web = request.getfixturevalue("web")
    pids, before = set(web.responders()), web.rss()
    yield
    assert set(web.responders()) == pids, "a responder died"
    assert web.rss() - before < 200000, f"grown from {before} to {web.rss()} KB"


@pytest.fixture
def alias(gw):
    a = gw.alias("ok")
    yield a
    assert not gw.seen(a), "a bad request went upstream"


def post(gw, body, path=CHAT, content_type="application/json", headers=None):
    return gw.http().post(path, content=body if isinstance(body, bytes) else body.encode(),
                          headers={"content-type": content_type} | (headers or {}))


def refused(r, status=400, param=None, code=None):
    assert r.status_code == status, (r.status_code, r.text[:300])
    error = r.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert error["message"] and error["type"] and len(r.content) < 2000
    assert r.headers["content-type"] == "application/json" and r.headers["x-request-id"]
    if param:
        assert error["param"] == param, error
    if code:
        assert error["code"] == code, error
    return error


NOT_JSON = {
    "nothing": b"", "space": b"  \n", "half": b'{"model":', "no quotes": b"{model:1}", "single quotes": b"{'model':'x'}",
    "trailing comma": b'{"model":"x",}', "two documents": b'{"model":"x"} {"model":"x"}', "comment": b'{"model":"x"/*c*/}', "NaN": b'{"model":"x","n":NaN}',
    "leading zero": b'{"model":"x","n":01}', "lone minus": b'{"model":"x","n":-}', "plus": b'{"model":"x","n":+1}', "dot": b'{"model":"x","n":1.}',
    "tab in text": b'{"model":"a\tb"}', "newline in text": b'{"model":"a\nb"}', "bad escape": b'{"model":"\\x41"}', "short escape": b'{"model":"\\u12"}',
    "lone surrogate": b'{"model":"x","a":"\\ud800"}', "NUL": b'{"model":"a\0b"}', "NUL after": b'{"model":"x"}\0', "BOM twice": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "invalid UTF-8": b'{"model":"\xff\xfe"}', "overlong": b'{"model":"\xc0\x80"}', "surrogate in UTF-8": b'{"model":"\xed\xa0\x80"}',
    "cut character": b'{"model":"\xe2\x82"}', "UTF-16": '{"model":"x"}'.encode("utf-16"), "gzip": b"\x1f\x8b\x08\0\0\0",
    "form": b"model=x&messages=y", "array": b"[]", "text": b'"model"', "number": b"7", "null": b"null",
    "100000 arrays": b"[" * 100000, "100000 arrays inside": b'{"model":"x","messages":' + b"[" * 100000 + b"]" * 100000 + b"}",
    "100000 objects": b'{"a":' * 100000 + b"1" + b"}" * 100000, "2 MB number": b'{"model":"x","n":' + b"1" * 2000000,
    "2 MB of open text": b'{"model":"' + b"x" * 2000000,
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_no_json_object_is_400(gw, alias, name):
    begun = time.monotonic()
    refused(post(gw, NOT_JSON[name]))
    assert time.monotonic() - begun < 2 * SLOW
    row = gw.audit()
    assert row["outcome"] == "refused" and row["status"] == 400 and row["attempts"] == 0


GOOD = {"model": "MODEL", "messages": MESSAGES}
WRONG = [
    ({"messages": MESSAGES}, "model"), (GOOD | {"model": 5}, "model"), (GOOD | {"model": None}, "model"), (GOOD | {"model": ["x"]}, "model"),
    ({"model": "MODEL"}, "messages"), (GOOD | {"messages": None}, "messages"), (GOOD | {"messages": "hi"}, "messages"),
    (GOOD | {"messages": {}}, "messages"), (GOOD | {"messages": []}, "messages"), (GOOD | {"messages": [5]}, "messages[0]"),
    (GOOD | {"messages": [{"content": "x"}]}, "messages[0].role"), (GOOD | {"messages": [*MESSAGES, {"role": 7, "content": "x"}]}, "messages[1].role"),
    (GOOD | {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (GOOD | {"stream": "true"}, "stream"), (GOOD | {"stream": 1}, "stream"), (GOOD | {"stream_options": 5, "stream": True}, "stream_options"),
    (GOOD | {"stream_options": {"include_usage": "yes"}, "stream": True}, "stream_options.include_usage"),
    (GOOD | {"max_tokens": "many"}, "max_tokens"), (GOOD | {"max_completion_tokens": 1.5}, "max_completion_tokens"),
    (GOOD | {"n": "two"}, "n"), (GOOD | {"temperature": "hot"}, "temperature"), (GOOD | {"top_p": {}}, "top_p"),
    (GOOD | {"tools": {}}, "tools"), (GOOD | {"stop": 5}, "stop"),
]


@pytest.mark.parametrize("body, param", WRONG, ids=[f"{i}-{p}" for i, (_, p) in enumerate(WRONG)])
def test_a_field_of_the_wrong_type_is_named(gw, alias, body, param):
    refused(post(gw, json.dumps(body).replace("MODEL", alias)), param=param)


@pytest.mark.parametrize("body", ['{"model":"MODEL","model":"other","messages":[]}', '{"model":"MODEL","mod\\u0065l":"other","messages":[]}',
                                  '{"messages":[],"stream":true,"model":"MODEL","stream":false}',
                                  '{"model":"MODEL","messages":[],"me\\u0073sages":[]}', '{"model":"MODEL","messages":[],"max_tokens":1,"max_tokens":9}'])
def test_a_field_given_twice_is_not_a_choice(gw, alias, body):
    refused(post(gw, body.replace("MODEL", alias).replace('"messages":[]', '"messages":[{"role":"user","content":"x"}]', 1)))


def test_a_body_of_40_megabytes_is_413_in_openai_s_shape(gw, alias):
    body = b'{"model":"%s","messages":[{"role":"user","content":"%s"}]}' % (alias.encode(), b"x" * (40 << 20))
    refused(post(gw, body), status=413)
    assert gw.audit()["outcome"] == "refused"


def test_a_body_announced_as_huge_is_413_before_it_is_sent(gw, alias):
    answer = gw.raw(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gw.secret}\r\ncontent-type: application/json\r\n"
                    "x-request-id: announced\r\nconnection: close\r\ncontent-length: 999999999999\r\n\r\n{".encode(), close_after=True, count=False)
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"413", b"400")


def test_a_chunked_body_is_put_together_by_the_web_server(gw):
    alias = gw.alias("ok")

    def parts():
        yield b'{"model":"%s",' % alias.encode()
        yield b'"messages":[{"role":"user","content":"x"}]}'
    r = gw.http().post(CHAT, content=parts(), headers={"content-type": "application/json"})
    assert r.status_code == 200 and r.json()["choices"]


def test_no_length_at_all_is_a_4xx(gw, alias):
    answer = gw.raw(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gw.secret}\r\ncontent-type: application/json\r\n"
                    "connection: close\r\nx-request-id: no-length\r\n\r\n".encode(), count=False)
    assert 400 <= int(answer.split(b" ", 2)[1]) < 500, answer


def test_a_body_shorter_than_announced_leaves_nothing_running(gw, alias):
    """lighttpd holds the request back until its body is whole; a client that goes away has sent none."""
    body = json.dumps({"model": alias, "messages": MESSAGES}).encode()
    answer = gw.raw(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gw.secret}\r\ncontent-type: application/json\r\n"
                    f"x-request-id: short\r\nconnection: close\r\ncontent-length: {len(body) + 10}\r\n\r\n".encode() + body,
                    close_after=True, count=False)
    assert answer == b"" or answer.split(b" ", 2)[1].startswith(b"4")


def test_an_endless_header_is_refused_by_the_web_server(gw, alias):
    try:
        with socket.create_connection(("127.0.0.1", gw.web.port), timeout=10) as s:
            s.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-endless: ".encode())
            for _ in range(200):
                s.sendall(b"y" * 10000)
            answer = s.recv(1000)
    except ConnectionError:
        answer = b""
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"431", b"400", b"413")


def test_many_large_headers_below_the_web_server_s_bound_are_survived(gw, alias):
    r = gw.http().post(CHAT, content=b"{", headers={"content-type": "application/json"} | {f"x-h{i}": "y" * 700 for i in range(8)})
    refused(r)


@pytest.mark.parametrize("path", [
    "/v1/chat/completions%00", "/v1%2fchat/completions", "/v1/chat%2Fcompletions", "/v1/../v1/nothing", "/%76%31/nothing", "/v1/chat/completions/",
    "/v1/chat/completions/x", "/v1//chat//completions", "/v1/chat/completions;x=1", "/V1/CHAT/COMPLETIONS", "/v1/chat/completions%0d%0aX:1",
    "/..%2f..%2fetc/passwd", "/v1/%2e%2e/%2e%2e/etc/passwd", "/v1/models/%ff%fe", "/v1/models/%", "/v1/models/%zz", "/v1/models/a%00b",
    "/v1/models/..%2f..%2fx", "/v1/models/" + "x" * 3000, "/v1/models/", "/v1", "/nothing", "/v1/nothing", "/health/x", "//", "/.git/config"])
def test_odd_paths_get_an_answer_of_their_own_and_no_model_call(gw, alias, path):
    """Some are another spelling of a real path (200 or 400 by its own rules), the rest are 404 or the web server's 4xx; none
    is 5xx, and none reaches an upstream (the body names no model)."""
    for method in ("GET", "POST"):
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {gw.secret}\r\n"
        body = "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}" if method == "POST" else "\r\n"
        before = gw.site.mark()
        answer = gw.raw((head + body).encode(), count=False)
        status = int(answer.split(b" ", 2)[1])
        assert status < 500 and (status != 200 or path.startswith(("/v1/models", "//", "/%76"))), (method, path, answer[:500])
        assert b"root:" not in answer
        gw.rows_before += gw.site.mark() - before


@pytest.mark.parametrize("model", ["x" * 10240, "", "\u0000", "a\nb", "../../etc/passwd", "'; DROP TABLE audit; --", "%s%n", "\U0001f30a" * 100, " "])
def test_any_string_that_is_no_alias_is_404(gw, alias, model):
    refused(post(gw, json.dumps({"model": model, "messages": MESSAGES})), status=404, code="model_not_found")
    row = gw.audit()
    assert row["status"] == 404 and row["outcome"] == "refused"


@pytest.mark.parametrize("value, status", [(b"a\x01b", 400), (b"a\x7fb", 400), (b"a\x1b[31mred", 400), (b"\xff\xfe", 200), (b"a\tb", 200)])
def test_control_characters_in_header_values_reach_neither_upstream_nor_log(gw, value, status):
    """lighttpd itself refuses some; it passes on tabs and what is no UTF-8."""
    a = gw.alias("ok")
    body = json.dumps({"model": a, "messages": MESSAGES}).encode()
    request_id = f"ctl-{value.hex()}"
    answer = gw.raw(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {gw.secret}\r\ncontent-type: application/json\r\n"
                    f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\nuser-agent: ".encode() + value + b"\r\nopenai-organization: " + value
                    + b"\r\nx-other: " + value + b"\r\n\r\n" + body, count=status == 200, request_id=request_id)
    assert int(answer.split(b" ", 2)[1]) == status
    for entry in gw.seen(a):
        assert not any(re.search(r"[\x00-\x08\x0a-\x1f\x7f]", v) for _, v in entry["headers"]), entry["headers"]
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", gw.web.log.read_bytes())


def test_a_control_character_in_the_request_id_is_not_echoed(gw):
    a = gw.alias("ok")
    body = json.dumps({"model": a, "messages": MESSAGES}).encode()
    answer = gw.raw(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {gw.secret}\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(body)}\r\nx-request-id: a".encode() + b"\x01b\r\n\r\n" + body, count=False)
    assert b"\x01" not in answer and answer.split(b" ", 2)[1] == b"400"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "json"])
def test_another_content_type_is_415(gw, alias, kind):
    refused(post(gw, json.dumps({"model": alias, "messages": MESSAGES}), content_type=kind), status=415)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"])
def test_json_by_any_of_its_names_is_taken(gw, kind):
    assert post(gw, json.dumps({"model": gw.alias("ok"), "messages": MESSAGES}), content_type=kind).status_code == 200


def test_a_missing_content_type_is_taken_for_json(gw):
    a = gw.alias("ok")
    r = gw.http().post(CHAT, content=json.dumps({"model": a, "messages": MESSAGES}).encode())
    assert r.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [CHAT, "/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_a_wrong_method_is_405_and_says_which_is_right(gw, method, path):
    r = gw.http().request(method, path)
    refused(r, status=405)
    assert "POST" in r.headers["allow"] and method not in r.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/x", "/health", "/", "/readyz"])
def test_posting_to_what_is_only_read_is_405(gw, path):
    r = gw.http().post(path, json={})
    refused(r, status=405)
    assert "GET" in r.headers["allow"]


@pytest.mark.parametrize("path", ["/health", "/", "/readyz", "/v1/models"])
def test_head_is_get_without_a_body(gw, path):
    got, head = gw.http().get(path), gw.http().head(path)
    assert head.status_code == got.status_code == 200 and head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/health"])
def test_options_says_what_is_allowed(gw, path):
    r = gw.transport().request("OPTIONS", gw.url + path)
    assert r.status_code == 204 and not r.content
    assert ("POST" if path == CHAT else "GET") in r.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/health", "/readyz"])
def test_the_public_paths_answer_json_without_a_key(gw, path):
    r = gw.transport().get(gw.url + path)
    assert r.status_code == 200 and isinstance(r.json(), dict) and r.headers["content-type"] == "application/json"
    assert r.headers["x-request-id"]


def test_an_unknown_path_is_404_in_the_caller_s_shape_and_says_what_there_is(gw):
    for r in (gw.http().get("/v1/chat/completion"), gw.http().post("/v1/chat/completion", json={})):
        said = refused(r, status=404, code="not_found")["message"]
        assert said.startswith("There is nothing at /v1/chat/completion here; there are /v1/chat/completions, ") and said.endswith(", /v1/models, /v1/usage.")
    r = gw.http().post("/v1/message", json={}, headers={"anthropic-version": "2023-06-01"})
    assert r.status_code == 404 and r.json()["error"]["type"] == "not_found_error" and "nothing at /v1/message here" in r.json()["error"]["message"]
    refused(gw.http().get("/v1/" + "%c3%a9%22" * 300), status=404)


def test_max_body_is_a_setting_that_holds_from_the_next_request_on(gw):
    a = gw.alias("ok")
    big = json.dumps({"model": a, "messages": [{"role": "user", "content": "x" * 200000}]})
    assert post(gw, big).status_code == 200
    gw.site.weir("settings", "max_body", "100000")
    try:
        refused(post(gw, big), status=413)
    finally:
        gw.site.weir("settings", "max_body", "33554432")
    assert post(gw, big).status_code == 200


def test_a_thousand_bad_requests_do_not_grow_the_process(gw, alias):
    http = gw.http()
    headers = {"content-type": "application/json"}
    bad = [b'{"model":', b'{"model":"no-such","messages":[]}', b"[" * 5000, b'{"model":7}']
    for i in range(100):
        http.post(CHAT, content=bad[i % 4], headers=headers)
    before = gw.web.rss()
    for i in range(900):
        assert 400 <= http.post(CHAT, content=bad[i % 4], headers=headers).status_code < 500
    assert gw.web.rss() - before < 8000
    until("all rows", lambda: gw.site.count(gw.rows_before) == 1000)
