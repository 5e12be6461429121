"""The command line `weir`, from outside: what it prints, what it refuses and how, what it leaves on disk.

Needs no web server; each test has a data directory of its own.
"""
import http.server
import json
import os
import pathlib
import re
import socket
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from harness import BUILD

PROGRAM = str(BUILD / "weir")
OURS = re.compile(r"WEIR_.*|.*_API_KEY|AZURE_.*|OLLAMA_HOST|JWT_.*|CAP_.*|RATE_.*")
KEY = re.compile(r"sk-weir-[A-Za-z0-9_-]{43}")
SECRETS = ["sk-up-one-0123456789", "sk-up-two-0123456789", "sk-weir-given-0123456789012345678901234567", "hmac-secret-0123456789012345678901234567"]


class Cli:
    def __init__(self, data):
        self.data = str(data)
        self.said = ""  # everything ever printed, for the search for secrets

    def run(self, *args, feed=None, code=0, **env):
        clean = {k: v for k, v in os.environ.items() if not OURS.fullmatch(k)}
        done = subprocess.run([PROGRAM, "--data", self.data, *args], input=feed, capture_output=True, text=True, timeout=50,
                              env=clean | env)
        self.said += done.stdout + done.stderr
        assert done.returncode == code, f"weir {' '.join(args)}: exit {done.returncode}\n{done.stderr}{done.stdout}"
        return done

    def apply(self, document, *args, code=0, **env):
        return self.run("apply", "-", *args, feed=document if isinstance(document, str) else json.dumps(document), code=code, **env)

    def json(self, *args):
        return json.loads(self.run(*args, "--json").stdout)

    def sql(self, text, *values):
        db = sqlite3.connect(self.data + "/weir.db", timeout=10)
        try:
            with db:
                return db.execute(text, values).fetchall()
        finally:
            db.close()

    def version(self):
        return self.sql("SELECT version FROM config_version")[0][0]


@pytest.fixture
def bare(tmp_path):
    return Cli(tmp_path / "var")


@pytest.fixture
def cli(bare):
    bare.run("init")
    return bare


PEM = ("-----BEGIN PUBLIC KEY-----\n"
       "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApkVPuRCdZS47myyd4o8B\n"
       "oGafXhOsJqcD7gwOoDnq0TXCD3RX0yl3/i+RiSkegV8uqG5kJMjbDm3xKhfB281A\n"
       "97hD78/sgZvdMfG19RG8nw+GuMviCQ0ZZkTojGGL4/X2vdTsFBP/rRlK7p08E8Ml\n"
       "x6LmXCMClhVPN42C6a+0idWH3xeBdiTx/fC/vl63DA9vaaiMUyFElcOpot9ZmgZt\n"
       "tyOCmKzoYLrrMtMQDmazUDWmwhBHZe7pYKUQMWAHDkJQR2GfYmW/J/4Cb1qFTBdi\n"
       "8Q+mjFIRz3Sle3NA2HeiZheIxHDWRAcl4wWH6FJqlFKqGdB2lpyQxfhZZD+Njr6V\n"
       "vQIDAQAB\n"
       "-----END PUBLIC KEY-----\n")


def whole():
    """Every section and every field of the document."""
    return {
        "providers": [
            {"name": "openai", "dialect": "openai", "base_url": "https://api.openai.com/v1", "key_strategy": "priority",
             "keys": [{"name": "k1", "secret": SECRETS[0], "priority": 1}, {"name": "k2", "secret": SECRETS[1], "priority": 2}],
             "timeouts": {"connect_ms": 5000, "first_byte_ms": 60000, "idle_ms": 60000, "total_ms": 600000},
             "headers": {"x-extra": "1", "x-tenant": "cli \"tests\""},
             "api_version": "2024-10-21", "auth": "bearer", "faces": ["chat", "responses"]},
            {"name": "lan", "dialect": "openai", "base_url": "http://192.168.1.7:8000/v1", "keys": []},
            {"name": "plain", "dialect": "openai", "base_url": "http://upstream.example/v1", "allow_plain_http": True},
            {"name": "claude", "dialect": "anthropic", "base_url": "https://api.anthropic.com/v1"},
            {"name": "built-in", "dialect": "mock"}],
        "models": [
            {"alias": "gpt-4o-mini", "strategy": "priority", "cache_ttl": 300,
             "targets": [{"provider": "openai", "model": "gpt-4o-mini", "weight": 1}, {"provider": "built-in", "model": "mock"}],
             "price": {"input": "0.15", "cached_input": "0.075", "cache_write": "0.15", "output": "0.60"},
             "context_window": 128000, "max_output": 16384, "fallback": "llama"},
            {"alias": "llama", "strategy": "weighted", "targets": [{"provider": "lan", "model": "llama:8b", "weight": 3}],
             "price": {"input": "0.000000001", "output": "1"}},
            {"alias": "modèle/été:1", "targets": [{"provider": "lan", "model": "x"}]}],
        "limits": [
            {"scope": "team/data", "metric": "tokens", "shape": "bucket", "capacity": 5000, "refill_per_sec": 25, "mode": "hard"},
            {"scope": "team/data", "metric": "cost", "shape": "bucket", "capacity": "5.00", "refill_per_sec": "0.000000001"},
            {"scope": "role/dev", "metric": "tokens", "shape": "bucket", "capacity": 10, "refill_per_sec": 0.125, "mode": "soft", "warn_percent": 50},
            {"scope": "user/*", "metric": "requests", "shape": "window", "seconds": 60, "amount": 60},
            {"scope": "user/*", "metric": "requests", "shape": "window", "seconds": 3600, "amount": 600},
            {"scope": "user/alice", "metric": "cost", "shape": "calendar", "period": "month", "amount": "20.00"},
            {"scope": "user/alice", "metric": "cost", "shape": "calendar", "period": "day", "amount": "2.00", "utc_offset": "-05:30"},
            {"scope": "ip/10.0.0.0/8", "metric": "requests", "shape": "total", "amount": 9, "mode": "observe"},
            {"scope": "global", "metric": "tokens", "shape": "total", "amount": 100000000},
            {"scope": "key/ci", "metric": "concurrency", "amount": 4}],
        "keys": [
            {"name": "alice-laptop", "user": "alice", "team": "data", "role": "dev", "rolegroup": "eng", "models": ["gpt-4o-mini"]},
            {"name": "given", "secret": SECRETS[2], "allow_ip": ["10.0.0.0/8", "::1"], "may_assert_identity": True,
             "expires": "2099-01-01T00:00:00Z"}],
        "jwt": [
            {"name": "corp", "algorithm": "RS256", "public_key": PEM, "issuer": "https://id", "audience": "weir", "claims": {"user": "email"}},
            {"name": "idp", "algorithm": "ES256", "jwks_url": "https://id.example/keys"}],
        "settings": {"anonymous": False, "on_disconnect": "drain", "orphans": "charge", "audit_content": "none", "cors_origins": ["https://app.example"]}}


