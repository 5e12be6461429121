#!/usr/bin/env python3
"""A scripted OpenAI-compatible provider: a process of its own, every byte and pause under the tests' control.

What a request gets is named by its model: "ok", "stream:20:50", "status:503" ... (the table BEHAVIOURS in
behaviours.py; anything after '#' only makes a name unique), or "script" with steps posted to the control port.
All that was seen is kept: method, path, headers, body, when and by whom the connection was closed.

No gateway code here, and no third-party module. It ends when its standard input closes.

    provider.py [--port N] [--cert PEM]     prints {"port":..,"control":..,"tls":..} as one line

Control port (plain HTTP, JSON):
    GET    /seen[?model=M]         what was seen, oldest first
    GET    /mark                   how much that is
    DELETE /seen                   forget it
    POST   /script                 {"model":"script#1","steps":[...]}: for the next request of that model
    POST   /go/NAME                opens the gate a "gate" step waits at
Steps: {"status":200,"headers":[["a","b"]],"chunked":true} {"send":"text"} {"send64":".."} {"pieces64":[..]} (a segment
each) {"sleep":s} {"gate":"NAME"} {"stall":true} (till the client leaves) {"flood":"text"} (same) {"end":true} {"close":true}
{"reset":true} {"usage":{..}} (note what was reported)
"""
import argparse
import asyncio
import base64
import json
import os
import socket
import ssl
import struct
import sys
import time
from urllib.parse import parse_qs, unquote, urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import behaviours  # noqa: E402

REASON = {100: "Continue", 200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
          408: "Request Timeout", 413: "Content Too Large", 422: "Unprocessable Content", 429: "Too Many Requests",
          500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
          529: "Overloaded"}


class Gone(Exception):
    """The client closed its connection."""


