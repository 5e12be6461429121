"""The mock provider itself, without Weir: a suite that stands on it must know that it does what its models' names say."""
import json
import socket

import httpx2
import openai
import pytest

import behaviours
import harness

MESSAGES = harness.MESSAGES


@pytest.fixture
def direct(mock):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{mock.port}/v1", api_key=harness.PROVIDER_KEY, max_retries=0,
                         http_client=harness.http_client(timeout=5))


def words(stream):
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


STREAMED_WHOLE = ["ok", "stream:5:2", "dribble", "split-random:3", "crlf", "no-space-data", "comments", "event-ids", "two-data-lines", "no-done",
                  "last-line-open", "after-done", "huge-line:200000", "empty-first-event", "gzip", "until-eof", "usage-in-finish",
                  "usage-everywhere", "groq-usage", "no-usage", "wrong-content-type", "reasoning", "cut-after-finish"]


@pytest.mark.parametrize("model", STREAMED_WHOLE)
def test_a_behaviour_said_to_be_whole_is_understood_by_the_sdk(direct, model):
    stream = direct.chat.completions.create(model=model, messages=MESSAGES, stream=True)
    got, finish = "", None
    try:
        for c in stream:
            for choice in c.choices:
                got += choice.delta.content or ""
                finish = choice.finish_reason or finish
    except openai.APIConnectionError:
        assert model == "cut-after-finish"
    assert got and finish == "stop"


def test_every_split_of_the_stream_carries_the_same_bytes(mock):
    def raw(model):
        with httpx2.stream("POST", f"http://127.0.0.1:{mock.port}/v1/chat/completions", trust_env=False, verify=harness.TRUST,
                           json={"model": model, "messages": MESSAGES, "stream": True}) as r:
            return b"".join(r.iter_raw()).replace(model.split(":")[0].encode(), b"NAME")
    assert raw("dribble") == raw("split-random:9") == raw("ok").replace(b"it-ok", b"it-NAME")


@pytest.mark.parametrize("code, kind", [(400, openai.BadRequestError), (401, openai.AuthenticationError),
                                        (404, openai.NotFoundError), (429, openai.RateLimitError), (529, openai.InternalServerError)])
def test_an_error_by_name_has_that_status(direct, code, kind):
    with pytest.raises(kind) as e:
        direct.chat.completions.create(model=f"status:{code}", messages=MESSAGES)
    assert e.value.code == f"mock_{code}"


@pytest.mark.parametrize("model", ["cut-before", "reset-before", "cut-head", "short-body"])
def test_a_cut_by_name_is_one(direct, model):
    with pytest.raises(openai.APIConnectionError):
        direct.chat.completions.create(model=model, messages=MESSAGES)


def test_a_client_that_leaves_is_noticed_at_once(direct, mock):
    stream = direct.chat.completions.create(model="stall-mid#left", messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    closed = mock.left("stall-mid#left", 1)
    assert closed["by"] == "client" and not closed["answered"]


def test_a_gate_holds_the_stream_until_it_is_opened(direct, mock):
    stream = direct.chat.completions.create(model="gated:g1#gate", messages=MESSAGES, stream=True)
    first = [next(stream), next(stream)]
    assert first[1].choices[0].delta.content == behaviours.WORDS[0]
    mock.go("g1")
    assert words(stream) == "".join(behaviours.WORDS[1:])


def test_a_script_is_followed_and_what_came_is_kept(direct, mock):
    mock.script("script#1", [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", "2"]]}, {"send": "{}"}])
    direct.chat.completions.with_raw_response.create(model="script#1", messages=MESSAGES)
    entry = mock.seen("script#1")[0]
    assert entry["target"] == "/v1/chat/completions" and json.loads(entry["body"])["messages"] == MESSAGES


def test_all_behaviours_answer_or_wait_without_a_fault_of_the_mock(mock):
    forever = {"stall-before", "stall-head", "stall-role", "stall-mid", "gated", "gated-each", "drip", "endless-line",
               "endless-line-first", "endless-head", "endless-body", "endless-roles", "after-done", "gzip-bomb", "slow"}
    for name in behaviours.BEHAVIOURS:
        for streamed in (False, True):
            body = json.dumps({"model": name + "#all", "stream": streamed, "messages": []}).encode()
            with socket.create_connection(("127.0.0.1", mock.port), timeout=5) as s:
                s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                if name in forever:
                    continue
                try:
                    while s.recv(65536):
                        pass
                except ConnectionResetError:
                    assert name.startswith("reset") or name == "moody"  # which fails by the clock, now and then by a reset


def test_embeddings_in_both_encodings_are_the_same_numbers(direct):
    as_text = direct.embeddings.create(model="ok", input=["a", "b"])
    floats = direct.embeddings.create(model="ok", input=["a", "b"], encoding_format="float")
    assert [d.embedding for d in as_text.data] == [d.embedding for d in floats.data]