# ---- usage and exit codes ----

def test_version_and_help_are_results(bare):
    assert re.fullmatch(r"weir \d+\.\d+\.\d+\n", bare.run("--version").stdout)
    shown = bare.run("--help").stdout
    for name in ("init", "apply", "export", "settings", "key create", "key list", "key rotate", "key revoke", "provider add", "provider list",
                 "provider test", "provider sync", "model add", "model import", "model list", "prices import", "prices", "limit set", "limit list", "limit remove", "limit reset", "audit", "usage", "ledger check",
                 "tick", "backup", "migrate", "doctor"):
        assert f"\n  {name} " in shown
    assert "--may-assert-identity" in bare.run("key", "create", "--help").stdout
    assert bare.run("key", "--help").stdout.count("usage:") == 4
    assert not os.path.exists(bare.data)


@pytest.mark.parametrize("args, named", [
    ([], "usage"), (["frobnicate"], "apply"), (["key"], "key rotate"), (["key", "frobnicate"], "key rotate"), (["ledger", "frobnicate"], "ledger check"), (["cache"], "cache stats"), (["frobnicate"], "no such command"), (["key", "frobnicate"], "key frobnicate: no such"),
    (["--bogus", "init"], "--bogus"), (["init", "--bogus"], "--bogus"), (["init", "word"], "word"), (["apply"], "missing"),
    (["apply", "a", "b"], "b:"), (["key", "create"], "--name"), (["key", "create", "--name"], "--name"), (["key", "create", "--name="], "--name"),
    (["key", "create", "--name", "x", "--expires", "soon"], "--expires"), (["key", "create", "--name", "x", "--models", "a,,b"], "--models"),
    (["key", "list", "--json=1"], "--json"), (["key", "rotate", "x", "--overlap", "-1h"], "--overlap"),
    (["audit", "--limit", "0"], "--limit"), (["audit", "--limit", "ten"], "--limit"), (["audit", "--since", "x"], "--since"),
    (["usage", "--by", "colour"], "--by"), (["provider", "add", "x"], "--dialect"), (["model", "add", "x"], "--to"),
    (["model", "add", "x", "--to", "nocolon"], "nocolon"), (["doctor", "--url", "http://127.0.0.1:1"], "--key-file"), (["settings", "a", "b", "c"], "c:")])
def test_wrong_usage_exits_2_and_names_what_is_wrong(cli, args, named):
    done = cli.run(*args, code=2)
    assert named in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("args", [["key", "list"], ["export"], ["audit"], ["usage"], ["settings"], ["backup", "x"], ["migrate"], ["apply", "-"],
                                  ["key", "create", "--name", "x"], ["provider", "list"], ["model", "list"]])
def test_without_a_data_directory_commands_refuse_and_make_none(bare, args):
    done = bare.run(*args, code=1, feed="{}")
    assert done.stderr and done.stdout == ""
    assert not os.path.exists(bare.data)


def test_a_full_output_is_a_failure(cli):
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, "--data", cli.data, "settings"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
    assert done.returncode == 1 and "could not be written" in done.stderr


# ---- init ----

def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_init_makes_private_files_and_twice_changes_nothing(bare):
    bare.run("init")
    assert mode(bare.data) == 0o700
    assert mode(bare.data + "/master.key") == 0o600 and os.path.getsize(bare.data + "/master.key") == 32
    assert mode(bare.data + "/weir.db") == 0o600
    master, version = open(bare.data + "/master.key", "rb").read(), bare.version()
    said = bare.run("init").stderr
    assert "is there" in said and "made" not in said
    assert open(bare.data + "/master.key", "rb").read() == master and bare.version() == version


def test_init_closes_a_directory_that_others_could_read(bare):
    os.mkdir(bare.data, 0o755)
    os.chmod(bare.data, 0o755)
    bare.run("init")
    assert mode(bare.data) == 0o700


def test_init_refuses_a_loose_master_key(cli):
    os.chmod(cli.data + "/master.key", 0o644)
    assert "chmod 600" in cli.run("init", code=1).stderr


def test_init_takes_providers_from_the_environment_once(bare):
    env = {"OPENAI_API_KEY": "sk-env-openai-1", "ANTHROPIC_API_KEY": "sk-env-anthropic-1", "GROQ_API_KEY": "gsk-env-1", "GEMINI_API_KEY": "g-env-1",
           "AZURE_OPENAI_API_KEY": "az-env-1", "AZURE_OPENAI_ENDPOINT": "https://corp.openai.azure.com/", "OLLAMA_HOST": "0.0.0.0"}
    bare.run("init", **env)
    found = {p["name"]: p for p in bare.json("provider", "list")}
    assert {n: p["base_url"] for n, p in found.items()} == {
        "openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com/v1", "groq": "https://api.groq.com/openai/v1",
        "gemini": "https://generativelanguage.googleapis.com/v1beta/openai", "azure": "https://corp.openai.azure.com/openai/v1",
        "ollama": "http://127.0.0.1:11434/v1"}
    models = {m["alias"]: m for m in bare.json("model", "list")}
    assert models["gpt-4o-mini"]["targets"][0].items() >= {"provider": "openai", "model": "gpt-4o-mini", "weight": 1}.items()
    assert {m["cache_ttl"] for m in models.values()} == {300}
    version = bare.version()
    env["OPENAI_API_KEY"] = "sk-another"
    assert "provider openai: is there" in bare.run("init", **env).stderr
    assert bare.version() == version
    assert not [v for v in env.values() if v.startswith(("sk-", "gsk-", "az-", "g-")) and v in bare.said]


def test_init_mock_gives_the_scripted_aliases(bare):
    bare.run("init", "--mock")
    models = {m["alias"]: [(t["provider"], t["model"]) for t in m["targets"]] for m in bare.json("model", "list")}
    assert models == {n: [("mock", n)] for n in ("mock", "mock-stream", "mock-error", "mock-slow", "mock-tool", "mock-long")} | {
        "gpt-4o-mini": [("mock", "mock")]}
    version = bare.version()
    bare.run("init", "--mock")
    assert bare.version() == version


def test_init_stores_default_limits_as_soft_buckets(bare):
    env = {"CAP_GLOBAL": "100000", "RATE_GLOBAL": "50.5", "CAP_TEAM": "5000", "RATE_TEAM": "25"}
    bare.run("init", **env)
    assert json.loads(bare.run("export").stdout)["limits"] == [
        {"scope": "global", "metric": "tokens", "shape": "bucket", "capacity": 100000, "refill_per_sec": 50.5, "mode": "soft"},
        {"scope": "team/*", "metric": "tokens", "shape": "bucket", "capacity": 5000, "refill_per_sec": 25, "mode": "soft"}]
    version = bare.version()
    bare.run("init", **env)
    assert bare.version() == version
    assert "RATE_USER" in bare.run("init", code=1, CAP_USER="5").stderr


