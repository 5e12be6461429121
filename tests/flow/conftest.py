"""Fixtures of the flow tests: one mock provider, one data directory and one lighttpd for all, a counted view for each.

A test that takes `gw` gets a Gateway; after it, audit log and upstream are checked against what it sent.
"""
import shutil
import socket
import subprocess
import tempfile

import pytest

import harness
import scan
from harness import SECRET


@pytest.fixture(scope="session", autouse=True)
def no_secret_stands_anywhere():
    """At the end of the session: every secret used, in every place looked at (scan.py)."""
    scan.note(harness.PROVIDER_KEY, "a provider's key")
    yield
    assert scan.secrets
    assert not scan.found, f"{len(scan.found)} secrets where none may be:\n" + "\n".join(scan.found[:20])


@pytest.fixture(scope="session")
def mock():
    folder = tempfile.mkdtemp(prefix="weir-cert-")
    pem = f"{folder}/mock.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", pem + ".key", "-out", pem + ".crt"], capture_output=True, check=True)
    with open(pem, "w") as f:
        f.write(open(pem + ".key").read() + open(pem + ".crt").read())
    m = harness.Mock(pem)
    yield m
    m.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def refusing_port():
    """A port where nobody listens and nobody else will."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


def document(mock, refusing_port):
    """The providers all tests share, and one key. Aliases come with the tests."""
    keys = [{"name": "k1", "secret": harness.PROVIDER_KEY}]

    def provider(name, base, **fields):
        return {"name": name, "dialect": "openai", "base_url": base, "keys": keys,
                "timeouts": {"connect_ms": 2000, "first_byte_ms": 8000, "idle_ms": 8000, "total_ms": 30000}} | fields
    here = f"http://127.0.0.1:{mock.port}"
    providers = [
        provider("mock", here + "/v1"),
        provider("hasty", here + "/v1", timeouts={"connect_ms": 300, "first_byte_ms": 300, "idle_ms": 400, "total_ms": 1200}),
        provider("refused", f"http://127.0.0.1:{refusing_port}/v1"),
        provider("other", here + "/other/v1", keys=[], headers={"x-extra": "1", "x-tenant": "flow tests"}),
        {"name": "built-in", "dialect": "mock"},
        provider("claude", here + "/anthropic/v1", dialect="anthropic"),
        provider("responding", here + "/v1", faces=["chat", "responses"]),
        provider("groq", here + "/groq/openai/v1", dialect="groq"),
        provider("gemini", here + "/gemini/v1beta/openai", dialect="gemini"),
        provider("ollama", here + "/ollama/v1", dialect="ollama"),
        provider("azure", here + "/azure", dialect="azure", api_version="2024-10-21"),
        provider("tls", f"https://127.0.0.1:{mock.ports['tls']}/v1"),
    ]
    return {"providers": providers, "settings": {"retries": 0}, "keys": [{"name": "flow", "user": "ada", "team": "looms", "role": "dev", "rolegroup": "eng",
                                              "secret": SECRET}]}


@pytest.fixture(scope="session")
def make_site(mock, refusing_port):
    """Makes configured data directories, and removes them at the end."""
    made = []

    def make():
        site = harness.Site()
        made.append(site)
        site.apply(document(mock, refusing_port))
        return site
    yield make
    for s in made:
        s.remove()


@pytest.fixture(scope="session")
def site(make_site):
    return make_site()


@pytest.fixture(scope="session")
def web(site):
    w = harness.Web(site)
    yield w.start()
    w.stop()


@pytest.fixture
def gw(web, mock):
    g = harness.Gateway(web, mock, "flow", SECRET)
    yield g
    g.check()


@pytest.fixture
def make_gw(mock):
    """Gateways of a test's own: make_gw(site, **environment); stopped and checked at the end."""
    made = []

    def make(site, **kw):
        w = harness.Web(site, **kw)
        w.start()
        g = harness.Gateway(w, mock, "flow", SECRET)
        made.append(g)
        return g
    yield make
    try:
        for g in made:
            g.check()
    finally:
        for g in made:
            g.web.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            w = value if isinstance(value, harness.Web) else getattr(value, "web", None)
            if isinstance(w, harness.Web):
                report.sections.append((f"log of lighttpd and weir at port {w.port}", w.tail()))
                break
