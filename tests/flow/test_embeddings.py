"""Embeddings: the SDKs ask for base64 without saying so, and not every provider can."""
import base64
import json
import struct

import openai
import pytest

import behaviours


def test_the_sdk_s_default_base64_reaches_the_provider_and_comes_back(gw):
    alias = gw.alias("ok")
    got = gw.sdk().embeddings.create(model=alias, input=["a weir", "a dam"])
    assert [d.embedding for d in got.data] == [behaviours.vector("a weir", 8), behaviours.vector("a dam", 8)]
    assert gw.seen(alias)[0]["json"]["encoding_format"] == "base64"
    assert gw.seen(alias)[0]["target"] == "/v1/embeddings"
    row = gw.audit()
    assert row["endpoint"] == "/v1/embeddings" and row["prompt_tokens"] == got.usage.prompt_tokens and row["completion_tokens"] == 0


def test_floats_asked_for_are_the_provider_s_bytes(gw):
    alias = gw.alias("ok")
    r = gw.http().post("/v1/embeddings", json={"model": alias, "input": "x", "encoding_format": "float"})
    steps = behaviours.embeddings(behaviours.Asked(gw.seen(alias)[0], 1))
    assert r.content == base64.b64decode(next(s["send64"] for s in steps if "send64" in s))


@pytest.mark.parametrize("size", [1, 8, 3072])
def test_a_provider_that_answers_floats_to_a_base64_question_is_encoded(gw, size):
    alias = gw.alias("floats-always")
    items = ["one", "two", "three"]
    got = gw.sdk().embeddings.create(model=alias, input=items, dimensions=size)
    assert [d.embedding for d in got.data] == [behaviours.vector(i, size) for i in items]
    r = gw.http().post("/v1/embeddings", json={"model": alias, "input": items, "dimensions": size, "encoding_format": "base64"})
    answer = r.json()
    for item, row in zip(items, answer["data"]):
        assert base64.b64decode(row["embedding"]) == struct.pack(f"<{size}f", *behaviours.vector(item, size))
    assert set(answer) == {"object", "data", "model", "usage"} and [d["index"] for d in answer["data"]] == [0, 1, 2]


@pytest.mark.parametrize("numbers", ["[]", "[0]", "[1e-45, -0.0, 1E+3, 3.4028234e38]", "[1,2 ,\n3]"])
def test_odd_ways_to_write_floats_are_encoded_rightly(gw, numbers):
    alias = gw.alias("script")
    body = '{"object":"list","data":[{"index":0,"object":"embedding","embedding":%s}],"usage":{"prompt_tokens":1,"total_tokens":1}}' % numbers
    gw.mock.script(alias.first, [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", str(len(body))]]},
                                 {"usage": {"prompt_tokens": 1}}, {"send": body}])
    r = gw.http().post("/v1/embeddings", json={"model": alias, "input": "x", "encoding_format": "base64"})
    told = json.loads(numbers)
    assert base64.b64decode(r.json()["data"][0]["embedding"]) == struct.pack(f"<{len(told)}f", *told)


@pytest.mark.parametrize("given", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_every_form_of_input_passes(gw, given):
    alias = gw.alias("ok")
    got = gw.sdk().embeddings.create(model=alias, input=given)
    assert got.data and gw.seen(alias)[0]["json"]["input"] == given


def test_no_encoding_named_passes_as_it_is(gw):
    alias = gw.alias("ok")
    r = gw.http().post("/v1/embeddings", json={"model": alias, "input": "x"})
    assert r.json()["data"][0]["embedding"] == behaviours.vector("x", 8)
    assert "encoding_format" not in gw.seen(alias)[0]["json"]


def test_embeddings_fail_over_too(gw):
    alias = gw.alias("status:503", "ok")
    assert len(gw.sdk().embeddings.create(model=alias, input="x").data[0].embedding) == 8
    assert gw.sent[-1].headers["x-weir-attempts"] == "2"


@pytest.mark.parametrize("body, param", [({}, "input"), ({"input": 5}, "input"), ({"input": "x", "encoding_format": 7}, "encoding_format")])
def test_a_wrong_embeddings_request_is_told_its_field(gw, body, param):
    r = gw.http().post("/v1/embeddings", json={"model": gw.alias("ok")} | body)
    assert r.status_code == 400 and r.json()["error"]["param"] == param


def test_an_unknown_model_is_the_sdk_s_not_found(gw):
    with pytest.raises(openai.NotFoundError) as e:
        gw.sdk().embeddings.create(model="no-such", input="x")
    assert e.value.code == "model_not_found"