# ---- apply ----

def test_apply_twice_changes_nothing_and_says_so(cli):
    done = cli.apply(whole())
    assert re.fullmatch(r"alice-laptop\tsk-weir-[A-Za-z0-9_-]{43}\n", done.stdout)
    assert "providers: 5 added" in done.stderr and "limits: 10 added" in done.stderr and "keys: 2 added" in done.stderr
    version = cli.version()
    again = cli.apply(whole())
    assert again.stdout == ""
    assert "nothing changed" in again.stderr
    assert not re.search(r"[1-9]\d* (added|changed)", again.stderr)
    assert cli.version() == version


def test_export_applies_again_and_changes_nothing(cli):
    cli.apply(whole())
    version, text = cli.version(), cli.run("export").stdout
    assert "nothing changed" in cli.apply(text).stderr
    assert cli.version() == version and cli.run("export").stdout == text
    given, out = whole(), json.loads(text)
    assert {m["alias"] for m in out["models"]} == {m["alias"] for m in given["models"]}
    assert [h for p in out["providers"] for h in p.get("headers", {}).items()] == [("x-extra", "1"), ("x-tenant", 'cli "tests"')]
    assert len(out["limits"]) == len(given["limits"]) and {"refill_per_sec": 0.125}.items() <= next(l for l in out["limits"] if l["scope"] == "role/dev").items()
    assert next(l for l in out["limits"] if l.get("period") == "day")["utc_offset"] == -330
    assert out["settings"] == {"on_disconnect": "drain", "cors_origins": ["https://app.example"]}


def test_export_applies_elsewhere_but_for_secrets(cli, tmp_path):
    document = whole()
    document["providers"][0]["keys"] = []
    cli.apply(document)
    other = Cli(tmp_path / "other")
    other.run("init")
    done = other.apply(cli.run("export").stdout)
    assert len(KEY.findall(done.stdout)) == 2  # both keys are new there
    assert other.run("export").stdout == cli.run("export").stdout


def test_secrets_are_in_no_output_and_not_plain_on_disk(cli):
    document = whole()
    document["jwt"].append({"name": "app", "algorithm": "HS256", "secret": SECRETS[3]})
    cli.apply(document)
    cli.apply(document)
    cli.run("export")
    for args in (["provider", "list"], ["provider", "list", "--json"], ["key", "list", "--json"], ["settings"], ["doctor"]):
        cli.run(*args, code=1 if args == ["doctor"] else 0)
    document["keys"][1]["secret"] += "!\n"
    cli.apply(document, code=1)
    for secret in SECRETS:
        assert secret not in cli.said
        for name in os.listdir(cli.data):
            assert secret.encode() not in open(f"{cli.data}/{name}", "rb").read(), name


def test_an_entry_is_replaced_as_a_whole_and_its_past_is_kept(cli):
    cli.apply(whole())
    before = next(k for k in cli.json("key", "list") if k["name"] == "given")
    done = cli.apply({"keys": [{"name": "given", "user": "bob"}], "providers": [{"name": "openai", "dialect": "openai", "base_url": "https://b.example/v1"}],
                      "models": [{"alias": "gpt-4o-mini", "targets": [{"provider": "lan", "model": "m"}]}]})
    assert done.stdout == "" and "keys: 0 added, 1 changed" in done.stderr
    after = next(k for k in cli.json("key", "list") if k["name"] == "given")
    assert after == before | {"user": "bob", "allow_ip": None, "may_assert_identity": False, "expires": None}
    provider = next(p for p in cli.json("provider", "list") if p["name"] == "openai")
    assert [k["name"] for k in provider["keys"]] == ["k1", "k2"] and provider["headers"] == {} and provider["base_url"] == "https://b.example/v1"
    model = next(m for m in cli.json("model", "list") if m["alias"] == "gpt-4o-mini")
    assert model["price"] is None and model["fallback"] is None and model["cache_ttl"] == 0 and len(model["targets"]) == 1


def test_a_dry_run_writes_nothing_and_gives_no_secret_out(cli):
    version = cli.version()
    done = cli.apply(whole(), "--dry-run")
    assert done.stdout == "" and "keys: 2 added" in done.stderr and "dry run" in done.stderr
    assert cli.version() == version and cli.json("key", "list") == [] and cli.json("provider", "list") == []
    cli.apply({"keys": [{}]}, "--dry-run", code=1)


def test_one_fault_leaves_everything_as_it_was(cli):
    document = whole()
    document["keys"].append({"name": "twin", "secret": SECRETS[2]})  # found only while writing
    version = cli.version()
    assert "keys[2].secret: is another key's" in cli.apply(document, code=1).stderr
    assert cli.version() == version and cli.json("provider", "list") == []


def test_new_secrets_as_json(cli):
    made = json.loads(cli.apply({"keys": [{"name": "a"}, {"name": "b"}]}, "--json").stdout)
    assert [m["name"] for m in made] == ["a", "b"] and all(KEY.fullmatch(m["secret"]) for m in made)
    assert json.loads(cli.apply({"keys": [{"name": "a"}]}, "--json").stdout) == []


def test_secrets_from_environment_and_file(cli, tmp_path):
    secret = tmp_path / "s"
    secret.write_text("sk-from-a-file-0123456789\n")
    document = {"providers": [{"name": "p", "dialect": "openai", "base_url": "https://a.example/v1",
                               "keys": [{"name": "e", "secret": "env:CLI_TEST_KEY"}, {"name": "f", "secret": f"file:{secret}"}]}]}
    assert "providers[0].keys[0].secret: " in cli.apply(document, code=1).stderr
    cli.apply(document, CLI_TEST_KEY="sk-from-env-0123456789")
    assert "nothing changed" in cli.apply(document, CLI_TEST_KEY="sk-from-env-0123456789").stderr
    assert "providers: 0 added, 1 changed" in cli.apply(document, CLI_TEST_KEY="sk-from-env-other").stderr
    secret.unlink()
    assert "providers[0].keys[1].secret: names the file" in cli.apply(document, code=1, CLI_TEST_KEY="x").stderr


def test_references_may_point_at_what_is_stored(cli):
    cli.apply({"providers": [{"name": "p", "dialect": "mock"}], "models": [{"alias": "a", "targets": [{"provider": "p", "model": "m"}]}]})
    cli.apply({"models": [{"alias": "b", "targets": [{"provider": "p", "model": "m"}], "fallback": "a"}]})


def test_a_revoked_key_is_not_brought_back(cli):
    cli.apply({"keys": [{"name": "a", "user": "u"}]})
    cli.run("key", "revoke", "a")
    assert "revoked" in cli.apply({"keys": [{"name": "a", "user": "v"}]}).stderr
    assert cli.json("key", "list")[0]["state"] == "revoked"
    assert json.loads(cli.run("export").stdout)["keys"] == []


