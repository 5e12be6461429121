"""What providers say of their own limits: followed in passing (who is nearly out stands behind the others), and taken over as
limits of Weir's by /sync/openai-limits and `weir provider sync`."""
import pytest

from harness import PROVIDER_KEY, _serial, until


@pytest.fixture
def provider(gw):
    """Makes providers of this test alone: what is remembered of a key belongs to a provider's name."""
    def make(dialect="openai", base="/v1", keys=("k1",)):
        name = f"limited-{next(_serial)}"
        gw.site.apply({"providers": [{"name": name, "dialect": dialect, "base_url": f"http://127.0.0.1:{gw.mock.port}{base}",
                                      "keys": [{"name": k, "secret": PROVIDER_KEY + k * (len(keys) > 1), "priority": i} for i, k in enumerate(keys)]}]})
        return name
    return make


def answered(gw, alias, times=1, **fields):
    """Which provider answered each of so many requests."""
    got = []
    for _ in range(times):
        r = gw.chat(alias, **fields)
        assert r.status_code == 200 and r.headers["x-weir-attempts"] == "1", r.text
        got.append(r.headers["x-weir-provider"])
    return got


# ---- followed in passing ----

@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("says", ["limits:100:0:1000:1000", "limits:100:2:1000:1000", "limits:100:100:100000:50", "limits:-:-:1000000:20000"])
def test_who_is_nearly_out_of_its_limit_stands_behind_the_other(gw, provider, says, stream):
    first, second = provider(), provider()
    alias = gw.alias(f"{first}/{says}", f"{second}/ok")
    assert answered(gw, alias, 3, stream=stream) == [first, second, second]


@pytest.mark.parametrize("says", ["limits:100:3:1000000:900000", "limits:100:-:100:-", "limits:100:0:1000:1000:0s"])
def test_who_has_enough_left_is_asked_again(gw, provider, says):
    first, second = provider(), provider()
    assert answered(gw, gw.alias(f"{first}/{says}", f"{second}/ok"), 2) == [first, first]


def test_with_nobody_else_left_it_is_asked_all_the_same(gw, provider):
    only = provider()
    assert answered(gw, gw.alias(f"{only}/limits:100:0:1000:0"), 3) == [only] * 3


def test_another_key_of_the_provider_goes_first(gw, provider):
    gw.more_keys = True
    name = provider(keys=("a", "b"))
    alias = gw.alias(f"{name}/limits:100:0:1000:1000")
    assert answered(gw, alias, 3) == [name] * 3
    heads = [dict((k.lower(), v) for k, v in e["headers"])["authorization"] for e in gw.seen(alias)]
    assert [h[-1] for h in heads] == ["a", "b", "a"]


def test_it_has_its_place_back_when_the_limit_is_full_again(gw, provider):
    first, second = provider(), provider()
    alias = gw.alias(f"{first}/limits:100:0:1000:1000:300ms", f"{second}/ok")
    assert answered(gw, alias) == [first]
    until("the first to be asked again", lambda: answered(gw, alias) == [first])
