"""Weir below a prefix of a site of static files."""
import pathlib
import re

import httpx2
import pytest

import behaviours
from admin_site import logged_in
from harness import MESSAGES, TRUST, Gateway, Web, _serial

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def mounted(site):
    folder = pathlib.Path(site.data, "site")
    folder.mkdir()
    (folder / "index.html").write_text("<h1>A site that was here before</h1>")
    (folder / "llms.html").write_text("not Weir's")
    w = Web(site, conf=(HERE / "mount.conf").read_text(), mount="/llm", WEIR_MOUNT="/llm")
    yield w.start()
    w.stop()


@pytest.fixture
def below(mounted, mock):
    from conftest import SECRET
    g = Gateway(mounted, mock, "flow", SECRET)
    yield g
    g.check()


def test_the_site_is_served_as_before(below):
    root = below.url.removesuffix("/llm")
    assert "here before" in below.transport().get(root + "/").text
    assert below.transport().get(root + "/llms.html").text == "not Weir's"
    assert below.transport().get(root + "/v1/models").status_code == 404


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_a_chat_below_the_prefix(below, path):
    alias = below.alias("ok")
    assert below.chat(alias, path=path).json()["choices"]
    assert below.audit()["endpoint"] == "/v1/chat/completions"


def test_a_stream_below_the_prefix_comes_event_by_event(below):
    gate = below.gate()
    alias = below.alias(f"gated:{gate}")
    with below.sdk().chat.completions.create(model=alias, messages=MESSAGES, stream=True) as s:
        assert next(c for c in s if c.choices[0].delta.content).choices[0].delta.content == behaviours.WORDS[0]
        below.mock.go(gate)
        assert "".join(c.choices[0].delta.content or "" for c in s) == "".join(behaviours.WORDS[1:])


def test_models_and_their_ids_below_the_prefix(below):
    alias = below.aliased([("mock", "ok")], name="org/mounted:1")
    assert below.sdk().models.retrieve(alias).id == alias


@pytest.mark.parametrize("path, status", [("/", 200), ("/health", 200), ("/readyz", 200), ("", 200), ("/nothing", 404), ("/llm/health", 404)])
def test_the_other_paths_below_the_prefix(below, path, status):
    r = below.transport().get(below.url + path, follow_redirects=True)
    assert r.status_code == status


def test_the_pages_work_below_the_prefix(mounted):
    b = logged_in(mounted, f"mounted-{next(_serial)}", "admin")
    r = b.ask("GET", "/admin")
    assert r.status_code == 303 and r.headers["location"] == "/llm/admin/overview"
    assert {c.path for c in b.http.cookies.jar} <= {"/llm/admin", "/"} and "Overview" in b.get("overview").said
    for link in re.findall(r'(?:href|src)="(\.\./static/[^"?]+)', b.get("overview").text):
        assert b.http.get("/admin/" + link).status_code == 200, link
    assert "Log in" in b.send(b.get("overview"), "logout").said
    b.close()


@pytest.mark.parametrize("path, type", [("/docs", "text/html"), ("/openapi.json", "application/json"), ("/static/rapidoc-min.js", "text/javascript")])
def test_the_reference_is_served_below_the_prefix(mounted, path, type):
    r = httpx2.get(mounted.url + path, trust_env=False, verify=TRUST)
    assert r.status_code == 200 and r.headers["content-type"].startswith(type)