@pytest.mark.timeout(120)
def test_a_hundred_thousand_keys_apply_within_their_bounds(cli, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"name": f"k{i}", "user": f"u{i % 1000}", "secret": f"sk-weir-{i:045d}"} for i in range(100_000)]}))
    # 256 MB of address space: the document itself is 10 MB of it
    sanitized = b"__asan_init" in (BUILD / "weir").read_bytes() or b"__tsan_init" in (BUILD / "weir").read_bytes()
    run = [PROGRAM] if sanitized else ["sh", "-c", 'ulimit -v 262144; exec "$0" "$@"', PROGRAM]
    for said in ("keys: 100000 added", "keys: 0 added, 0 changed, 100000 unchanged"):
        done = subprocess.run([*run, "--data", cli.data, "apply", str(path)], capture_output=True, text=True, timeout=50)
        assert done.returncode == 0 and said in done.stderr
    assert cli.sql("SELECT count(*) FROM client_key") == [(100_000,)]
    assert len(cli.json("key", "list")) == 100_000


# ---- what apply refuses ----

def provider(**fields):
    return {"providers": [{"name": "p", "dialect": "openai", "base_url": "https://a.example/v1"} | fields]}


def model(**fields):
    return {"providers": [{"name": "m", "dialect": "mock"}], "models": [{"alias": "a", "targets": [{"provider": "m", "model": "x"}]} | fields]}


def limit(**fields):
    entry = {"scope": "global", "metric": "tokens", "shape": "total", "amount": 1} | fields
    return {"limits": [{k: v for k, v in entry.items() if v is not Ellipsis}]}


def bucket(**fields):
    return limit(**({"shape": "bucket", "amount": ..., "capacity": 1, "refill_per_sec": 1} | fields))


def key(**fields):
    return {"keys": [{"name": "k"} | fields]}


def jwt(**fields):
    entry = {"name": "j", "algorithm": "HS256", "secret": "s" * 32} | fields
    return {"jwt": [{k: v for k, v in entry.items() if v is not Ellipsis}]}


