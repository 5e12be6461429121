"""The list of models a caller may use, and each by its id."""
import urllib.parse

import openai
import pytest

from harness import MESSAGES, _serial


def test_the_list_names_the_aliases_and_nothing_of_the_providers(gw):
    alias = gw.alias("ok")
    listed = {m.id: m for m in gw.sdk().models.list()}
    assert alias in listed and alias.first not in listed
    assert listed[alias].object == "model" and listed[alias].created > 1.6e9 and listed[alias].owned_by


def test_the_list_has_openai_s_shape(gw):
    gw.alias("ok")
    r = gw.http().get("/v1/models")
    assert r.status_code == 200 and r.json()["object"] == "list"
    for m in r.json()["data"]:
        assert {"id", "object", "created", "owned_by"} <= set(m) and isinstance(m["created"], int)
    assert r.headers["x-request-id"] and r.headers["content-type"] == "application/json"


def test_a_model_is_found_by_its_id(gw):
    alias = gw.alias("ok")
    got = gw.sdk().models.retrieve(alias)
    assert got.id == alias and got.object == "model"


ODD = ["meta-llama/Llama-3.1:8b", "a b", "50%", "caf\u00e9", "x?y#z", "a+b", "tuned:gpt:org::id", "dots..in", "weird\\slash", "a//b",
       'quote"d', "<b>&"]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_id_is_found_percent_encoded_and_can_be_used(gw, name):
    alias = gw.aliased([("mock", "ok")], name=f"{name}-{next(_serial)}")
    r = gw.http().get("/v1/models/" + urllib.parse.quote(alias, safe=""))
    assert r.status_code == 200 and r.json()["id"] == alias
    assert alias in [m["id"] for m in gw.http().get("/v1/models").json()["data"]]
    got = gw.chat(alias)
    assert got.status_code == 200 and got.json()["choices"]
    assert gw.audit()["alias"] == alias


@pytest.mark.parametrize("name", ["org/team/model", "llama3:8b"])
def test_slashes_and_colons_also_work_unencoded(gw, name):
    alias = gw.aliased([("mock", "ok")], name=f"{name}-{next(_serial)}")
    assert gw.http().get("/v1/models/" + alias).json()["id"] == alias
    assert gw.sdk().models.retrieve(alias).id == alias


def test_an_unknown_model_is_404_in_openai_s_shape(gw):
    with pytest.raises(openai.NotFoundError) as e:
        gw.sdk().models.retrieve("no-such-model")
    assert e.value.code == "model_not_found" and set(e.value.body) == {"message", "type", "param", "code"}


def test_an_unknown_model_in_a_chat_is_404(gw):
    with pytest.raises(openai.NotFoundError) as e:
        gw.sdk().chat.completions.create(model="no-such-model", messages=MESSAGES)
    assert e.value.code == "model_not_found" and e.value.param == "model"
    row = gw.audit()
    assert row["outcome"] == "refused" and row["status"] == 404 and row["attempts"] == 0 and row["provider"] is None


def test_a_restricted_key_sees_and_uses_only_its_models(gw):
    mine, other = gw.alias("ok"), gw.alias("ok")
    secret = gw.site.create_key(f"only-{mine}", "--models", mine)
    assert [m.id for m in gw.sdk(secret).models.list()] == [mine]
    assert gw.sdk(secret).chat.completions.create(model=mine, messages=MESSAGES).choices
    assert gw.audit()["key"] == f"only-{mine}"
    with pytest.raises(openai.PermissionDeniedError) as e:
        gw.sdk(secret).chat.completions.create(model=other, messages=MESSAGES)
    assert e.value.code == "model_not_allowed"
    row = gw.audit()
    assert row["outcome"] == "refused" and row["status"] == 403 and row["key"] == f"only-{mine}"
    with pytest.raises(openai.NotFoundError):
        gw.sdk(secret).models.retrieve(other)
    with pytest.raises(openai.NotFoundError):
        gw.sdk(secret).chat.completions.create(model="no-such-model", messages=MESSAGES)
    assert not gw.seen(other)


def test_models_without_a_key_are_401(gw):
    assert gw.transport().get(gw.base + "/models").status_code == 401
    assert gw.transport().get(gw.base + "/models/x").status_code == 401
