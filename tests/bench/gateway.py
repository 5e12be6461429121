"""The programs the bench runs: the upstream, lighttpd with mod_proxy, lighttpd with Weir; each pinned to one core, told
apart by its own process id, ended by it. Also what the kernel says of their CPU time and memory. Measures nothing itself."""
import ctypes
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = "/v1/chat/completions"
MODELS = ["plain", "big", "sse-5-0", "sse-5-1", "sse-4-1000", "sse-21-1000"]
libc = ctypes.CDLL(None)


class Failed(Exception):
    """The bench itself cannot go on: no figure of this run counts."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def spawn(argv, core, **more):
    """Starts a program on one core (-1: anywhere); it gets SIGTERM when the bench dies."""
    def child():
        if core >= 0:
            os.sched_setaffinity(0, {core})
        libc.prctl(1, signal.SIGTERM)
    return subprocess.Popen(argv, preexec_fn=child, **more)


def descendants(pid):
    """pid and all below it, as far as they live."""
    kids = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    kids.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except (OSError, IndexError):
                pass
    found = [pid]
    for p in found:
        found += kids.get(p, [])
    return found


def alive(pid):
    """Running, not merely waiting for its parent to notice."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pids):
    """CPU time of whole processes, ended threads included: their CPU clocks, in nanoseconds (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime((~p << 3) | 2) for p in pids)


def name_of(pid):
    with open(f"/proc/{pid}/comm") as f:
        return f.read().strip()


def memory_mb(pid, field):
    """VmRSS or VmHWM of a process, in MB of 10^6 bytes."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(field + r":\s+(\d+) kB", f.read()).group(1)) * 1024 / 1e6