FAULTS = [
    ("document", ""), ("document", "{"), ("document", "[]"), ("document", "7"), ("document", '{"keys":[]} x'), ("document", "{'keys':[]}"),
    ("document", '{"keys":[{"name":"\\ud800"'), ("document", "[" * 100 + "]" * 100), ("keys", '{"keys":[],"keys":[]}'),
    ("colour", {"colour": []}), ("providers", {"providers": {}}), ("settings", {"settings": []}), ("keys[0]", {"keys": ["x"]}), ("limits", {"limits": None}),
    # providers
    ("providers[0].name", {"providers": [{"dialect": "mock"}]}), ("providers[0].name", provider(name="")), ("providers[0].name", provider(name=7)),
    ("providers[0].name", provider(name="p" * 129)), ("providers[0].name", provider(name="a:b")), ("providers[0].name", provider(name="a\nb")),
    ("providers[0].dialect", {"providers": [{"name": "p"}]}), ("providers[0].dialect", provider(dialect="cohere")),
    ("providers[0].base_url", {"providers": [{"name": "p", "dialect": "openai"}]}), ("providers[0].base_url", provider(base_url="ftp://a/")),
    ("providers[0].base_url", provider(base_url="http://a.example/v1")), ("providers[0].base_url", provider(base_url="http://169.254.169.254/v1")),
    ("providers[0].base_url", provider(base_url="http://172.32.0.1/v1")), ("providers[0].base_url", provider(base_url="http://[2001:db8::1]/v1")),
    ("providers[0].base_url", provider(base_url="http://0x7f.1/v1")), ("providers[0].base_url", provider(base_url="http://localhost.example/v1")),
    ("providers[0].base_url", provider(base_url="https://u:p@a.example/v1")), ("providers[0].base_url", provider(base_url="https://a.example/v1?k=1")),
    ("providers[0].base_url", provider(base_url="https://a.example:99999/")), ("providers[0].base_url", provider(base_url="https:///v1")),
    ("providers[0].base_url", provider(base_url="https://a b/v1")), ("providers[0].allow_plain_http", provider(allow_plain_http=1)),
    ("providers[0].timeouts.connect_ms", provider(timeouts={"connect_ms": 0})), ("providers[0].timeouts.idle_ms", provider(timeouts={"idle_ms": 1.5})),
    ("providers[0].timeouts.total_ms", provider(timeouts={"total_ms": "9"})), ("providers[0].timeouts.read_ms", provider(timeouts={"read_ms": 1})),
    ("providers[0].faces[1]", provider(faces=["chat", "chat"])), ("providers[0].faces[0]", provider(faces=["talk"])), ("providers[0].faces", provider(faces=[])),
    ("providers[0].auth", provider(auth="basic")), ("providers[0].api_version", provider(api_version="1&x=2")),
    ("providers[0].anthropic_version", provider(anthropic_version="a\r\nb")),
    ("providers[0].headers.host", provider(headers={"host": "x"})), ("providers[0].headers.Authorization", provider(headers={"Authorization": "x"})),
    ("providers[0].headers.x-a", provider(headers={"x-a": "b\r\nx-c: d"})), ("providers[0].headers.x a", provider(headers={"x a": "b"})),
    ("providers[0].headers.X-A", '{"providers":[{"name":"p","dialect":"mock","headers":{"x-a":"1","X-A":"2"}}]}'),
    ("providers[0].keys[0].secret", provider(keys=[{"name": "k"}])), ("providers[0].keys[0].secret", provider(keys=[{"name": "k", "secret": ""}])),
    ("providers[0].keys[0].secret", provider(keys=[{"name": "k", "secret": "a\nb"}])),
    ("providers[0].keys[0].secret", provider(keys=[{"name": "k", "secret": "env:CLI_TEST_UNSET"}])),
    ("providers[0].keys[0].secret", provider(keys=[{"name": "k", "secret": "file:/nonexistent/x"}])),
    ("providers[0].keys[1].name", provider(keys=[{"name": "k", "secret": "s"}, {"name": "k", "secret": "t"}])),
    ("providers[0].keys[0].priority", provider(keys=[{"name": "k", "secret": "s", "priority": -1}])),
    ("providers[0].key_strategy", provider(key_strategy="random")), ("providers[0].keyz", provider(keyz=[])),
    ("providers[1].name", {"providers": [{"name": "p", "dialect": "mock"}, {"name": "p", "dialect": "mock"}]}),
    # models
    ("models[0].alias", model(alias="")), ("models[0].alias", model(alias="a" * 257)), ("models[0].alias", model(alias="a\u0000b")),
    ("models[0].targets", model(targets=[])), ("models[0].targets", {"models": [{"alias": "a"}]}),
    ("models[0].targets[0].provider", model(targets=[{"provider": "nobody", "model": "x"}])), ("models[0].targets[0].model", model(targets=[{"provider": "m"}])),
    ("models[0].targets[0].weight", model(targets=[{"provider": "m", "model": "x", "weight": 0}])),
    ("models[0].targets[1]", model(targets=[{"provider": "m", "model": "x"}, {"provider": "m", "model": "x"}])),
    ("models[0].strategy", model(strategy="fastest")), ("models[0].cache_ttl", model(cache_ttl=-1)), ("models[0].max_output", model(max_output=0)),
    ("models[0].price.input", model(price={"input": 0.15, "output": "1"})), ("models[0].price.input", model(price={"input": "-1", "output": "1"})),
    ("models[0].price.output", model(price={"input": "1"})), ("models[0].price.output", model(price={"input": "1", "output": "0.0000000001"})),
    ("models[0].fallback", model(fallback="nobody")), ("models[0].fallback", model(fallback="a")),
    # limits
    ("limits[0].capacity", bucket(capacity=0)), ("limits[0].capacity", bucket(capacity=-5)), ("limits[0].capacity", bucket(capacity=1.5)),
    ("limits[0].capacity", bucket(capacity=...)), ("limits[0].capacity", bucket(metric="cost", refill_per_sec="1")), ("limits[0].amount", bucket(amount=1)),
    ("limits[0].refill_per_sec", bucket(refill_per_sec=0)), ("limits[0].refill_per_sec", bucket(refill_per_sec=-0.5)),
    ("limits[0].refill_per_sec", bucket(refill_per_sec="1")), ("limits[0].refill_per_sec", bucket(refill_per_sec=...)),
    ("limits[0].refill_per_sec", bucket(metric="cost", capacity="1", refill_per_sec=1)),
    ("limits[0].refill_per_sec", '{"limits":[{"scope":"global","metric":"tokens","shape":"bucket","capacity":1,"refill_per_sec":1e-12}]}'),
    ("limits[0].amount", limit(amount=0)), ("limits[0].amount", limit(amount=...)), ("limits[0].amount", limit(metric="cost", amount=20)),
    ("limits[0].amount", limit(amount="20")), ("limits[0].amount", '{"limits":[{"scope":"global","metric":"tokens","shape":"total","amount":99999999999999999999}]}'),
    ("limits[0].scope", limit(scope="team")), ("limits[0].scope", limit(scope="team/")), ("limits[0].scope", limit(scope="planet/earth")),
    ("limits[0].scope", limit(scope="ip/nowhere")), ("limits[0].scope", limit(scope="user/" + "u" * 129)), ("limits[0].scope", limit(scope=...)),
    ("limits[0].metric", limit(metric="words")), ("limits[0].shape", limit(shape="sphere")), ("limits[0].shape", limit(shape=...)),
    ("limits[0].shape", limit(metric="concurrency")), ("limits[0].seconds", limit(shape="window")), ("limits[0].seconds", limit(shape="window", seconds=0)),
    ("limits[0].seconds", limit(seconds=60)), ("limits[0].period", limit(shape="calendar")), ("limits[0].period", limit(shape="calendar", period="year")),
    ("limits[0].utc_offset", limit(utc_offset="+02:00")), ("limits[0].utc_offset", limit(shape="calendar", period="day", utc_offset="2")),
    ("limits[0].utc_offset", limit(shape="calendar", period="day", utc_offset=10000)), ("limits[0].mode", limit(mode="firm")),
    ("limits[0].warn_percent", limit(warn_percent=101)), ("limits[0].capacity", limit(capacity=1)),
    ("limits[1]", {"limits": limit()["limits"] * 2}),
    ("limits[2].capacity", {"limits": [*limit()["limits"], *limit(scope="team/*")["limits"], *bucket(capacity=0)["limits"]]}),
    # keys
    ("keys[0].name", {"keys": [{}]}), ("keys[0].name", key(name="k\t")), ("keys[0].user", key(user="")), ("keys[0].user", key(user="u" * 129)),
    ("keys[0].models", key(models=[])), ("keys[0].models", key(models="a")), ("keys[0].models[1]", key(models=["a", 7])),
    ("keys[0].allow_ip[0]", key(allow_ip=["10.0.0.0/99"])), ("keys[0].may_assert_identity", key(may_assert_identity="yes")),
    ("keys[0].secret", key(secret="sk-short")), ("keys[0].secret", key(secret="s" * 40 + "\n")), ("keys[0].secret", key(secret=None)),
    ("keys[0].expires", key(expires="tomorrow")), ("keys[1].name", {"keys": [{"name": "k"}, {"name": "k"}]}), ("keys[0].colour", key(colour="red")),
    # jwt
    ("jwt[0].secret", jwt(secret=...)), ("jwt[0].algorithm", jwt(algorithm="none")), ("jwt[0].public_key", jwt(public_key=PEM)),
    ("jwt[0].secret", jwt(algorithm="RS256", public_key=PEM)), ("jwt[0].public_key", jwt(algorithm="RS256", secret=...)),
    ("jwt[0].public_key", jwt(algorithm="RS256", secret=..., public_key="abc")),
    ("jwt[0].secret", jwt(secret="s" * 15)), ("jwt[0].secret", jwt(algorithm="HS512", secret="")), ("jwt[0].claims.user", jwt(claims={"user": "c" * 257})),
    ("jwt[64]", {"jwt": [{"name": f"j{i}", "algorithm": "HS256", "secret": "s" * 32} for i in range(65)]}),
    ("jwt[0].jwks_url", jwt(algorithm="ES256", secret=..., jwks_url="http://a.example/k")), ("jwt[0].jwks_url", jwt(algorithm="ES256", secret=..., jwks_url="file:///etc/passwd")),
    ("jwt[0].jwks_url", jwt(algorithm="ES256", secret=..., jwks_url="http://169.254.169.254/latest")), ("jwt[0].jwks_url", jwt(algorithm="ES256", secret=..., jwks_url="https://u:p@a/k")),
 ("jwt[0].claims.colour", jwt(claims={"colour": "x"})),
    # settings
    ("settings.colour", {"settings": {"colour": 1}}), ("settings.anonymous", {"settings": {"anonymous": "no"}}),
    ("settings.on_disconnect", {"settings": {"on_disconnect": "wait"}}), ("settings.cors_origins", {"settings": {"cors_origins": "*"}}),
    ("settings.max_body", {"settings": {"max_body": 1}}), ("settings.http2", '{"settings":{"http2":true,"http2":false}}'),
]


def test_wrong_documents_are_refused_with_their_path(cli):
    """One data directory for all of them: nothing may be written by any."""
    version, wrong = cli.version(), []
    for path, document in FAULTS:
        done = cli.apply(document, code=1)
        lines = done.stderr.splitlines()
        if done.stdout or len(lines) != 1 or not lines[0].startswith(path + ": ") or len(lines[0]) < len(path) + 8:
            wrong.append((path, done.stderr))
    assert wrong == []
    assert cli.version() == version
    assert [json.loads(cli.run("export").stdout)[s] for s in ("providers", "models", "limits", "keys", "jwt")] == [[]] * 5


