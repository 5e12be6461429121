"""What a command takes away stays away, unless something still leads to it; and whoever changes something is told what it costs."""
import json

from test_cli import bare, cli  # noqa: F401 (fixtures)

PROVIDER = {"name": "up", "dialect": "openai", "base_url": "http://127.0.0.1:1/v1", "keys": [{"name": "k1", "secret": "sk-1"}, {"name": "k2", "secret": "sk-2"}]}
PRICE = {"input": "0.15", "cached_input": "0.075", "cache_write": "0.15", "output": "0.60"}


def model(alias, **more):
    return {"alias": alias, "targets": [{"provider": "up", "model": alias}]} | more


def change(cli):
    return cli.sql("SELECT via, action, subject, before, after FROM admin_change ORDER BY id DESC LIMIT 1")[0]


# ---- taken away ----

def test_a_provider_stays_while_an_alias_leads_there(cli):
    cli.apply({"providers": [PROVIDER], "models": [model(f"m{i}") for i in range(7)]})
    assert "the models m0, m1, m2, m3, m4 and 2 more lead there" in cli.run("provider", "remove", "up", code=1).stderr
    for i in range(6):
        cli.run("model", "remove", f"m{i}")
    assert "the model m6 leads there" in cli.run("provider", "remove", "up", code=1).stderr
    cli.run("model", "remove", "m6")
    cli.run("provider", "remove", "up")
    assert cli.json("provider", "list") == [] and cli.json("model", "list") == []
    via, action, subject, before, after = change(cli)
    assert (via, action, subject, after) == ("command", "provider removed", "up", None) and json.loads(before)["base_url"] == PROVIDER["base_url"]
    assert "no provider of that name" in cli.run("provider", "remove", "up", code=1).stderr


def test_one_key_of_a_provider_is_removed_and_the_others_stay(cli):
    cli.apply({"providers": [PROVIDER]})
    version = cli.version()
    cli.run("provider", "remove", "up", "--key", "k1")
    assert [k["name"] for k in cli.json("provider", "list")[0]["keys"]] == ["k2"] and cli.version() > version
    assert "no key of the provider" in cli.run("provider", "remove", "up", "--key", "k1", code=1).stderr


def test_an_alias_stays_while_something_falls_back_to_it(cli):
    cli.apply({"providers": [PROVIDER], "models": [model("a"), model("b", fallback="a"), model("c", context_window=100, context_fallback="a"), model("d")],
               "settings": {"fallback": "d"}})
    assert "the models b, c fall back to it" in cli.run("model", "remove", "a", code=1).stderr
    assert "the setting fallback names it" in cli.run("model", "remove", "d", code=1).stderr
    cli.run("model", "remove", "b")
    assert "the model c falls back to it" in cli.run("model", "remove", "a", code=1).stderr
    cli.run("model", "remove", "c")
    cli.run("model", "remove", "a")
    assert [m["alias"] for m in cli.json("model", "list")] == ["d"] and change(cli)[:3] == ("command", "model removed", "a")


def test_a_price_is_removed_and_all_else_of_the_alias_stays(cli):
    cli.apply({"providers": [PROVIDER], "models": [model("a", price=PRICE, cache_ttl=60, max_output=77)]})
    cli.run("prices", "remove", "a")
    left = cli.json("model", "list")[0]
    assert left["price"] is None and (left["cache_ttl"], left["max_output"], len(left["targets"])) == (60, 77, 1)
    _, action, _, before, after = change(cli)
    assert action == "model changed" and json.loads(before)["price"] == PRICE and "price" not in json.loads(after)
    assert "it has no price" in cli.run("prices", "remove", "a", code=1).stderr
    assert "no alias of that name" in cli.run("prices", "remove", "nobody", code=1).stderr


def test_imported_prices_and_a_forced_breaker_are_on_record(cli):
    cli.apply({"providers": [PROVIDER], "models": [model("gpt-4o-mini")]})
    cli.run("prices", "import")
    via, action, subject, before, after = change(cli)
    assert (via, action, subject) == ("command", "model changed", "gpt-4o-mini") and "price" not in json.loads(before) and json.loads(after)["price"]
    cli.run("provider", "open", "up")
    assert change(cli) == ("command", "provider's breaker forced", "up", '{"breaker":"auto"}', '{"breaker":"open"}')


