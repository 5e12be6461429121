"""Every secret the tests use, and every place it must not stand in: answers, what commands print, and all files of a data
directory (logs, database pages, the write-ahead log, the cache) when it is removed.

A secret is what opens something: keys of clients, of administrators and of providers, secrets of token verifiers, tokens,
passwords, cookies of sessions.
"""
import os
import pathlib
import subprocess

SHORTEST = 16      # bytes; what is shorter may stand anywhere by chance
PREFIX = 6
OWN_FILES = ("master.key", "demo.key", "apply-")  # secrets by purpose; and the tests' own documents
PRINTS_ITS_SECRET = {("key", "create"), ("key", "rotate"), ("admin", "add"), ("admin", "password"), ("init",)}

secrets = {}       # first bytes -> {secret: what it is}
found = []         # "a client key in /tmp/.../weir.db-wal"


def note(secret, what):
    """From now on that text must not turn up."""
    data = secret.encode(errors="surrogateescape") if isinstance(secret, str) else secret
    if len(data) >= SHORTEST:
        secrets.setdefault(data[:PREFIX], {}).setdefault(data, what)


def look(data, where):
    """Searches bytes or text; what is found is told at the end of the session."""
    data = data.encode(errors="surrogateescape") if isinstance(data, str) else bytes(data)
    for prefix, known in secrets.items():
        at = data.find(prefix)
        while at >= 0:
            for secret, what in known.items():
                if data.startswith(secret, at):
                    found.append(f"{what} ({secret[:10].decode(errors='replace')}...) in {where}, at byte {at}: {data[max(0, at - 60):at]!r}")
            at = data.find(prefix, at + 1)


def note_document(document):
    """The secrets of a configuration document."""
    for p in document.get("providers", ()):
        for k in p.get("keys", ()) if isinstance(p, dict) else ():
            note_member(k, "a provider's key")
    for k in document.get("keys", ()):
        note_member(k, "a client's key")
    for v in document.get("jwt", ()):
        note_member(v, "a verifier's secret")


def note_member(entry, what):
    secret = entry.get("secret") if isinstance(entry, dict) else None
    if isinstance(secret, str) and not secret.startswith(("env:", "file:")):
        note(secret, what)


def note_request(request):
    """Credentials of a request, good or bad."""
    for name in ("authorization", "x-api-key", "cookie"):
        value = request.headers.get(name, "")
        note(value.split(" ", 1)[-1] if name == "authorization" else value, f"the {name} of a request")


def look_at_answer(response):
    """One that comes whole: a stream is the test's own to read."""
    if "content-length" in response.headers:
        look(response.read(), f"the answer to {response.request.url.path}")


def look_at_command(args, done, feed):
    """What a command was given as words shows in process lists, what it printed in terminals."""
    words = tuple(a for a in args[:2] if not a.startswith("-"))
    where = "what `weir " + " ".join(args[:2]) + "` printed"
    if words in PRINTS_ITS_SECRET and done.returncode == 0:
        note(done.stdout.strip(), f"the key of `weir {' '.join(words)}`")
        look(done.stderr, where)
    elif args[:1] == ("apply",):
        for line in done.stdout.splitlines():  # the keys it made: NAME, tab, secret
            if "\t" in line:
                note(line.split("\t")[-1], "a key that apply made")
        look(done.stderr, where)
    elif args[:1] == ("audit",):
        look(done.stderr, where)  # its rows stand in the database, which is looked at once, in the end
    else:
        look(done.stdout + done.stderr, where)
    look("\n".join(args), "the words of a command")
    if args[:2] == ("provider", "add") and feed:
        note(feed.strip(), "a provider's key")


def look_at_site(data):
    """Tens of megabytes and thousands of secrets: grep says in which files it is worth looking."""
    files = [str(p) for p in sorted(pathlib.Path(data).rglob("*")) if p.is_file() and not p.name.startswith(OWN_FILES)]
    if not files:
        return
    known = b"\n".join(secret for some in secrets.values() for secret in some)
    done = subprocess.run(["grep", "-laF", "-f", "-", "--", *files], input=known, capture_output=True, env=os.environ | {"LC_ALL": "C"})
    assert done.returncode in (0, 1), done.stderr
    for path in done.stdout.decode().splitlines():
        look(pathlib.Path(path).read_bytes(), path)