def test_what_stands_at_its_bound_is_taken(cli):
    """One past it: test_wrong_documents_are_refused_with_their_path."""
    alias = "a" * 256
    cli.apply({"providers": [{"name": "m" * 128, "dialect": "mock"}],
               "models": [{"alias": alias, "targets": [{"provider": "m" * 128, "model": f"t{i}"} for i in range(64)]}],
               "jwt": [{"name": "n" * 128 if i else "j", "algorithm": "HS256", "secret": "s" * 16, "claims": {"user": "c" * 256}} for i in range(2)] +
                      [{"name": f"j{i}", "algorithm": "HS256", "secret": "s" * 32} for i in range(62)]})
    document = json.loads(cli.run("export").stdout)
    assert len(document["models"][0]["targets"]) == 64 == len(document["jwt"]) and document["models"][0]["alias"] == alias
    assert "at most 64" in cli.apply({"models": [{"alias": "b", "targets": [{"provider": "m" * 128, "model": f"t{i}"} for i in range(65)]}]}, code=1).stderr
    assert "one too many" in cli.apply({"jwt": [{"name": "more", "algorithm": "HS256", "secret": "s" * 32}]}, code=1).stderr
    assert "fewer bytes than" in cli.apply({"jwt": [{"name": "j", "algorithm": "HS384", "secret": "s" * 47}]}).stderr
    assert "fewer bytes than" not in cli.apply({"jwt": [{"name": "j", "algorithm": "HS384", "secret": "s" * 48}]}).stderr


def test_a_document_has_its_bound(cli, tmp_path):
    """256 MB, most of them holes: at the bound it is read, and is no JSON; a byte more is not read."""
    path = tmp_path / "holes"
    for more, said in ((0, "is not JSON"), (1, "larger than its bound")):
        with open(path, "wb") as f:
            f.truncate((256 << 20) + more)
        assert said in cli.run("apply", path, code=1).stderr


def test_the_sentence_of_the_interface(cli):
    assert cli.apply({"limits": [*limit()["limits"], *limit(scope="team/*")["limits"], *bucket(capacity=0)["limits"]]},
                     code=1).stderr == "limits[2].capacity: must be above 0\n"


@pytest.mark.parametrize("url", ["http://127.9.8.7:80", "http://[::1]:8080/v1", "http://10.255.0.1/v1", "http://172.16.0.1/v1", "http://172.31.255.255",
                                 "http://192.168.0.1/v1", "http://[fd00::1]/v1", "http://localhost:11434/v1", "https://a.example:8443/deep/path/v1"])
def test_private_and_https_addresses_are_accepted(cli, url):
    cli.apply(provider(base_url=url))
    assert cli.json("provider", "list")[0]["base_url"] == url


# ---- keys ----

def test_key_create_prints_the_secret_alone(cli):
    done = cli.run("key", "create", "--name", "n", "--user", "u", "--team", "t", "--role", "r", "--rolegroup", "g", "--models", "a,b", "--models", "c",
                   "--expires", "90d", "--allow-ip", "10.0.0.0/8,::1", "--may-assert-identity")
    assert KEY.fullmatch(done.stdout.strip()) and done.stdout.endswith("\n") and "sk-weir" not in done.stderr
    row = cli.json("key", "list")[0]
    assert row.items() >= {"name": "n", "user": "u", "team": "t", "role": "r", "rolegroup": "g", "models": ["a", "b", "c"], "allow_ip": ["10.0.0.0/8", "::1"],
                           "may_assert_identity": True, "state": "active", "last_used": None}.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["expires"])
    assert "n " in cli.run("key", "list").stdout
    assert "there already" in cli.run("key", "create", "--name", "n", code=1).stderr
    assert "allow_ip[0]: " in cli.run("key", "create", "--name", "m", "--allow-ip", "x", code=1).stderr
    assert "name: " in cli.run("key", "create", "--name", "m" * 129, code=1).stderr


def hashes(cli):
    return dict(cli.sql("SELECT hash, expires FROM client_secret"))


def test_rotation_lets_the_old_secret_live_for_its_overlap(cli):
    first = cli.run("key", "create", "--name", "n").stdout.strip()
    old = hashes(cli)
    second = cli.run("key", "rotate", "n", "--overlap", "24h").stdout.strip()
    assert KEY.fullmatch(second) and second != first
    both = hashes(cli)
    assert len(both) == 2
    left = both[next(iter(old))] / 1000 - time.time()
    assert 86300 < left <= 86400 and [v for h, v in both.items() if h not in old] == [None]
    cli.run("key", "rotate", "n")  # no overlap: every older one ends now
    assert all(v is None or v / 1000 <= time.time() + 1 for v in hashes(cli).values())
    assert list(hashes(cli).values()).count(None) == 1


def test_revocation_is_for_good(cli):
    cli.run("key", "create", "--name", "n")
    cli.run("key", "revoke", "n")
    row = cli.json("key", "list")[0]
    assert row["state"] == "revoked" and row["revoked"]
    cli.run("key", "revoke", "n")
    assert cli.json("key", "list")[0]["revoked"] == row["revoked"]
    assert "revoked" in cli.run("key", "rotate", "n", code=1).stderr
    for verb in ("rotate", "revoke"):
        assert "no key of that name" in cli.run("key", verb, "nobody", code=1).stderr


def test_every_change_of_a_key_is_told_to_the_gateway(cli):
    seen = [cli.version()]
    for args in (["create", "--name", "n"], ["rotate", "n"], ["revoke", "n"]):
        cli.run("key", *args)
        seen.append(cli.version())
    assert seen == sorted(set(seen))


# ---- providers and models ----

def test_provider_add_reads_its_key_from_a_file_or_stdin(cli, tmp_path):
    path = tmp_path / "key"
    path.write_text(SECRETS[0] + "\n")
    cli.run("provider", "add", "one", "--dialect", "openai", "--base-url", "https://a.example/v1/", "--key-file", str(path))
    cli.run("provider", "add", "two", "--dialect=openai", "--base-url=http://127.0.0.1:9/v1", "--key-file", "-", feed=SECRETS[1] + "\n")
    found = cli.json("provider", "list")
    key = {"name": "k1", "priority": 1, "state": "active", "requests": 0, "failed": 0, "error": None}
    assert [(p["name"], p["base_url"], p["keys"]) for p in found] == [("one", "https://a.example/v1", [key]),
                                                                      ("two", "http://127.0.0.1:9/v1", [key])]
    assert found[0]["timeouts"] == {"connect_ms": 5000, "first_byte_ms": 60000, "idle_ms": 60000, "total_ms": 600000}
    assert found[0].keys() >= {"health", "breaker"}
    assert "there already" in cli.run("provider", "add", "one", "--dialect", "mock", code=1).stderr
    assert cli.run("provider", "add", "three", "--dialect", "openai", "--base-url", "http://a.example", code=1).stderr.startswith("base_url: ")
    cli.run("provider", "add", "four", "--dialect", "openai", "--base-url", "https://a.example", "--key-file", "/nonexistent", code=1)
    assert not [s for s in SECRETS if s in cli.said]


