"""The client leaves: the upstream is closed at once, the row says cancelled, and nothing goes on in the dark."""
import asyncio
import json
import socket
import time

import pytest

from harness import MESSAGES, SLOW, Sent, until


def create(client, alias):
    return client.chat.completions.create(model=alias, messages=MESSAGES, stream=True)


def content_of(stream):
    return next(c for c in stream if c.choices and c.choices[0].delta.content)


@pytest.mark.alone
def test_a_closed_stream_closes_the_upstream_within_a_second_of_its_next_event(gw):
    alias = gw.alias("stream:200:100")
    s = create(gw.sdk(), alias)
    content_of(s)
    left_at = time.monotonic()
    s.close()
    closed = gw.mock.left(alias.first)
    assert closed["by"] == "client" and not closed["answered"]
    assert closed["at"] - left_at < 1.1 * SLOW
    row = gw.audit()
    assert row["outcome"] == "cancelled" and row["alias"] == alias and row["attempts"] == 1


def test_the_async_sdk_cancels_likewise(gw):
    alias = gw.alias("stream:200:100")

    async def ask():
        async with gw.async_sdk() as client:
            s = await client.chat.completions.create(model=alias, messages=MESSAGES, stream=True)
            await anext(aiter(s))
            await s.close()
    asyncio.run(ask())
    assert gw.mock.left(alias.first)["by"] == "client"
    assert gw.audit()["outcome"] == "cancelled"


def test_leaving_a_silent_stream_is_noticed_by_its_keep_alive_comments(gw):
    gw.site.weir("settings", "keepalive_s", "1")
    try:
        alias = gw.alias("stall-mid")
        s = create(gw.sdk(), alias)
        content_of(s)
        left_at = time.monotonic()
        s.close()
        assert gw.mock.left(alias.first)["at"] - left_at < 3.5 * SLOW
        assert gw.audit()["outcome"] == "cancelled"
    finally:
        gw.site.weir("settings", "keepalive_s", "15")


def leave(gw, body, receive=None):
    """Sends a chat request on a socket of its own; returns the socket and the request as counted."""
    n = len(gw.sent)
    sent = Sent(f"leave-{gw.web.port}-{id(body)}-{n}-{time.monotonic_ns()}", "/v1/chat/completions", body["model"])
    raw = json.dumps(body).encode()
    s = socket.socket()
    s.settimeout(5)
    if receive:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    s.connect(("127.0.0.1", gw.web.port))
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\nx-request-id: %s\r\n"
              b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
              % (gw.secret.encode(), sent.id.encode(), len(raw), raw))
    gw.sent.append(sent)
    return s


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_gone_before_the_first_byte_gets_its_row_and_no_second_attempt(gw, stream):
    """lighttpd tells us of a gone client only at its next write, so a silent plain call may run to its time-out; but once
    it is over no further target is asked."""
    alias = gw.alias("hasty/stall-before", "ok")
    s = leave(gw, {"model": alias, "messages": MESSAGES, "stream": stream})
    gw.mock.asked(alias.first)
    s.close()
    assert gw.mock.left(alias.first)["by"] == "client"
    row = gw.audit()
    # Whether the going was seen depends on the web server: then nothing follows; if not, it is a request like any other.
    assert row["outcome"] == "cancelled" or (row["outcome"] == "ok" and row["attempts"] == 2)
    gw.sent[-1].status = None if row["outcome"] == "cancelled" else 200


def test_a_client_reset_in_the_middle_of_a_stream_is_a_cancellation(gw):
    alias = gw.alias("stream:200:50")
    s = leave(gw, {"model": alias, "messages": MESSAGES, "stream": True})
    while b"w0 " not in s.recv(65536):
        pass
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
    assert gw.mock.left(alias.first)["by"] == "client"
    assert gw.audit()["outcome"] == "cancelled"


def test_a_client_that_reads_slowly_gets_everything(gw):
    """A full socket must stop the relay, not the stream, and memory must not stand in for the client."""
    alias = gw.alias("huge-line:3000000")
    before = gw.web.rss()
    s = leave(gw, {"model": alias, "messages": MESSAGES, "stream": True}, receive=32768)
    gw.mock.asked(alias.first)
    got = b""
    while b"[DONE]" not in got[-4000:]:
        part = s.recv(20000)
        assert part, "the stream ended early"
        got += part
    s.close()
    assert got.count(b"x") >= 3000000
    gw.sent[-1].status = 200
    assert gw.audit()["outcome"] == "ok" and gw.web.rss() - before < 60000


def test_twenty_streams_abandoned_at_once_leave_nothing_running(gw):
    alias = gw.alias("stream:400:50")
    client = gw.sdk()
    streams = [create(client, alias) for _ in range(20)]
    for s in streams:
        content_of(s)
    for s in streams:
        s.close()
    until("all twenty upstream connections closed",
          lambda: sum(1 for e in gw.mock.seen(alias.first) if e["closed"] and not e["closed"]["answered"]) == 20, 5)
    assert [r["outcome"] for r in gw.rows(alias, 20)] == ["cancelled"] * 20
