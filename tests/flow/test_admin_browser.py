"""The pages in a real browser, Chromium through lighttpd: the way of a day, phone and desktop, light and dark, without
script, and what axe-core finds. Screenshots go to build/screens."""
import csv
import re
import shutil

import openai
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

import harness
from admin_site import PASSWORD, logged_in
from harness import BUILD, MESSAGES, SLOW, _serial

SCREENS = BUILD / "screens"
DESKTOP, PHONE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}, {"width": 320, "height": 640}
PAGES = ("overview", "budgets", "budget", "what-if?user=ada", "keys", "key", "keys?people=1", "verifiers", "verifier", "providers", "provider", "models", "model", "cache", "audit",
         "playground", "settings", "administrators", "changes", "password")


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "these tests need the package chromium"
    SCREENS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=program, args=["--no-sandbox", "--no-proxy-server"])
        yield b
        b.close()


@pytest.fixture(scope="module")
def admin_name(web):
    name = f"browser-{next(_serial)}"
    logged_in(web, name, "admin").close()
    return name


class View:
    """A page of a context of its own, which notes what a good page does not do."""

    def __init__(self, chromium, web, name=None, **options):
        self.web, self.faults = web, []
        self.context = chromium.new_context(base_url=web.url + "/admin/", accept_downloads=True, **({"viewport": DESKTOP} | options))
        self.context.set_default_timeout(15000 * SLOW)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("request", lambda r: self.faults.append("outside: " + r.url) if not r.url.startswith((web.url, "data:", "blob:")) else None)
        if name:
            self.login(name)

    def login(self, name, password=PASSWORD):
        self.page.goto("overview")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Overview")

    def shot(self, name):
        self.page.screenshot(path=SCREENS / f"{name}.png", full_page=True)

    def close(self):
        self.context.close()
        assert not self.faults, self.faults


@pytest.fixture
def view(chromium, web, admin_name):
    v = View(chromium, web, admin_name)
    yield v
    v.close()


def test_a_day(view, gw):
    """Log in, set a team's budget, make a key, call until refused, watch the bar, raise it, call again, find the calls,
    export, revoke, log out."""
    page, team, alias = view.page, f"team-{next(_serial)}", gw.alias("ok")
    page.get_by_role("link", name="Budgets").click()
    page.get_by_role("link", name="New limit").click()
    page.get_by_label("Kind").select_option("team")
    page.get_by_label("Name", exact=True).fill(team)
    page.get_by_label("What is counted").select_option("requests")
    page.get_by_label("Shape").select_option("calendar")
    page.get_by_label("Period").select_option("month")
    page.get_by_label("Amount").fill("3")
    page.get_by_role("button", name="Set the limit").click()
    expect(page.get_by_role("status")).to_contain_text(f"team/{team}")

    page.get_by_role("link", name="Keys and people").click()
    page.get_by_role("link", name="New key").click()
    key = f"day-{next(_serial)}"
    page.get_by_label("Name of the key").fill(key)
    page.get_by_label("Team").fill(team)
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    sdk = gw.sdk(secret)
    for _ in range(3):
        sdk.chat.completions.create(model=alias, messages=MESSAGES)
    with pytest.raises(openai.RateLimitError):
        sdk.chat.completions.create(model=alias, messages=MESSAGES)

    page.goto(f"budgets?scope=team/{team}")
    expect(page.locator(".bar.full")).to_be_visible()
    expect(page.get_by_text("3 of 3")).to_be_visible()
    view.shot("day-budget-full")
    page.get_by_role("link", name="Change", exact=True).click()
    page.get_by_label("Amount").fill("10")
    page.get_by_role("button", name="Change the limit").click()
    sdk.chat.completions.create(model=alias, messages=MESSAGES)

    page.goto("overview")
    view.shot("day-overview")
    page.get_by_role("link", name="Audit").click()
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Team").fill(team)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(5)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    with open(waiting.value.path(), newline="") as f:
        rows = list(csv.DictReader(f))
    assert [r["outcome"] for r in rows] == ["ok", "refused", "ok", "ok", "ok"] and {r["key"] for r in rows} == {key}
    page.locator("tbody tr").nth(1).get_by_role("link").click()
    expect(page.get_by_text("Weir refused it")).to_be_visible()

    page.goto(f"key?name={key}")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("refused from the next request on")).to_be_visible()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("status")).to_contain_text("was revoked")
    with pytest.raises(openai.AuthenticationError):
        sdk.models.list()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("status")).to_have_text("You are logged out.")
    page.goto("overview")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_the_same_without_script(chromium, web, admin_name):
    v = View(chromium, web, admin_name, java_script_enabled=False)
    page, user = v.page, f"plain-{next(_serial)}"
    page.goto("budget")
    page.get_by_label("Kind").select_option("user")
    page.get_by_label("Name", exact=True).fill(user)
    page.get_by_label("What is counted").select_option("tokens")
    page.get_by_label("Shape").select_option("total")
    page.get_by_label("Amount").fill("many")
    page.get_by_role("button", name="Set the limit").click()
    expect(page.get_by_label("Amount")).to_have_value("many")
    expect(page.locator("#e-amount")).to_have_text("must be a number")
    page.get_by_label("Amount").fill("500")
    page.get_by_role("button", name="Set the limit").click()
    expect(page.get_by_role("status")).to_contain_text(user)
    page.goto("audit")
    assert all("UTC" in t for t in page.locator("time").all_inner_texts())
    page.goto("playground")
    expect(page.get_by_text("This page needs its script")).to_be_visible()
    v.faults = [f for f in v.faults if "status of 400" not in f]  # the form that was refused
    v.close()