def test_an_import_keeps_what_its_list_says_nothing_of(cli, tmp_path):
    stated = {"input": "9", "output": "9", "priority_input": "1.50", "priority_output": "6.00", "searches": "25.00"}
    cli.apply({"providers": [PROVIDER], "models": [model("gpt-4o-mini", price=stated)]})
    cli.run("prices", "import")
    price = json.loads(cli.run("export").stdout)["models"][0]["price"]
    assert {k: price[k] for k in stated} == stated | {"input": "0.15", "output": "0.60"}
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"gpt-4o-mini": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07,
                                                  "input_cost_per_token_priority": 2.5e-07}}))
    cli.run("prices", "import", str(listed))
    price = json.loads(cli.run("export").stdout)["models"][0]["price"]
    assert price["priority_input"] == "0.25" and price["priority_output"] != "6.00" and price["searches"] == "25.00"


# ---- what an entry drops, and what it names in vain ----

def test_apply_says_what_an_entry_does_not_name_any_more(cli):
    cli.apply({"providers": [PROVIDER | {"timeouts": {"connect_ms": 7, "idle_ms": 9}}], "models": [model("a", price=PRICE, max_output=5)]})
    new = {"providers": [PROVIDER | {"timeouts": {"connect_ms": 8}}], "models": [model("a", max_output=6)]}
    dry = cli.apply(new, "--dry-run").stderr
    assert "models[0]: a: price was {" in dry and "providers[0]: up: timeouts.idle_ms was 9; the entry does not say it, so it is gone" in dry
    assert {"up: timeouts.connect_ms 7 -> 8", "up: timeouts.idle_ms 9 -> gone", "a: max_output 5 -> 6"} < set(dry.splitlines())
    assert cli.json("model", "list")[0]["max_output"] == 5
    assert "price was {" in cli.apply(new).stderr and "was" not in cli.apply(new).stderr
    assert cli.json("model", "list")[0]["price"] is None


def test_a_name_that_leads_nowhere_is_told(cli):
    cli.apply({"providers": [PROVIDER], "models": [model("good")]})
    told = cli.apply({"models": [model("new")], "keys": [{"name": "k", "models": ["good", "new", "goood"]}],
                      "limits": [{"scope": s, "metric": "requests", "shape": "total", "amount": 1} for s in
                                 ("model/good", "model/new", "model/*", "model/goood", "provider/up", "provider/upp", "user/anybody", "global")]}).stderr
    notes = [line for line in told.splitlines() if "here" in line]
    assert notes == ["weir: limits[3].scope: goood is no model here", "weir: limits[5].scope: upp is no provider here", "weir: keys[0].models[2]: goood is no model here"]
    assert "--models: goood is no model here" in (done := cli.run("key", "create", "--name", "n", "--models", "good,goood")).stderr and done.stderr.count("is no model") == 1
    assert "scope: x is no model here" in cli.run("limit", "set", "model/x", "--metric", "requests", "--shape", "total", "--amount", "1").stderr
    assert "is no" not in cli.apply({"settings": {"direct_models": True}}).stderr + cli.apply({"keys": [{"name": "d", "models": ["up/anything"]}]}).stderr


# ---- under which limits ----

def test_a_new_key_is_told_its_limits(cli):
    limits = [{"scope": "user/*", "metric": "requests", "shape": "window", "seconds": 60, "amount": 60},
              {"scope": "team/looms", "metric": "cost", "shape": "calendar", "period": "month", "amount": "20.00", "mode": "soft"}]
    assert "no limit holds for it" in cli.run("key", "create", "--name", "free").stderr
    cli.apply({"limits": limits})
    told = cli.run("key", "create", "--name", "one", "--user", "ada", "--team", "looms").stderr
    assert "  user/*: 60 requests in any 60 s\n" in told and "  team/looms: $20.00 cost each month, soft\n" in told and "names no user" not in told
    assert "it names no user, so none of the limits on user/* holds for it" in cli.run("key", "create", "--name", "two", "--team", "looms").stderr
