"""`weir provider test` and `weir model import`: a provider is really called, and what is wrong is said in plain words."""
import json

import pytest

from harness import PROVIDER_KEY, _serial

OFFERED = ["gpt-4o-mini", "ok", "text-embedding-3-small", "vendor/new-model:free"]


class Calls:
    """The command line on a site of its own."""

    def __init__(self, site, mock):
        self.site, self.mock = site, mock
        self.here = f"http://127.0.0.1:{mock.port}"

    def provider(self, base="/v1", dialect="openai", keys=("k1",), **fields):
        name = f"called-{next(_serial)}"
        base = base if base.startswith("http") else self.here + base
        self.site.apply({"providers": [{"name": name, "dialect": dialect, "base_url": base,
                                        "keys": [{"name": k, "secret": PROVIDER_KEY} for k in keys]} | fields]})
        return name

    def test(self, *args, code=0):
        done = self.site.weir("provider", "test", *args, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def list(self, *args, code=0, command=("provider", "test")):
        done = self.site.weir(*command, *args, "--json", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def models(self):
        return {m["alias"]: m for m in self.site.json("model", "list")}


@pytest.fixture(scope="module")
def calls(make_site, mock):
    return Calls(make_site(), mock)


# ---- provider test ----

def test_without_a_model_only_the_list_is_asked_for(calls):
    name, before = calls.provider(), calls.mock.mark()
    assert "lists 4 models" in calls.test(name)
    assert {e["method"] for e in calls.mock.seen(since=before)} == {"GET"}  # some may be probes of others


@pytest.mark.parametrize("dialect, base", [("openai", "/v1"), ("anthropic", "/anthropic/v1"), ("azure", "/azure"), ("groq", "/groq/openai/v1"),
                                           ("gemini", "/gemini/v1beta/openai"), ("ollama", "/ollama/v1")])
def test_a_model_completes_in_every_dialect(calls, dialect, base):
    name, before = calls.provider(base, dialect, **({"api_version": "2024-10-21"} if dialect == "azure" else {})), calls.mock.mark()
    rows = calls.list(name, "--model", "ok")
    assert [(r["provider"], r["key"], r["call"], r["model"], r["fine"], r["status"]) for r in rows] == [
        (name, "k1", "models", None, True, 200), (name, "k1", "completion", "ok", True, 200)]
    assert all(0 <= r["latency_ms"] < 15000 for r in rows)
    asked = [e["json"] for e in calls.mock.seen(since=before) if e["method"] == "POST"]
    assert len(asked) == 1 and asked[0]["max_tokens"] == 16 and asked[0]["messages"][0]["role"] == "user"


def test_the_built_in_mock_completes_without_a_network(calls):
    rows = calls.list("built-in", "--model", "mock")
    assert [r["fine"] for r in rows] == [True, True] and "built in" in rows[0]["detail"] and "completes" in rows[1]["detail"]


def test_the_model_of_an_alias_is_tried_but_none_that_embeds(calls):
    name = calls.provider()
    calls.site.apply({"models": [{"alias": f"a-{name}", "targets": [{"provider": name, "model": "text-embedding-3-small"}]},
                                 {"alias": f"b-{name}", "targets": [{"provider": name, "model": "ok#known"}]}]})
    assert '"ok#known" completes' in calls.test(name)


@pytest.mark.parametrize("model, words", [
    ("no-such", ["404", 'no such model as "no-such"']), ("status:401", ["401", 'refuses the key "k1"']), ("status:403", ["403", 'the key "k1"']),
    ("status:402", ["402", "out of credit or quota", '"k1"']), ("status:429", ["429", "over a limit"]), ("status:500", ["500", "in trouble itself"]),
    ("status:400", ["400", 'to "status:400"', "The mock says 400."]), ("garbage-json", ["200", "no completion"]),
    ("html-200", ["200", "no completion"]), ("cut-before", ["the connection broke"])])
def test_what_is_wrong_with_a_completion_is_said(calls, model, words):
    said = calls.test(calls.provider(), "--model", model, code=1)
    assert not [w for w in words if w not in said], said
    assert PROVIDER_KEY not in said


@pytest.mark.parametrize("list, words", [
    ("status:401", ["401", 'refuses the key "k1"']), ("status:429", ["429", "over a limit"]), ("status:503", ["503", "trouble"]),
    ("status:404", ["404", "is base_url right?"]), ("html-200", ["not with JSON", "base_url"]), ("redirect", ["307", "no list"])])
def test_what_is_wrong_with_the_list_is_said(calls, list, words):
    fine = list == "status:429"  # it is there, and takes the key
    said = calls.test(calls.provider(f"/list/{list}/v1"), code=0 if fine else 1)
    assert not [w for w in words if w not in said], said
    assert PROVIDER_KEY not in said


def test_a_base_url_that_lacks_its_version_is_named(calls):
    said = calls.test(calls.provider(""), code=1)
    assert "404" in said and "Most end in /v1, this one does not" in said


def test_a_server_without_a_list_is_fine_if_it_completes(calls):
    rows = calls.list(calls.provider("/list/status:404/v1"), "--model", "ok")
    assert [(r["fine"], r["status"]) for r in rows] == [(True, 404), (True, 200)]


def test_a_slow_answer_is_called_slow(calls):
    rows = calls.list(calls.provider("/list/slow:2050/v1"))
    assert rows[0]["fine"] and rows[0]["latency_ms"] >= 2000 and "slow" in rows[0]["detail"]


def test_every_key_is_tried_or_the_one_that_is_named(calls):
    name = calls.provider(keys=("a", "b"))
    assert [(r["key"], r["call"]) for r in calls.list(name, "--model", "ok")] == [("a", "models"), ("a", "completion"), ("b", "models"), ("b", "completion")]
    assert [r["key"] for r in calls.list(name, "--key", "b")] == ["b"]
    assert f"{name}, key b: answers" in calls.test(name)
    assert 'no key "c"' in calls.test(name, "--key", "c", code=1)


def test_a_provider_without_a_key_that_wants_one_is_told_so(calls):
    assert "it wants a key, and none is stored" in calls.test(calls.provider("/list/status:401/v1", keys=()), code=1)


def test_a_certificate_that_nobody_trusts_is_named(calls):
    assert "TLS fails" in calls.test(calls.provider(f"https://127.0.0.1:{calls.mock.ports['tls']}/v1"), code=1)


# ---- model import ----

def imported(calls, *args, code=0):
    return calls.list(*args, code=code, command=("model", "import"))


def test_without_a_choice_the_offer_is_shown_and_nothing_added(calls):
    name, before = calls.provider(), calls.models()
    rows = imported(calls, name, "--prefix", f"{name}/")
    assert [(r["model"], r["alias"], r["state"]) for r in rows] == [(m, f"{name}/{m}", "offered") for m in OFFERED]
    assert rows[0]["price"]["input"] == "0.15" and rows[0]["context_window"] == 128000 and rows[0]["max_output"] == 16384
    assert rows[1]["price"] is None and rows[1]["context_window"] is None and rows[2]["price"]["input"] == "0.02"
    assert calls.models() == before


def test_all_are_added_once_with_price_and_sizes(calls):
    name = calls.provider()
    prefix = f"{name}/"
    dry = imported(calls, name, "--all", "--prefix", prefix, "--dry-run")
    assert {r["state"] for r in dry} == {"added"} and prefix + "ok" not in calls.models()
    assert imported(calls, name, "--all", "--prefix", prefix) == dry
    got = {m: calls.models()[prefix + m] for m in OFFERED}
    assert all([(t["provider"], t["model"]) for t in a["targets"]] == [(name, m)] for m, a in got.items())
    mini = got["gpt-4o-mini"]
    assert mini["price"] == {"input": "0.15", "cached_input": "0.075", "cache_write": "0.15", "output": "0.60"}
    assert (mini["context_window"], mini["max_output"]) == (128000, 16384)
    assert got["ok"]["price"] is None and got["ok"]["max_output"] is None
    version = calls.site.query("select version from config_version")
    again = imported(calls, name, "--all", "--prefix", prefix)
    assert {r["state"] for r in again} == {"known"} and calls.site.query("select version from config_version") == version


def test_only_what_is_named_is_added_under_its_own_name(calls):
    name = calls.provider()
    rows = imported(calls, name, "vendor/new-model:free")
    assert [r["state"] for r in rows] == ["offered"] * 3 + ["added"]
    assert calls.models()["vendor/new-model:free"]["targets"][0]["provider"] == name
    other = calls.provider()
    taken = calls.site.weir("model", "import", other, "ok", "vendor/new-model:free", check=False)
    assert taken.returncode == 1 and "--prefix" in taken.stderr and "ok" not in calls.models()
    assert next(r for r in imported(calls, other) if r["model"] == OFFERED[3])["state"] == "taken"


def test_what_is_not_offered_is_refused_and_a_failing_list_said(calls):
    done = calls.site.weir("model", "import", calls.provider(), "gpt-9", check=False)
    assert done.returncode == 1 and "no model of that name" in done.stderr
    done = calls.site.weir("model", "import", calls.provider("/list/status:401/v1"), "--all", check=False)
    assert done.returncode == 1 and 'refuses the key "k1"' in done.stderr
    assert calls.site.weir("model", "import", calls.provider(), "ok", "--all", check=False).returncode == 2