def post(port, model, key, stream=False):
    """One chat request on a connection of its own; (status, body). Raises OSError while nobody listens."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
                  f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        plain = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            plain += body[:int(size, 16)]
            body = body[int(size, 16) + 2:]
        body = plain
    return int(head.split(b" ")[1]) if head.startswith(b"HTTP/") else 0, body


class Running:
    """A server the bench started, and whatever it started in turn."""

    def __init__(self, name, process, port, key="none"):
        self.name, self.process, self.port, self.key = name, process, port, key
        self.keys = None   # a file of keys to use in turn instead
        self.answered = 0  # by wait_ready's requests

    def pids(self):
        return descendants(self.process.pid)

    def responders(self):
        """The gateway's: not the administrators', which is another program."""
        return [p for p in self.pids() if name_of(p) == "weir.fcgi"]

    def wait_ready(self, seconds=10):
        """Seconds until the first 200 from a POST."""
        begin = time.monotonic()
        status = "no connection"
        while time.monotonic() - begin < seconds:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode} before it answered")
            try:
                status, _ = post(self.port, "bench-plain", self.key)
                self.answered += status > 0
                if status == 200:
                    return time.monotonic() - begin
            except OSError:
                pass
            time.sleep(0.0005)
        raise Failed(f"{self.name}: no 200 in {seconds} s, last {status}")

    def stop(self):
        """SIGTERM to the one we started; what is left of its family after 12 s is killed, by id. Returns how many that were."""
        if self.process.poll() is not None:
            return 0
        pids = self.pids()
        self.process.terminate()
        until = time.monotonic() + 12
        try:
            self.process.wait(12)
        except subprocess.TimeoutExpired:
            pass
        left = pids
        while left and time.monotonic() < until:
            time.sleep(0.01)
            left = [p for p in left if alive(p)]
        for p in left:
            try:
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait(5)
        return len(left)


class Bench:
    """A temporary directory, the two cores, and the ways to start each side."""

    def __init__(self, build, directory, load_core, gateway_core):
        self.build, self.dir = os.path.abspath(build), directory
        self.load_core, self.gateway_core = load_core, gateway_core
        self.log = open(os.path.join(directory, "log"), "ab")
        self.data = os.path.join(directory, "data")
        conf = os.path.join(ROOT, "lighttpd.conf")
        with open(conf if os.path.exists(conf) else os.devnull) as f:
            self.weir_conf = f.read()
        self.upstream = self.key = None

    def another(self, name):
        """Another data directory beside this one's, with the same upstream."""
        directory = os.path.join(self.dir, name)
        os.mkdir(directory)
        b = Bench(self.build, directory, self.load_core, self.gateway_core)
        b.upstream = self.upstream
        return b

    def has_weir(self):
        return bool(self.weir_conf) and all(os.access(os.path.join(self.build, p), os.X_OK) for p in ("weir.fcgi", "weir"))

    def start_upstream(self):
        p = spawn([os.path.join(self.build, "bench/upstream"), "--seconds", "900"], self.load_core, stdout=subprocess.PIPE, text=True)
        port = int(p.stdout.readline().split()[1])
        self.upstream = Running("upstream", p, port)
        return self.upstream

    def start_proxy(self):
        """lighttpd's mod_proxy, with the limits Weir's own lighttpd.conf sets; large bodies go through files in the same place."""
        port = free_port()
        limits = "\n".join(re.findall(r"^(?:server\.(?:max-|stream-|chunkqueue-|upload-dirs|event-handler|network-backend|listen-backlog)|\$?connection)[^\n{]*$",
                                      self.weir_conf, re.M))
        given = set(re.findall(r"^(\S+)\s*=", limits, re.M))
        defaults = {"server.max-fds": 16384, "server.max-connections": 8192, "server.stream-response-body": 1}
        limits += "".join(f"\n{k} = {v}" for k, v in defaults.items() if k not in given)
        conf = os.path.join(self.dir, "proxy.conf")
        with open(conf, "w") as f:
            f.write(f"""server.modules = ("mod_proxy")
server.document-root = "{self.dir}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{self.dir}/proxy.log"
{limits}
proxy.server = ("" => (("host" => "127.0.0.1", "port" => {self.upstream.port})))
""")
        return Running("mod_proxy", spawn(["lighttpd", "-D", "-f", conf], self.gateway_core, stderr=self.log,
                                          env={**os.environ, "PORT": str(port), "WEIR_DATA": self.data}), port)

    def weir(self, *args, document=None):
        """Runs the command line; its stdout."""
        p = subprocess.run([os.path.join(self.build, "weir"), "--data", self.data, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=30, text=True, cwd=ROOT)
        if p.returncode:
            raise Failed(f"weir {' '.join(args)}: exit {p.returncode}: {p.stderr.strip()}")
        return p.stdout

    def init_weir(self):
        """A data directory with the upstream as only provider, aliases named unlike their models, a key, no cache."""
        document = os.path.join(self.dir, "bench.json")
        with open(document, "w") as f:
            json.dump({"providers": [{"name": "bench", "dialect": "openai", "base_url": f"http://127.0.0.1:{self.upstream.port}/v1",
                                      "keys": [{"name": "k1", "secret": "sk-upstream-of-the-bench", "priority": 1}]}],
                       "models": [{"alias": "bench-" + m, "cache_ttl": 0, "targets": [{"provider": "bench", "model": m, "weight": 1}]}
                                  for m in MODELS]}, f)
        self.weir("init")
        self.weir("apply", document)
        self.key = self.weir("key", "create", "--name", "bench", "--user", "bench", "--team", "load").strip()

    def start_weir(self, **env):
        port = free_port()
        path = os.path.join(self.dir, "weir.conf")
        with open(path, "w") as f:
            f.write(re.sub(r"(?<![\w./-])build/(weir(-admin)?\.fcgi)", lambda m: os.path.join(self.build, m[1]), self.weir_conf))
        p = spawn(["lighttpd", "-D", "-f", path], self.gateway_core, stderr=self.log, cwd=ROOT,
                  env={**os.environ, "PORT": str(port), "WEIR_DATA": self.data, "WEIR_LOG": os.path.join(self.dir, "weir.log"), **env})
        return Running("weir", p, port, self.key)

    def audit_rows(self):
        import sqlite3
        with sqlite3.connect(f"file:{self.data}/weir.db?mode=ro", uri=True, timeout=10) as db:
            return db.execute("SELECT count(*) FROM audit").fetchone()[0]

    def responder_cold_ms(self):
        """Milliseconds from exec of weir.fcgi to the whole answer to one chat request, over FastCGI without a web server."""
        path = os.path.join(self.dir, "cold.sock")
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(16)
            begin = time.monotonic()
            p = spawn([os.path.join(self.build, "weir.fcgi")], self.gateway_core, stdin=listener.fileno(), stderr=self.log, cwd=ROOT,
                      env={**os.environ, "WEIR_DATA": self.data, "WEIR_LOG": os.path.join(self.dir, "weir.log")})
            try:
                answer = fastcgi_post(path, self.key)
                took = (time.monotonic() - begin) * 1000
            finally:
                Running("responder", p, 0).stop()
        if b"chat.completion" not in answer:
            raise Failed(f"responder alone answered {answer[:200]!r}")
        return took


def fastcgi_post(path, key):
    """One chat request as a FastCGI web server sends it; the bytes of its stdout stream."""
    def record(kind, content):
        return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content

    def pair(name, value):
        return struct.pack("!II", len(name) | 1 << 31, len(value) | 1 << 31) + name.encode() + value.encode()

    body = b'{"model":"bench-plain","messages":[{"role":"user","content":"hi"}]}'
    params = b"".join(pair(k, v) for k, v in {
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": "POST", "REQUEST_URI": PATH, "SCRIPT_NAME": PATH,
        "SCRIPT_FILENAME": PATH, "PATH_INFO": "", "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1", "SERVER_NAME": "127.0.0.1",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "HTTP_AUTHORIZATION": "Bearer " + key}.items())
    out = b""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(record(1, struct.pack("!HB5x", 1, 0)) + record(4, params) + record(4, b"") + record(5, body) + record(5, b""))
        f = s.makefile("rb")
        while head := f.read(8):
            _, kind, _, length, pad, _ = struct.unpack("!BBHHBB", head)
            content = f.read(length + pad)[:length]
            if kind == 6:
                out += content
            if kind == 3:
                break
    return out