class World:
    """What all connections share."""

    def __init__(self):
        self.seen = []
        self.scripts = {}
        self.gates = {}
        self.counts = {}
        self.connections = 0

    def gate(self, name):
        return self.gates.setdefault(name, asyncio.Event())


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, written by hand."""

    def __init__(self, world, answer):
        self.world, self.answer = world, answer
        self.inbox, self.more = bytearray(), asyncio.Event()
        self.gone, self.how = asyncio.Event(), None
        self.flow = asyncio.Event()
        self.flow.set()
        self.transport = self.entry = self.task = None
        self.chunked = self.closing = False
        world.connections += 1
        self.number, self.served = world.connections, 0

    # ---- the event loop's side
    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.task = asyncio.get_running_loop().create_task(self.serve())

    def data_received(self, data):
        self.inbox += data
        self.more.set()

    def eof_received(self):
        self.leave("eof")
        return False

    def connection_lost(self, exc):
        self.leave("reset" if exc else "eof")

    def pause_writing(self):
        self.flow.clear()

    def resume_writing(self):
        self.flow.set()

    def leave(self, how):
        if self.gone.is_set():
            return
        self.how = how
        e = self.entry
        if e is not None and e["closed"] is None:
            e["closed"] = {"by": "mock" if self.closing else "client", "how": how, "at": time.monotonic(),
                           "answered": e["answered_at"] is not None}
        self.gone.set()
        self.more.set()
        self.flow.set()

    # ---- reading
    async def until(self, event):
        """Waits for an event, or leaves with Gone."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self.gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for w in waits:
                w.cancel()
        if self.gone.is_set():
            raise Gone

    async def read_to(self, mark):
        while (at := self.inbox.find(mark)) < 0:
            self.more.clear()
            await self.until(self.more)
        out = bytes(self.inbox[:at])
        del self.inbox[:at + len(mark)]
        return out

    async def read_n(self, n):
        while len(self.inbox) < n:
            self.more.clear()
            await self.until(self.more)
        out = bytes(self.inbox[:n])
        del self.inbox[:n]
        return out

    async def request(self):
        """One request, body and all, as an entry of what was seen."""
        head = (await self.read_to(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _version = head[0].split(" ", 2)
        headers = [[k.strip(), v.strip()] for k, v in (line.split(":", 1) for line in head[1:])]
        low = {k.lower(): v for k, v in headers}
        self.entry = e = {"connection": self.number, "nth": self.served, "begun_at": time.monotonic(), "method": method,
                          "target": target, "headers": headers, "body": None, "model": None, "answered_at": None,
                          "first_sent_at": None, "sent": [], "closed": None, "usage": None, "status": None}
        if low.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if low.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while (n := int((await self.read_to(b"\r\n")).split(b";")[0], 16)) > 0:
                body += await self.read_n(n)
                await self.read_to(b"\r\n")
            await self.read_to(b"\r\n")
        else:
            body = await self.read_n(int(low.get("content-length", "0")))
        e["body"] = body.decode("latin-1")
        e["read_at"] = time.monotonic()
        try:
            e["json"] = json.loads(body) if body else None
        except ValueError:
            e["json"] = None
        if isinstance(e["json"], dict):
            e["model"] = e["json"].get("model")
        self.served += 1
        return e, low

    async def serve(self):
        try:
            while not self.closing:
                e, low = await self.request()
                await self.run(self.answer(self.world, e))
                e["answered_at"] = time.monotonic()
                if low.get("connection", "").lower() == "close":
                    self.close()
        except Gone:
            pass
        except Exception as x:  # a broken script must be seen, not hang the test
            print(f"mock: {type(x).__name__}: {x}", file=sys.stderr, flush=True)
            self.close()

    # ---- writing
    def close(self):
        self.closing = True
        self.transport.close()

    async def put(self, data):
        if self.gone.is_set():
            raise Gone
        if self.entry is not None:
            now = time.monotonic()
            if self.entry["first_sent_at"] is None:
                self.entry["first_sent_at"] = now
            if len(self.entry["sent"]) < 2000:
                self.entry["sent"].append(now)
        self.transport.write(data)
        await asyncio.sleep(0)
        if not self.flow.is_set():
            await self.until(self.flow)

    async def body(self, data):
        if data:
            await self.put(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    async def run(self, steps):
        self.chunked = False
        for s in steps:
            if self.gone.is_set():
                raise Gone
            if "status" in s:
                await self.head(s)
            elif "send" in s:
                await self.body(s["send"].encode())
            elif "send64" in s:
                await self.body(base64.b64decode(s["send64"]))
            elif "pieces64" in s:
                for piece in s["pieces64"]:
                    await self.body(base64.b64decode(piece))
            elif "sleep" in s:
                try:
                    await asyncio.wait_for(self.gone.wait(), s["sleep"])
                    raise Gone
                except asyncio.TimeoutError:
                    pass
            elif "gate" in s:
                await self.until(self.world.gate(s["gate"]))
            elif "stall" in s:
                await self.until(asyncio.Event())
            elif "flood" in s:
                while True:
                    await self.body(s["flood"].encode())
            elif "usage" in s:
                self.entry["usage"] = s["usage"]
            elif "end" in s:
                if self.chunked:
                    await self.put(b"0\r\n\r\n")
            elif "close" in s:
                self.close()
                await self.gone.wait()
                raise Gone
            elif "reset" in s:
                self.closing = True
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
                await self.gone.wait()
                raise Gone
            else:
                raise ValueError(f"unknown step {s}")

    async def head(self, s):
        self.chunked = bool(s.get("chunked"))
        lines = [f"HTTP/1.1 {s['status']} {REASON.get(s['status'], 'Whatever')}"]
        lines += [f"{k}: {v}" for k, v in s.get("headers", [])]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        self.entry["status"] = s["status"]
        await self.put(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def provide(world, e):
    """The steps that answer a request at the provider's port."""
    model = e["model"]
    if isinstance(model, str) and world.scripts.get(model):
        return world.scripts[model].pop(0)
    if isinstance(model, str):
        world.counts[model] = world.counts.get(model, 0) + 1
    return behaviours.steps(e, world.counts.get(model, 1))


def control(world, e):
    """The steps that answer a request at the control port."""
    url = urlsplit(e["target"])
    query = parse_qs(url.query)
    answer = {}
    if e["method"] == "GET" and url.path == "/seen":
        model = query.get("model", [None])[0]
        since = int(query.get("since", ["0"])[0])
        answer = [s for s in world.seen[since:] if model is None or s["model"] == model]
    elif e["method"] == "GET" and url.path == "/mark":
        answer = len(world.seen)
    elif e["method"] == "DELETE" and url.path == "/seen":
        world.seen.clear()
    elif e["method"] == "POST" and url.path == "/script":
        world.scripts.setdefault(e["json"]["model"], []).append(e["json"]["steps"])
    elif e["method"] == "POST" and url.path.startswith("/go/"):
        world.gate(unquote(url.path[4:])).set()
    else:
        answer = {"error": "unknown control request"}
    text = json.dumps(answer)
    return [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", str(len(text))]]},
            {"send": text}]


class Provider(Connection):
    async def request(self):
        e, low = await super().request()
        self.world.seen.append(e)
        return e, low


async def main():
    args = argparse.ArgumentParser()
    args.add_argument("--port", type=int, default=0)
    args.add_argument("--cert", help="a PEM file with key and certificate: opens a TLS port too")
    args = args.parse_args()
    loop, world = asyncio.get_running_loop(), World()
    backlog = 4096

    def port(server):
        return server.sockets[0].getsockname()[1]

    plain = await loop.create_server(lambda: Provider(world, provide), "127.0.0.1", args.port, backlog=backlog)
    steer = await loop.create_server(lambda: Connection(world, control), "127.0.0.1", 0)
    ports = {"port": port(plain), "control": port(steer), "tls": None}
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert)
        ports["tls"] = port(await loop.create_server(lambda: Provider(world, provide), "127.0.0.1", 0, ssl=context))
    print(json.dumps(ports), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(main())