def test_model_add_splits_targets_at_the_first_colon(cli):
    cli.apply({"providers": [{"name": "p", "dialect": "mock"}, {"name": "q", "dialect": "mock"}]})
    cli.run("model", "add", "a", "--to", "p:llama3.2:1b,q:x")
    found = cli.json("model", "list")[0]
    assert [(t["provider"], t["model"], t["weight"], t["state"]) for t in found["targets"]] == [("p", "llama3.2:1b", 1, "closed"),
                                                                                                ("q", "x", 1, "closed")]
    assert found["price"] is None and "p:llama3.2:1b,q:x" in cli.run("model", "list").stdout
    assert "there already" in cli.run("model", "add", "a", "--to", "p:y", code=1).stderr
    assert cli.run("model", "add", "b", "--to", "nobody:y", code=1).stderr.startswith("targets[0].provider: ")


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers as its server's `plan` says: (status, body, pause between pieces in seconds)."""
    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers.items())))
        self.answer()

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def answer(self):
        status, pieces, pause = self.server.plan
        self.send_response(status)
        self.send_header("connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece.encode())
            self.wfile.flush()
            self.server.halt.wait(pause)

    def log_message(self, *args):
        pass


@pytest.fixture
def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    server.seen, server.plan, server.halt = [], (200, ['{"object":"list","data":[{"id":"a"},{"id":"b"}]}'], 0), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.halt.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def refusing():
    """An address where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{s.getsockname()[1]}/v1"


def add(cli, url, dialect="openai", name="p"):
    cli.run("provider", "add", name, "--dialect", dialect, "--base-url", url, "--key-file", "-", feed=SECRETS[0])


@pytest.mark.parametrize("dialect, base, asked, header", [("openai", "/v1", "/v1/models", ("Authorization", "Bearer " + SECRETS[0])),
                                                          ("anthropic", "/v1", "/v1/models?limit=1000", ("x-api-key", SECRETS[0])),
                                                          ("azure", "", "/openai/v1/models", ("api-key", SECRETS[0]))])
def test_provider_test_really_calls(cli, upstream, dialect, base, asked, header):
    add(cli, upstream.url + base, dialect)
    assert "lists 2 models" in cli.run("provider", "test", "p").stdout
    path, headers = upstream.seen[0]
    assert path == asked and headers[header[0]] == header[1]


@pytest.mark.parametrize("status, word", [(401, "refuses the key"), (403, "refuses the key"), (404, "base_url"), (500, "trouble")])
def test_provider_test_says_what_an_answer_means(cli, upstream, status, word):
    upstream.plan = (status, [f"key {SECRETS[0]} is wrong"], 0)
    add(cli, upstream.url + "/v1")
    done = cli.run("provider", "test", "p", code=1)
    assert word in done.stderr and str(status) in done.stderr
    assert SECRETS[0] not in done.stderr + done.stdout


def test_provider_test_says_why_there_is_no_answer(cli, upstream, refusing):
    add(cli, refusing, name="refusing")
    add(cli, "https://nowhere.invalid/v1", name="nowhere")
    add(cli, f"https://127.0.0.1:{upstream.server_port}/v1", name="no-tls")
    add(cli, upstream.url + "/v1", name="html")
    upstream.plan = (200, ["<html>hello</html>"], 0)
    for name, word in (("refusing", "refused"), ("nowhere", "does not resolve"), ("no-tls", "TLS"), ("html", "not with JSON")):
        assert word in cli.run("provider", "test", name, code=1).stderr
    assert "no provider" in cli.run("provider", "test", "nobody", code=1).stderr


# ---- settings ----

def test_settings_show_set_and_refuse(cli):
    rows = {r["name"]: r for r in cli.json("settings")}
    for name in ("WEIR_DATA", "WEIR_THREADS_MAX", "OPENAI_API_KEY", "anonymous", "on_disconnect", "max_body", "cors_origins"):
        assert rows[name]["meaning"]
    assert rows["on_disconnect"]["value"] == "cancel" and rows["max_body"]["value"] == 33554432 and rows["cors_origins"]["value"] == []
    version = cli.version()
    cli.run("settings", "on_disconnect", "drain")
    cli.run("settings", "max_body", "2048")
    assert cli.version() == version + 2
    assert cli.json("settings", "on_disconnect")[0]["value"] == "drain" and cli.json("settings", "max_body")[0]["value"] == 2048
    assert "already" in cli.run("settings", "max_body", "2048").stderr
    for args, word in ((["max_body", "many"], "max_body: must be"), (["colour", "red"], "no such setting"), (["WEIR_LOG", "x"], "environment"), (["colour"], "no such setting")):
        assert word in cli.run("settings", *args, code=1).stderr
    assert "sk-hidden" not in cli.run("settings", OPENAI_API_KEY="sk-hidden").stdout


# ---- audit ----

FIELDS = ("time request_id user team role rolegroup key ip endpoint alias provider model stream status outcome attempts cache prompt_tokens cached_tokens "
          "cache_write_tokens completion_tokens cost usage_source first_byte_ms latency_ms error context").split()


def note(cli, n, ago_s=0, **fields):
    row = dict.fromkeys(FIELDS) | {"time": int(time.time() * 1000) - ago_s * 1000 + n, "request_id": f"r{n}", "user": "alice", "key": "k", "alias": "a", "provider": "p",
                                   "endpoint": "/v1/chat/completions", "stream": 0, "status": 200, "outcome": "ok", "attempts": 1, "cache": "bypass", "prompt_tokens": 10,
                                   "cached_tokens": 2, "cache_write_tokens": 0, "completion_tokens": 5, "usage_source": "provider", "latency_ms": 7} | fields
    cli.sql(f"INSERT INTO audit ({','.join(FIELDS)}) VALUES ({','.join('?' * len(FIELDS))})", *(row[f] for f in FIELDS))


def audit(cli, *args):
    return [json.loads(s) for s in cli.run("audit", "--json", *args).stdout.splitlines()]


def test_audit_rows_have_the_fields_of_the_interface(cli):
    note(cli, 1, cost=1234, stream=1, first_byte_ms=3, error=None)
    note(cli, 2, user=None, alias="x\x1b[31m\nfaked row", outcome="failed", status=502, error="upstream_error")
    one, two = audit(cli)
    assert list(one) == FIELDS
    assert one["stream"] is True and one["cost"] == "0.000001234" and one["first_byte_ms"] == 3 and one["time"].endswith("Z")
    assert two["user"] is None and two["cost"] is None and two["first_byte_ms"] is None and two["error"] == "upstream_error"
    shown = cli.run("audit").stdout
    assert "\x1b" not in shown and len(shown.splitlines()) == 3


def test_audit_filters_and_has_no_cap(cli):
    db = sqlite3.connect(cli.data + "/weir.db")
    with db:
        db.executemany("INSERT INTO audit (time, request_id, user, endpoint, stream, status, outcome, attempts, cache, prompt_tokens, cached_tokens, cache_write_tokens,"
                       " completion_tokens, usage_source, latency_ms) VALUES (?, ?, ?, '/v1/embeddings', 0, 200, 'ok', 1, 'bypass', 1, 0, 0, 1, 'none', 1)",
                       [(int((time.time() - 7200 + i) * 1000), f"r{i}", "bob" if i % 2 else "alice") for i in range(1700)])
    db.close()
    assert [r["request_id"] for r in audit(cli)] == [f"r{i}" for i in range(1700)]
    assert {r["user"] for r in audit(cli, "--user", "bob")} == {"bob"} and len(audit(cli, "--user", "bob")) == 850
    assert [r["request_id"] for r in audit(cli, "--limit", "3")] == ["r1697", "r1698", "r1699"]
    assert [r["request_id"] for r in audit(cli, "--limit", "2", "--user", "alice")] == ["r1696", "r1698"]
    assert len(audit(cli, "--limit", "5000")) == 1700
    assert audit(cli, "--since", "1h") == []
    note(cli, 1)
    assert [r["request_id"] for r in audit(cli, "--since", "1h")] == ["r1"]


def test_audit_follow_shows_rows_as_they_come(cli):
    note(cli, 1)
    tail = subprocess.Popen([PROGRAM, "--data", cli.data, "audit", "--follow", "--json"], stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(20, tail.kill)
    watchdog.start()
    try:
        assert json.loads(tail.stdout.readline())["request_id"] == "r1"
        note(cli, 2)
        assert json.loads(tail.stdout.readline())["request_id"] == "r2"
    finally:
        watchdog.cancel()
        tail.kill()
        tail.wait()
        tail.stdout.close()


# ---- backup, migrate ----

def test_a_backup_is_whole_private_and_overwrites_nothing(cli, tmp_path):
    cli.apply(whole())
    copy = str(tmp_path / "copy.db")
    assert "master.key" in cli.run("backup", copy).stderr
    assert mode(copy) == 0o600
    db = sqlite3.connect(copy)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("SELECT count(*) FROM client_key").fetchall() == [(2,)]
    db.close()
    size = os.path.getsize(copy)
    assert "overwrites nothing" in cli.run("backup", copy, code=1).stderr
    assert os.path.getsize(copy) == size
    cli.run("backup", "/nonexistent/x", code=1)


def test_migrate_has_nothing_to_do_and_refuses_a_newer_database(cli):
    assert "nothing to do" in cli.run("migrate").stderr
    cli.sql("PRAGMA user_version = 9999")
    for args in (["migrate"], ["key", "list"]):
        assert "newer" in cli.run(*args, code=1).stderr


# ---- doctor ----

def findings(cli, *args, code=0):
    return {r["check"]: (r["status"], r["detail"]) for r in json.loads(cli.run("doctor", "--json", *args, code=code).stdout)}


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "lighttpd.conf"
    path.write_text("# weir\nserver.stream-response-body = 1\n")
    return str(path)


def test_doctor_is_content_with_a_healthy_site(cli, upstream, conf):
    add(cli, upstream.url + "/v1")
    found = findings(cli, "--lighttpd", conf)
    assert {s for s, _ in found.values()} <= {"ok", "warn"}
    assert found["upstream p"][0] == "ok" and found["clock"][0] == "ok" and found["integrity"][0] == "ok" and found["answer streaming"][0] == "ok"
    lines = cli.run("doctor", "--lighttpd", conf).stdout.splitlines()
    assert len(lines) == len(found) and all(re.match(r"(ok|warn|FAIL) +\S.*  - \S", s) for s in lines)


def test_doctor_finds_a_loose_master_key(cli, conf):
    os.chmod(cli.data + "/master.key", 0o640)
    status, detail = findings(cli, "--lighttpd", conf, code=1)["master key"]
    assert status == "FAIL" and "chmod 600" in detail


def test_doctor_finds_a_missing_and_a_foreign_master_key(cli, conf):
    add(cli, "https://nowhere.invalid/v1")
    os.rename(cli.data + "/master.key", cli.data + "/away")
    assert findings(cli, "--lighttpd", conf, code=1)["master key"][0] == "FAIL"
    cli.run("init")
    found = findings(cli, "--lighttpd", conf, code=1)
    assert found["master key"][0] == "ok" and found["sealed keys"][0] == "FAIL"


def test_doctor_finds_open_files_and_a_refusing_upstream(cli, conf, refusing):
    add(cli, refusing)
    os.chmod(cli.data, 0o755)
    os.chmod(cli.data + "/weir.db", 0o644)
    found = findings(cli, "--lighttpd", conf, code=1)
    assert found["data directory"][0] == found["database file"][0] == "FAIL"
    assert found["upstream p"][0] == "FAIL" and "refused" in found["upstream p"][1]


def test_doctor_finds_buffering_in_the_configuration(cli, conf):
    for text, status in (("# server.stream-response-body = 1\n", "FAIL"), ("server.stream-response-body=0\n", "FAIL"), ("  server.stream-response-body  =  2 # soon\n", "ok")):
        pathlib.Path(conf).write_text(text)
        assert findings(cli, "--lighttpd", conf, code=0 if status == "ok" else 1)["answer streaming"][0] == status


def test_doctor_measures_whether_streams_arrive_as_they_are_sent(cli, conf, upstream, tmp_path):
    key_file = tmp_path / "client-key"
    key_file.write_text(SECRETS[2] + "\n")
    args = ["--lighttpd", conf, "--url", upstream.url, "--key-file", str(key_file), "--model", "m"]
    upstream.plan = (200, [f'data: {{"n":{i}}}\n\n' for i in range(6)], 0.05)
    assert findings(cli, *args)["stream"][0] == "ok"
    assert upstream.seen[-1][0] == "/v1/chat/completions" and upstream.seen[-1][1]["Authorization"] == "Bearer " + SECRETS[2]
    upstream.plan = (200, ["".join(f'data: {{"n":{i}}}\n\n' for i in range(6))], 0.3)
    assert findings(cli, *args, code=1)["stream"][0] == "FAIL"
    upstream.plan = (401, ["{}"], 0)
    assert "401" in findings(cli, *args, code=1)["stream"][1]


@pytest.mark.parametrize("files, said", [(256, "FAIL"), (2687, "FAIL"), (2688, "ok")])  # 512 threads with 5 each, and 128
def test_doctor_finds_too_few_descriptors(cli, conf, files, said):
    limited = ["sh", "-c", f'ulimit -n {files}; exec "$0" "$@"', PROGRAM, "--data", cli.data, "doctor", "--json", "--lighttpd", conf]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=30)
    rows = {r["check"]: r["status"] for r in json.loads(done.stdout)}
    assert rows["descriptors"] == said and (said == "ok" or done.returncode == 1)
