#!/usr/bin/env python3
"""Would the bench notice? The load tool against servers that cheat: each failure must be counted, and counted as its kind.
Usage: WEIR_BUILD=build python3 tests/bench/test_tools.py   (some seconds; no gateway needed)"""
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import unittest

BUILD = os.environ.get("WEIR_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build"))
EVENT = b'data: {"choices":[{"delta":{"content":"@%020d token"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(text):
    return b"%x\r\n%s\r\n" % (len(text), text)


def load(answer, *args, bytewise=False, stall=0):
    """What the load tool says of a server that gives this answer to each request, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            try:
                while True:
                    with listener.accept()[0] as s:
                        s.recv(65536)
                        for piece in [answer[i:i + 1] for i in range(len(answer))] if bytewise else [answer]:
                            s.sendall(piece)
                        time.sleep(stall)
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        p = subprocess.run([os.path.join(BUILD, "bench/load"), "--url", f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions",
                            "--model", "plain", "--count", "3", *args], capture_output=True, timeout=20)
        return p.returncode, json.loads(p.stdout)


class LoadTool(unittest.TestCase):
    def expect(self, got, code, requests, **errors):
        self.assertEqual((code, requests, {"status": 0, "broken": 0, "short": 0, "timeout": 0, **errors}),
                         (got[0], got[1]["requests"], got[1]["errors"]))

    def test_a_whole_answer_is_no_error(self):
        self.expect(load(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"), 0, 3)

    def test_an_error_status_is_no_answer(self):
        self.expect(load(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), 1, 0, status=3)

    def test_a_body_shorter_than_announced_is_short(self):
        self.expect(load(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello"), 1, 0, short=3)

    def test_an_answer_without_head_is_broken(self):
        self.expect(load(b"HTTP/1.1 200 OK\r\ncont"), 1, 0, broken=3)
        self.expect(load(b"SSH-2.0-nothing of the kind\r\n\r\n"), 1, 0, broken=3)

    def test_bytes_behind_an_answer_are_broken(self):
        self.expect(load(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello!"), 1, 0, broken=3)

    def test_a_stream_needs_done_and_the_last_chunk(self):
        whole = STREAM + chunk(EVENT % 1) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        self.expect(load(whole, "--stream"), 0, 3)
        self.expect(load(STREAM + chunk(EVENT % 1) + b"0\r\n\r\n", "--stream"), 1, 0, short=3)
        self.expect(load(STREAM + chunk(EVENT % 1) + chunk(b"data: [DONE]\n\n"), "--stream"), 1, 0, short=3)

    def test_events_are_counted_however_they_are_cut(self):
        whole = STREAM + chunk(b": hold on\n\n" + EVENT % 1 + EVENT % 2) + chunk(EVENT % 3 + b"data: [DONE]\n\n") + b"0\r\n\r\n"
        got = load(whole, "--stream", "--events", "3", bytewise=True)
        self.expect(got, 0, 3)
        self.assertEqual(9, got[1]["events"])
        self.expect(load(whole, "--stream", "--events", "4"), 1, 0, short=3)

    def test_silence_is_a_timeout(self):
        self.expect(load(b"", "--timeout", "0.4", "--connections", "3", stall=3), 1, 0, timeout=3)

    def test_a_request_that_is_due_waits_from_then_on(self):
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
        got = load(answer, "--rate", "1000", stall=0.2)
        self.expect(got, 0, 3)
        self.assertGreater(got[1]["latency_us"]["max"], 390000)

    def test_a_rate_is_kept(self):
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
        got = load(answer, "--rate", "10")
        self.expect(got, 0, 3)
        self.assertGreater(got[1]["seconds"], 0.19)

    def test_keys_are_taken_in_turn(self):
        seen = []
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as f, socket.create_server(("127.0.0.1", 0)) as listener:
            f.write("sk-one\nsk-two\n")
            f.flush()

            def serve():
                for _ in range(3):
                    with listener.accept()[0] as s:
                        seen.append(s.recv(65536).split(b"Bearer ")[1].split(b"\r\n")[0])
                        s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            threading.Thread(target=serve, daemon=True).start()
            subprocess.run([os.path.join(BUILD, "bench/load"), "--url", f"http://127.0.0.1:{listener.getsockname()[1]}/", "--model", "plain",
                            "--count", "3", "--keys", f.name], capture_output=True, timeout=20)
        self.assertEqual([b"sk-one", b"sk-two", b"sk-one"], seen)

    def test_only_loopback_is_loaded(self):
        p = subprocess.run([os.path.join(BUILD, "bench/load"), "--url", "http://192.0.2.1:80/", "--model", "plain"], capture_output=True, timeout=5)
        self.assertEqual((2, b""), (p.returncode, p.stdout))


if __name__ == "__main__":
    unittest.main()