@pytest.mark.parametrize("size, scheme", [("desktop", "light"), ("desktop", "dark"), ("phone", "dark")])
def test_every_page_at_every_size_and_light(chromium, web, admin_name, gw, size, scheme):
    """axe-core finds nothing serious; nothing stands out of the page; screenshots are kept."""
    gw.chat(gw.alias("ok"))
    gw.site.apply({"jwt": [{"name": "idp", "algorithm": "RS256", "issuer": "https://id.example/realm", "jwks_url": "http://127.0.0.1:1/keys"}]})
    v = View(chromium, web, admin_name, viewport=DESKTOP if size == "desktop" else PHONE, color_scheme=scheme)
    wrong = []
    for name in PAGES:
        v.page.goto(name)
        v.shot(f"{size}-{scheme}-{re.sub('[^a-z]+', '-', name)}")
        if v.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append(f"{name}: wider than the window")
        if size == "desktop":
            for x in Axe().run(v.page).response["violations"]:
                if x["impact"] in ("serious", "critical"):
                    wrong.append(f"{name}: {x['id']}: {x['help']}: {[n['html'][:120] for n in x['nodes'][:3]]}")
    assert not wrong, "\n".join(wrong)
    v.close()


def test_everything_fits_into_a_narrow_window(chromium, web, admin_name):
    """320 pixels: 400 % zoom of a common screen (WCAG 1.4.10)."""
    v = View(chromium, web, admin_name, viewport=NARROW)
    wide = [name for name in PAGES if v.page.goto(name) and v.page.evaluate("document.documentElement.scrollWidth > innerWidth")]
    assert not wide
    v.close()


def test_times_are_the_reader_s_with_utc_on_hover(chromium, web, admin_name):
    v = View(chromium, web, admin_name, timezone_id="Asia/Tokyo", locale="en-GB")
    v.page.goto("changes")
    time = v.page.locator("time").first
    utc, shown, said = time.get_attribute("title"), time.inner_text(), time.get_attribute("datetime")
    assert utc.endswith("UTC") and utc[:10] == said[:10]
    assert shown != utc and f"{(int(said[11:13]) + 9) % 24:02}:{said[14:16]}" in shown
    v.close()


def test_the_keyboard_reaches_the_content_first(view):
    view.page.goto("overview")
    view.page.keyboard.press("Tab")
    assert view.page.evaluate("document.activeElement.textContent") == "To the content"
    view.page.keyboard.press("Enter")
    assert view.page.evaluate("document.activeElement.id") == "main"


def test_nothing_moves_once_it_is_shown(view):
    view.page.add_init_script("window.moved = 0; new PerformanceObserver(l => l.getEntries().forEach(e => window.moved += e.value))"
                              ".observe({type: 'layout-shift', buffered: true})")
    for name in ("overview", "audit", "keys"):
        view.page.goto(name)
        view.page.wait_for_load_state("networkidle")
        assert view.page.evaluate("window.moved") < 0.05, name


def test_the_overview_keeps_itself_up_to_date_when_asked(view, gw):
    page = view.page
    page.clock.install()
    page.goto("overview")
    page.get_by_role("button", name="Keep it up to date").click()
    before = page.locator(".card").first.inner_text()
    gw.chat(gw.alias("ok"))
    page.clock.run_for(10500)
    harness.until("the overview to show the request", lambda: page.locator(".card").first.inner_text() != before)


def test_the_playground_streams_and_tells_what_came_with_it(view, gw):
    page, gate = view.page, gw.gate()
    alias = gw.alias(f"gated:{gate}")
    page.goto("playground")
    page.get_by_label("Model").select_option(str(alias))
    page.get_by_label("Key").fill(gw.secret)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#answer")).not_to_be_empty()
    first = page.locator("#answer").inner_text()
    gw.mock.go(gate)
    expect(page.locator("#facts")).to_contain_text("took")
    expect(page.locator("#facts")).to_contain_text("x-weir-provider")
    assert len(page.locator("#answer").inner_text()) > len(first)
    harness.until("the row", lambda: gw.site.query("select 1 from audit where alias = ?", str(alias)))
    gw.sent.append(sent := harness.Sent(gw.site.query("select request_id from audit where alias = ?", str(alias))[0][0], "/v1/chat/completions", str(alias)))
    sent.status = 200
    view.shot("playground")


def test_the_reference_is_whole_offline_and_calls(chromium, web, gw):
    """/docs: shows the description, calls the gateway, asks nobody else for anything, breaks no policy."""
    v = View(chromium, web)
    r = v.page.goto(web.url + "/docs")
    policy = r.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    expect(v.page.get_by_text("Set a limit").first).to_be_visible()
    expect(v.page.get_by_text("A chat, whole or as a stream of events").first).to_be_visible()
    v.shot("docs")
    v.page.locator("rapi-doc").evaluate("(d, k) => d.setApiKey('key', k)", gw.secret)
    part = v.page.locator("[id='get-/v1/models']")
    part.scroll_into_view_if_needed()
    with v.page.expect_response(lambda x: x.url == web.url + "/v1/models") as waiting:
        part.get_by_role("button", name="TRY").click()
    assert waiting.value.status == 200
    v.close()
