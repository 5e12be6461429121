"""An administrator's browser without script, for the tests of the pages: follows forms as a person would, and looks at
every answer for what all of them must have."""
import html
import html.parser
import re

import harness
import scan

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "rect", "source", "wbr", "line"}


class Page(html.parser.HTMLParser):
    """What a page holds: forms with their fields, links, texts; and whether its tags are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.text, self.forms, self.links, self.scripts, self.open, self.words = text, [], [], [], [], []
        self.form = self.select = self.area = None
        self.wrong = []
        self.feed(text)
        self.close()
        assert not self.open and not self.wrong, (self.open, self.wrong)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        assert not [k for k in a if k.startswith("on") or k == "style"], (tag, a)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "form":
            self.form = {"action": a.get("action"), "method": a.get("method", "get"), "fields": [], "button": ""}
            self.forms.append(self.form)
        elif tag == "input" and self.form is not None:
            if a.get("type") != "checkbox" or "checked" in a:
                self.form["fields"].append((a["name"], a.get("value") or ""))
        elif tag == "select":
            self.select = [a.get("name"), None]
        elif tag == "option" and self.select is not None:
            if "selected" in a or self.select[1] is None:
                self.select[1] = a.get("value")
        elif tag == "textarea":
            self.area = [a["name"], ""]
        elif tag == "a":
            self.links.append(a.get("href"))
        elif tag == "script":
            self.scripts.append(a.get("src"))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)
        if tag == "form":
            self.form = None
        elif tag == "select":
            if self.form is not None and self.select[0]:
                self.form["fields"].append(tuple(self.select))
            self.select = None
        elif tag == "textarea":
            self.form["fields"].append((self.area[0], self.area[1].removeprefix("\n")))
            self.area = None

    def handle_data(self, text):
        if self.area is not None:
            self.area[1] += text
        elif self.open and self.open[-1] == "button" and self.form is not None:
            self.form["button"] += text
        self.words.append(text)

    @property
    def said(self):
        return " ".join("".join(self.words).split())

    @property
    def csrf(self):
        return next(v for f in self.forms for k, v in f["fields"] if k == "csrf")

    def form_to(self, action):
        return next(f for f in self.forms if f["action"] == action)


class Browser:
    """Holds the cookies of one person. Every answer is checked for the headers that all of them have."""

    def __init__(self, url, **headers):
        self.http = harness.http_client(base_url=url, headers=headers)
        self.mount = "/" + url.split("/", 3)[3] if url.count("/") > 2 else ""

    def ask(self, method, page, **kw):
        r = self.http.request(method, page if page.startswith("/") else "/admin/" + page, **kw)
        h = r.headers
        scan.look(r.text, f"the answer to {page}")
        for value in r.cookies.values():
            scan.note(value, "a session's cookie")
        assert h["cache-control"] == "no-store" and h["x-frame-options"] == "DENY" and h["x-content-type-options"] == "nosniff", h
        policy = dict(part.strip().split(" ", 1) for part in h["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'", policy
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'" and policy["form-action"] == "'self'", policy
        assert r.status_code < 500, r.text
        return r

    def follow(self, r):
        while r.status_code == 303:
            assert r.headers["location"].startswith(self.mount + "/admin/"), r.headers["location"]
            r = self.ask("GET", r.headers["location"][len(self.mount):])
        return r

    def get(self, page, status=200, **kw):
        r = self.follow(self.ask("GET", page, **kw))
        assert r.status_code == status, (r.status_code, r.text)
        return Page(r.text)

    def post(self, page, status=200, **fields):
        r = self.follow(self.ask("POST", page, data=fields))
        assert r.status_code == status, (r.status_code, r.text)
        return Page(r.text)

    def send(self, page, action, status=200, **fields):
        """Fills in the form of that action on the page as it is, and sends it."""
        form = page.form_to(action)
        known = {k for k, _ in form["fields"]}
        return self.post(action, status, **({k: v for k, v in form["fields"] if v is not None} | fields | {}) if known else fields)

    def login(self, name, password, status=200):
        return self.send(self.get("login"), "login", status, name=name, password=password)

    def close(self):
        self.http.close()


PASSWORD = "three otters in a row"
scan.note(PASSWORD, "an administrator's password")


def make_administrator(site, name, role):
    """Through the command line, with a password of their own."""
    return site.weir("admin", "password", name, "--role", role).stdout.strip()


def logged_in(web, name, role, **headers):
    """A new administrator who has chosen a password and looks at the overview."""
    first = make_administrator(web.site, name, role)
    b = Browser(web.url, **headers)
    page = b.login(name, first)
    assert "Choose one of your own" in page.said
    page = b.send(page, "password", old=first, new=PASSWORD, again=PASSWORD)
    assert "Your password was changed" in page.said
    return b


def secret_of(page):
    return html.unescape(re.search(r'id="secret">([^<]*)<', page.text)[1])
