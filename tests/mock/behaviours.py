"""What the mock provider does, by the name of the model: each behaviour is a function from request to steps.

The steps are provider.py's; nothing here does any input or output. A model is NAME[:ARG...][#ANYTHING].
"""
import base64
import gzip
import json
import random
import struct
import time

import wires

CREATED = 1700000000
WORDS = ["Weirs", " regulate", " a", " flow", " and", " measure", " it", " \u00e4\u20ac\U0001f30a", "."]
OWN_HEADERS = [["x-ratelimit-remaining-requests", "59"], ["openai-processing-ms", "7"], ["x-request-id", "req_of_the_provider"],
                 ["x-weir-provider", "forged"], ["set-cookie", "provider=1"]]


class Asked:
    """A request as a behaviour sees it."""

    def __init__(self, entry, count):
        self.entry, self.count = entry, count
        self.json = entry["json"] if isinstance(entry["json"], dict) else {}
        self.path = entry["target"].split("?")[0]
        name = str(entry["model"] or "ok").split("#")[0]
        self.name, *self.args = name.split(":")
        self.stream = self.json.get("stream") is True
        options = self.json.get("stream_options")
        self.wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        self.prompt_tokens = max(1, len(entry["body"] or "") // 4)
        self.chat = self.path.endswith("/chat/completions")

    def arg(self, i, standard):
        return type(standard)(self.args[i]) if len(self.args) > i else standard


# ---- small parts ----
def usage(asked, completion):
    return {"prompt_tokens": asked.prompt_tokens, "completion_tokens": completion,
            "total_tokens": asked.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": asked.prompt_tokens // 2},
            "completion_tokens_details": {"reasoning_tokens": 0}}


def text(o):
    """JSON with spaces a re-encoder would not choose: who passes bytes through keeps them."""
    return json.dumps(o, separators=(", ", " : "))


def plain(body, status=200, headers=(), kind="application/json"):
    raw = body if isinstance(body, bytes) else body.encode()
    return [{"status": status, "headers": [["content-type", kind], ["content-length", str(len(raw))], *headers]},
            {"send64": base64.b64encode(raw).decode()}]


def sse_head(headers=()):
    return [{"status": 200, "headers": [["content-type", "text/event-stream; charset=utf-8"], *headers], "chunked": True}]


def data(o):
    return "data: " + (o if isinstance(o, str) else text(o)) + "\n\n"


def completion(asked, content=None, finish="stop", note=True, **message):
    used = usage(asked, len(WORDS))
    content = "".join(WORDS) if content is None else content
    if asked.chat:
        choice = {"index": 0, "message": {"role": "assistant", "content": content, "refusal": None, **message},
                  "logprobs": None, "finish_reason": finish}
        kind, ident = "chat.completion", "chatcmpl-1"
    else:
        choice, kind, ident = {"text": content, "index": 0, "logprobs": None, "finish_reason": finish}, "text_completion", "cmpl-1"
    answer = {"id": ident, "object": kind, "created": CREATED, "model": "the-provider-calls-it-" + asked.name,
              "choices": [choice], "usage": used, "x_unknown_to_all": {"kept": [1, 2.50, "\u00fc"]}}
    return answer, ([{"usage": used}] if note else [])


class Chunks:
    """The events of one stream, as objects."""

    def __init__(self, asked):
        self.asked = asked

    def event(self, delta=None, finish=None, choices=None, **extra):
        chat = self.asked.chat
        if choices is None:
            one = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish} if chat else \
                  {"index": 0, "text": (delta or {}).get("content", ""), "logprobs": None, "finish_reason": finish}
            choices = [one]
        o = {"id": "chatcmpl-1" if chat else "cmpl-1", "object": "chat.completion.chunk" if chat else "text_completion",
             "created": CREATED, "model": "the-provider-calls-it-" + self.asked.name, "choices": choices}
        if self.asked.wants_usage:
            o["usage"] = None
        o.update(extra)
        return o

    def role(self):
        return [self.event({"role": "assistant", "content": "", "refusal": None})] if self.asked.chat else []

    def words(self, words=WORDS):
        return [self.event({"content": w}, obfuscation="x" * (len(w) % 5)) for w in words]

    def finish(self, reason="stop"):
        return [self.event({}, finish=reason)]

    def usage(self, completion_tokens=len(WORDS)):
        """(events, notes): the extra chunk if it was asked for."""
        if not self.asked.wants_usage:
            return [], []
        used = usage(self.asked, completion_tokens)
        return [self.event(choices=[], usage=used)], [{"usage": used}]


def stream(asked, words=WORDS, pause=0.0, events=None, note=(), form=data, done=True):
    """A whole, well-made stream: of these events, whose usage is noted when all were sent, or of these words."""
    if events is None:
        c = Chunks(asked)
        extra, note = c.usage(len(words))
        events = c.role() + c.words(words) + c.finish() + extra
    steps = sse_head()
    for i, e in enumerate(events):
        if pause and i:
            steps.append({"sleep": pause})
        steps.append({"send": form(e)})
    steps += note
    if done:
        steps.append({"send": form("[DONE]")})
    return steps + [{"end": True}]


def raw_stream(asked, **kw):
    """The bytes of a whole stream, for behaviours that cut them up."""
    steps = stream(asked, **kw)
    notes = [s for s in steps if "usage" in s]
    return "".join(s["send"] for s in steps if "send" in s).encode(), notes


def pieces(parts, notes=()):
    return sse_head() + list(notes) + [{"pieces64": [base64.b64encode(p).decode() for p in parts]}, {"end": True}]


def failing_stream(asked, *ending, words=WORDS[:3], role=True, finish=False):
    """Headers, a role, some words, then whatever the ending does."""
    c = Chunks(asked)
    events = (c.role() if role else []) + c.words(words) + (c.finish() if finish else [])
    return sse_head() + [{"send": data(e)} for e in events] + list(ending)


def error_body(message, kind="server_error", code=None, param=None):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


# ---- behaviours ----
def ok(asked):
    if asked.stream:
        return stream(asked)
    answer, note = completion(asked)
    return note + plain(text(answer), headers=OWN_HEADERS)


def limits(asked):
    """limits:REQUESTS:LEFT:TOKENS:LEFT:RESET - ok, with OpenAI's rate-limit headers; LEFT "-": that limit is not told."""
    steps, reset = ok(asked), asked.args[4] if len(asked.args) > 4 else "30s"
    head = next(s for s in steps if "headers" in s)
    head["headers"] = [h for h in head["headers"] if not h[0].startswith("x-ratelimit-")]
    for i, metric in enumerate(("requests", "tokens")):
        limit, left = asked.args[2 * i], asked.args[2 * i + 1]
        if left != "-":
            head["headers"] += [[f"x-ratelimit-limit-{metric}", limit], [f"x-ratelimit-remaining-{metric}", left],
                                [f"x-ratelimit-reset-{metric}", reset]]
    return steps


def counted_stream(asked):
    """stream:N:MS - N content events, MS apart."""
    n, ms = asked.arg(0, 10), asked.arg(1, 0)
    return stream(asked, words=[f"w{i} " for i in range(n)], pause=ms / 1000)


def gated(asked):
    """gated:NAME - up to the first content event, then waits at the gate, then the rest. Plain: waits, then answers."""
    gate = {"gate": asked.arg(0, "gate")}
    if not asked.stream:
        answer, note = completion(asked)
        return [gate] + note + plain(text(answer))
    steps = stream(asked)
    at = [i for i, s in enumerate(steps) if "send" in s][1] + 1
    return steps[:at] + [gate] + steps[at:]


def gated_each(asked):
    """gated-each:NAME - each content event waits at the gate NAMEk, k counting from 1."""
    c, steps = Chunks(asked), sse_head()
    extra, note = c.usage()
    steps += [{"send": data(e)} for e in c.role()]
    for k, e in enumerate(c.words(), 1):
        steps += [{"gate": f"{asked.arg(0, 'gate')}{k}"}, {"send": data(e)}]
    return steps + [{"send": data(e)} for e in c.finish() + extra] + note + [{"send": data("[DONE]")}, {"end": True}]


def slow(asked):
    """slow:MS - silence, then a whole answer."""
    return [{"sleep": asked.arg(0, 100) / 1000}] + ok(asked)


def stall_before(asked):
    return [{"stall": True}]


def stall_head(asked):
    return (sse_head() if asked.stream else
            [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", "1000"]]},
             {"send": '{"id"'}]) + [{"stall": True}]


def stall_role(asked):
    return failing_stream(asked, {"stall": True}, words=[])


def stall_mid(asked):
    return failing_stream(asked, {"stall": True})


def drip(asked):
    """drip:MS - content events for ever, MS apart (the total time-out ends it, or the client)."""
    ms = asked.arg(0, 50)
    c = Chunks(asked)
    steps = sse_head() + [{"send": data(e)} for e in c.role()]
    for i in range(2000):
        steps += [{"send": data(c.event({"content": f"w{i} "}))}, {"sleep": ms / 1000}]
    return steps


def dribble(asked):
    if not asked.stream:
        answer, note = completion(asked)
        raw = text(answer).encode()
        return note + [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", str(len(raw))]]},
                       {"pieces64": [base64.b64encode(raw[i:i + 1]).decode() for i in range(len(raw))]}]
    raw, notes = raw_stream(asked)
    return pieces([raw[i:i + 1] for i in range(len(raw))], notes)


def split_random(asked):
    """split-random:SEED - cut anywhere, also inside events and characters."""
    raw, notes = raw_stream(asked)
    rnd, parts, at = random.Random(asked.arg(0, 1)), [], 0
    while at < len(raw):
        n = rnd.choice([1, 2, 3, 5, 17, 100, 700])
        parts.append(raw[at:at + n])
        at += n
    return pieces(parts, notes)


def split_utf8(asked):
    """Real characters (no \\u escapes), every one of them torn apart."""
    def form(e):
        return "data: " + (e if isinstance(e, str) else json.dumps(e, ensure_ascii=False)) + "\n\n"
    raw, notes = raw_stream(asked, words=["\u00e4\u20ac", "\U0001f30a\u6f22", "end"], form=form)
    parts, last = [], 0
    for i, byte in enumerate(raw):
        if byte >= 0x80:
            parts.append(raw[last:i + 1])
            last = i + 1
    return pieces(parts + [raw[last:]], notes)


def cut_before(asked):
    return [{"close": True}]


def reset_before(asked):
    return [{"reset": True}]


def cut_head(asked):
    if asked.stream:
        return sse_head() + [{"close": True}]
    return [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", "1000"]]}, {"close": True}]


def cut_role(asked):
    return failing_stream(asked, {"close": True}, words=[])


def cut_after_content(asked):
    return failing_stream(asked, {"close": True})


def reset_after_content(asked):
    return failing_stream(asked, {"sleep": 0.05}, {"reset": True})


def cut_inside_event(asked):
    return failing_stream(asked, {"send": 'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"cont'}, {"close": True})


def cut_after_finish(asked):
    return failing_stream(asked, {"close": True}, words=WORDS, finish=True)


def no_done(asked):
    return stream(asked, done=False)


def no_finish(asked):
    """A clean end with neither finish_reason nor [DONE]: what Ollama does when its model dies."""
    return failing_stream(asked, {"end": True})


def done_without_finish(asked):
    return failing_stream(asked, {"send": data("[DONE]")}, {"end": True})


def empty_stream(asked):
    return sse_head() + [{"end": True}]


def only_done(asked):
    return sse_head() + [{"send": data("[DONE]")}, {"end": True}]


def last_line_open(asked):
    """The last event lacks its blank line."""
    steps = stream(asked)
    return steps[:-2] + [{"send": "data: [DONE]"}, {"end": True}]


def after_done(asked):
    """[DONE], then the connection is held: nobody may wait for its end."""
    steps = stream(asked)
    return steps[:-1] + [{"stall": True}]


def huge_line(asked):
    """huge-line:BYTES - one event of that many bytes."""
    return stream(asked, words=["Hello", "x" * asked.arg(0, 200000), "."])


def endless_line(asked):
    c = Chunks(asked)
    return sse_head() + [{"send": data(e)} for e in c.role() + c.words()[:1]] + [{"send": "data: "}, {"flood": "x" * 65536}]


def endless_line_first(asked):
    return sse_head() + [{"send": "data: "}, {"flood": "x" * 65536}]


def endless_head(asked):
    return [{"status": 200, "headers": [["content-type", "application/json"]] + [[f"x-h{i}", "y" * 4000] for i in range(2000)]},
            {"stall": True}]


def endless_body(asked):
    return [{"status": 200, "headers": [["content-type", "application/json"]], "chunked": True},
            {"send": '{"id":"'}, {"flood": "x" * 65536}]


def endless_roles(asked):
    """Events without content for ever: the held-back head of a stream must have an end."""
    return sse_head() + [{"flood": data(Chunks(asked).event({"role": "assistant", "content": ""})) * 100}]


def status(asked):
    """status:CODE[:RETRY_AFTER] - an error in OpenAI's form. A 401 quotes the key it was sent, as real ones do."""
    code = asked.arg(0, 500)
    kinds = {400: "invalid_request_error", 404: "invalid_request_error", 422: "invalid_request_error", 429: "rate_limit_error"}
    key = next((v for k, v in asked.entry["headers"] if k.lower() == "authorization"), "")
    message = f"Incorrect API key provided: {key}" if code in (401, 403) else f"The mock says {code}."
    headers = [["retry-after", asked.args[1]]] if len(asked.args) > 1 else []
    body = error_body(message, kinds.get(code, "server_error"), f"mock_{code}", "messages" if code in (400, 422) else None)
    return plain(text(body), code, headers)


def status_detail(asked):
    """status-detail:CODE - FastAPI's form."""
    return plain(text({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}), asked.arg(0, 422))


def status_detail_text(asked):
    return plain(text({"detail": "The mock declines."}), asked.arg(0, 400))


def error_array(asked):
    """error-array:CODE - Gemini's form."""
    code = asked.arg(0, 400)
    return plain(text([{"error": {"code": code, "message": "The array declines.", "status": "INVALID_ARGUMENT"}}]), code)


def error_text(asked):
    """error-text:CODE - Ollama's form."""
    return plain(text({"error": "The mock is tired."}), asked.arg(0, 500))


def status_html(asked):
    return plain("<html><body>Bad <b>gateway</b></body></html>", asked.arg(0, 502), kind="text/html")


def status_empty(asked):
    return plain("", asked.arg(0, 500))


def by_key(asked):
    """by-key:BEHAVIOUR[:ARG...] - that, but all is well for a key that ends with "good"."""
    key = next((v for k, v in asked.entry["headers"] if k.lower() == "authorization"), "")
    if key.endswith("good"):
        return ok(asked)
    asked.name, *asked.args = asked.args
    return BEHAVIOURS[asked.name](asked)


MOODS = [["status", "500"], ["status", "503"], ["cut-before"], ["reset-before"], ["error-event-first"], ["cut-role"], ["garbage-json"],
         ["status", "408"]]


def mood(seed, period_ms, percent, now):
    """What moody:SEED:PERIOD_MS:PERCENT does at that time (seconds since 1970): None for well, else a behaviour and its arguments."""
    draw = random.Random(f"{seed}:{int(now * 1000 / period_ms)}")
    return None if draw.randrange(100) < percent else draw.choice(MOODS)


def moody(asked):
    """moody:SEED:PERIOD_MS:PERCENT - well in so many of all periods, and failing in one way or another in the others."""
    bad = mood(asked.arg(0, ""), asked.arg(1, 1000), asked.arg(2, 50), time.time())
    if bad is None:
        return ok(asked)
    asked.name, *asked.args = bad
    if asked.name in ("error-event-first", "cut-role") and not asked.stream:
        return status(asked)
    return BEHAVIOURS[asked.name](asked)


def redirect(asked):
    return [{"status": 307, "headers": [["location", "http://127.0.0.1:9/v1/elsewhere"], ["content-length", "0"]]}]


def flaky(asked):
    """flaky:N:CODE[:RETRY_AFTER] - the first N requests get CODE, then all is well."""
    if asked.count <= asked.arg(0, 1):
        headers = [["retry-after", asked.args[2]]] if len(asked.args) > 2 else []
        return plain(text(error_body(f"Not yet: {asked.arg(1, 500)}.")), asked.arg(1, 500), headers)
    return ok(asked)


def too_long(asked):
    return plain(text(error_body("This model's maximum context length is 10 tokens.", "invalid_request_error",
                                 "context_length_exceeded", "messages")), 400)


def error_event_first(asked):
    return sse_head() + [{"send": data(error_body("The model is overloaded.", code="overloaded"))}, {"end": True}]


def error_event_after_role(asked):
    return failing_stream(asked, {"send": data(error_body("The model is overloaded."))}, {"end": True}, words=[])


def error_event_named(asked):
    return sse_head() + [{"send": "event: error\n" + data({"type": "error", "code": "x", "message": "Flat."})}, {"end": True}]


def error_event_late(asked):
    return failing_stream(asked, {"send": data(error_body("The model fell over.", code="fell_over"))}, {"end": True})


def error_event_late_done(asked):
    return failing_stream(asked, {"send": data(error_body("The model fell over."))}, {"send": data("[DONE]")}, {"end": True})


def empty_first_event(asked):
    """Azure: a first event without choices."""
    c = Chunks(asked)
    extra, note = c.usage()
    first = c.event(choices=[], prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}])
    return stream(asked, events=[first] + c.role() + c.words() + c.finish() + extra, note=note)


def empty_first_then_cut(asked):
    return sse_head() + [{"send": data(Chunks(asked).event(choices=[]))}, {"close": True}]


def empty_data(asked):
    """An event with empty data among the others: SDKs choke on it."""
    steps = stream(asked)
    return steps[:3] + [{"send": "data: \n\n"}, {"send": "event: ping\n\n"}] + steps[3:]


def crlf(asked):
    return stream(asked, form=lambda e: data(e).replace("\n", "\r\n"))


def no_space_data(asked):
    return stream(asked, form=lambda e: data(e).replace("data: ", "data:", 1))


def comments(asked):
    """Comment and retry lines among the events."""
    def form(e):
        return ": a comment\n\n:\nretry: 1000\n" + data(e) + ": OPENROUTER PROCESSING\n\n"
    return stream(asked, form=form)


def event_ids(asked):
    """Each event has an id and a type. (No comments: openai 3.52 takes the blank line after one for an empty event
    once it has seen an id.)"""
    return stream(asked, form=lambda e: "event: message\nid: 7\n" + data(e))


def two_data_lines(asked):
    """Events whose JSON is spread over two data lines."""
    def form(e):
        if isinstance(e, str):
            return data(e)
        first, rest = text(e).split(", ", 1)
        return f"data: {first},\ndata: {rest}\n\n"
    return stream(asked, form=form)


def byte_order_mark(asked):
    steps = stream(asked)
    i = next(i for i, s in enumerate(steps) if "send" in s)
    steps[i] = {"send": "\ufeff" + steps[i]["send"]}
    return steps


TOOL_ARGUMENTS = ['{"city"', ': "K\u00f6', 'ln"', "}"]


def tool_deltas(asked):
    if not asked.stream:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "".join(TOOL_ARGUMENTS)}}
        answer, note = completion(asked, content=None, finish="tool_calls", tool_calls=[call])
        answer["choices"][0]["message"]["content"] = None
        return note + plain(text(answer))
    c = Chunks(asked)
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    events = [c.event({"role": "assistant", "content": None, "tool_calls": [first]})]
    events += [c.event({"tool_calls": [{"index": 0, "function": {"arguments": a}}]}) for a in TOOL_ARGUMENTS]
    extra, note = c.usage(len(TOOL_ARGUMENTS))
    return stream(asked, events=events + c.finish("tool_calls") + extra, note=note)


def tool_first_then_cut(asked):
    """A tool call is content: after its first delta there is no failover."""
    c = Chunks(asked)
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    return sse_head() + [{"send": data(c.event({"role": "assistant", "content": None, "tool_calls": [first]}))}, {"close": True}]


def reasoning(asked):
    """De-facto fields of thinking models, before any content."""
    c = Chunks(asked)
    extra, note = c.usage()
    thoughts = [c.event({"reasoning_content": "hm"}), c.event({"reasoning": "aha"})]
    return stream(asked, events=c.role() + thoughts + c.words() + c.finish() + extra, note=note)


def two_choices(asked):
    """n=2: two finish reasons, the second long after the first."""
    c = Chunks(asked)
    extra, note = c.usage()

    def part(i, delta, finish=None):
        return c.event(choices=[{"index": i, "delta": delta, "logprobs": None, "finish_reason": finish}])
    events = [part(0, {"role": "assistant", "content": "A"}), part(1, {"role": "assistant", "content": "B"}),
              part(0, {}, "stop"), part(1, {"content": "C"}), part(1, {}, "length")]
    return stream(asked, events=events + extra, note=note)


def usage_in_finish(asked):
    """The usage rides on the event with the finish reason (many servers): that event is no extra chunk."""
    c = Chunks(asked)
    used = usage(asked, len(WORDS))
    last = c.finish()[0] | {"usage": used}
    return stream(asked, events=c.role() + c.words() + [last], note=[{"usage": used}])


def usage_everywhere(asked):
    """Running totals on every event (vLLM's continuous usage): the last counts, they are not added up."""
    c = Chunks(asked)
    events = [e | {"usage": usage(asked, i + 1)} for i, e in enumerate(c.role() + c.words())]
    used = usage(asked, len(WORDS))
    return stream(asked, events=events + [c.finish()[0] | {"usage": used}, c.event(choices=[], usage=used)], note=[{"usage": used}])


def groq_usage(asked):
    c = Chunks(asked)
    used = usage(asked, len(WORDS))
    last = c.finish()[0] | {"x_groq": {"id": "req_1", "usage": used | {"queue_time": 0.1, "total_time": 0.2}}}
    return stream(asked, events=c.role() + c.words() + [last], note=[{"usage": used}])


def no_usage(asked):
    if asked.stream:
        c = Chunks(asked)
        return stream(asked, events=c.role() + c.words() + c.finish())
    answer, _ = completion(asked, note=False)
    del answer["usage"]
    return plain(text(answer))


def usage_null(asked):
    answer, _ = completion(asked, note=False)
    return plain(text(answer | {"usage": None}))


def usage_malformed(asked):
    """usage-malformed:KIND - what providers have sent as usage."""
    bad = {"text": "many", "negative": {"prompt_tokens": -5, "completion_tokens": -1},
           "huge": {"prompt_tokens": 10 ** 30, "completion_tokens": 10 ** 30}, "array": [1],
           "strings": {"prompt_tokens": "12", "completion_tokens": None}, "floats": {"prompt_tokens": 1.5, "completion_tokens": 2.5}}
    used = bad[asked.arg(0, "text")]
    if asked.stream:
        c = Chunks(asked)
        return stream(asked, events=c.role() + c.words() + c.finish() + [c.event(choices=[], usage=used)])
    answer, _ = completion(asked, note=False)
    return plain(text(answer | {"usage": used}))


def gzipped(asked):
    """Compressed, though nobody asked for it."""
    if asked.stream:
        raw, notes = raw_stream(asked)
        packed = gzip.compress(raw)
        return sse_head([["content-encoding", "gzip"]]) + notes + [
            {"pieces64": [base64.b64encode(packed[i:i + 50]).decode() for i in range(0, len(packed), 50)]}, {"end": True}]
    answer, note = completion(asked)
    return note + plain(gzip.compress(text(answer).encode()), headers=[["content-encoding", "gzip"]])


def gzip_bomb(asked):
    """300 MB of spaces in 300 KB."""
    return plain(gzip.compress(b" " * (300 << 20), 9), headers=[["content-encoding", "gzip"]])


def unknown_encoding(asked):
    return plain(b"\x01\x02\x03", headers=[["content-encoding", "br"]])


def garbage_json(asked):
    return plain('{"id": "chatcmpl-1", "choices": [{')


def html_200(asked):
    return plain("<!doctype html><title>Log in to the hotel network</title>", kind="text/html")


def array_200(asked):
    return plain("[1, 2, 3]")


def empty_200(asked):
    return plain("")


def wrong_content_type(asked):
    """A right answer under a wrong name."""
    if asked.stream:
        steps = stream(asked)
        steps[0] = {"status": 200, "headers": [["content-type", "application/octet-stream"]], "chunked": True}
        return steps
    answer, note = completion(asked)
    return note + plain(text(answer), kind="text/plain")


def json_error_200(asked):
    return plain(text(error_body("Not really OK.")))


def stream_as_json(asked):
    """A plain answer where a stream was asked for."""
    answer, note = completion(asked)
    return note + plain(text(answer))


def json_as_stream(asked):
    """A stream where a plain answer was asked for."""
    return stream(asked)


def short_body(asked):
    answer, _ = completion(asked, note=False)
    raw = text(answer)
    return [{"status": 200, "headers": [["content-type", "application/json"], ["content-length", str(len(raw) + 500)]]},
            {"send": raw}, {"close": True}]


def until_eof(asked):
    """No length, no chunks: the end of the connection is the end of the body."""
    if asked.stream:
        steps = stream(asked)
        head = {"status": 200, "headers": [["content-type", "text/event-stream"], ["connection", "close"]]}
        return [head] + steps[1:-1] + [{"close": True}]
    answer, note = completion(asked)
    return note + [{"status": 200, "headers": [["content-type", "application/json"], ["connection", "close"]]},
                   {"send": text(answer)}, {"close": True}]


def long_answer(asked):
    """long:BYTES - a plain answer of about that many bytes."""
    answer, note = completion(asked, content="lorem " * (asked.arg(0, 1000) // 6))
    return note + plain(text(answer))


def window(asked):
    """window:W:C - a model whose context is W tokens, each of C tenths of a character; what is longer is refused."""
    size, tenths = asked.arg(0, 1000), asked.arg(1, 40)
    asked.prompt_tokens = len(asked.entry["body"]) * 10 // tenths
    if asked.prompt_tokens > size:
        return plain(text(error_body("This model's maximum context length is exceeded.", "invalid_request_error",
                                     "context_length_exceeded", "messages")), 400)
    return ok(asked)


def script(asked):
    return plain(text(error_body("No script was posted for this request.")), 500)


# ---- other endpoints ----
def vector(item, size):
    rnd = random.Random(json.dumps(item))
    return [struct.unpack("<f", struct.pack("<f", rnd.uniform(-1, 1)))[0] for _ in range(size)]


def embeddings(asked):
    given = asked.json.get("input")
    items = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    size = asked.json.get("dimensions") or 8
    as_text = asked.json.get("encoding_format") == "base64" and asked.name != "floats-always"
    rows = []
    for i, item in enumerate(items):
        numbers = vector(item, size)
        packed = base64.b64encode(struct.pack(f"<{size}f", *numbers)).decode()
        rows.append({"object": "embedding", "index": i, "embedding": packed if as_text else numbers})
    used = {"prompt_tokens": asked.prompt_tokens, "total_tokens": asked.prompt_tokens}
    answer = {"object": "list", "data": rows, "model": "the-provider-calls-it-" + asked.name, "usage": used}
    return [{"usage": used}] + plain(text(answer))


def models(asked):
    """The list of models. /list/BEHAVIOUR/v1/models behaves as a model of that name does; "ok" is the list all the same."""
    parts = asked.path.split("/")
    if parts[1] == "list" and not parts[2].startswith(("ok", "limits", "slow")):
        asked.name, *asked.args = parts[2].split(":")
        return BEHAVIOURS[asked.name](asked)
    headers, pause = [], []
    if parts[2].startswith("limits"):
        headers = [["x-ratelimit-limit-requests", "500"], ["x-ratelimit-limit-tokens", "200000"]]
    if parts[2].startswith("slow:"):
        pause = [{"sleep": int(parts[2][5:]) / 1000}]
    rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "mock"} for name in OFFERED]
    rows[0] |= {"context_window": 128000, "max_completion_tokens": 16384}
    return pause + plain(text({"object": "list", "data": rows}), headers=headers)


OFFERED = ("gpt-4o-mini", "ok", "text-embedding-3-small", "vendor/new-model:free")


BEHAVIOURS = {
    "ok": ok, "limits": limits, "stream": counted_stream, "gated": gated, "gated-each": gated_each, "slow": slow, "drip": drip,
    "stall-before": stall_before, "stall-head": stall_head, "stall-role": stall_role, "stall-mid": stall_mid,
    "dribble": dribble, "split-random": split_random, "split-utf8": split_utf8,
    "cut-before": cut_before, "reset-before": reset_before, "cut-head": cut_head, "cut-role": cut_role,
    "cut-after-content": cut_after_content, "reset-after-content": reset_after_content, "cut-inside-event": cut_inside_event,
    "cut-after-finish": cut_after_finish, "no-done": no_done, "no-finish": no_finish, "done-without-finish": done_without_finish,
    "empty-stream": empty_stream, "only-done": only_done, "last-line-open": last_line_open, "after-done": after_done,
    "huge-line": huge_line, "endless-line": endless_line, "endless-line-first": endless_line_first, "endless-head": endless_head,
    "endless-body": endless_body, "endless-roles": endless_roles,
    "status": status, "status-detail": status_detail, "status-detail-text": status_detail_text, "error-array": error_array,
    "error-text": error_text, "status-html": status_html, "status-empty": status_empty, "redirect": redirect, "flaky": flaky,
    "by-key": by_key, "moody": moody,
    "error-event-first": error_event_first, "error-event-after-role": error_event_after_role,
    "error-event-named": error_event_named, "error-event-late": error_event_late, "error-event-late-done": error_event_late_done,
    "empty-first-event": empty_first_event, "empty-first-then-cut": empty_first_then_cut, "empty-data": empty_data,
    "crlf": crlf, "no-space-data": no_space_data, "comments": comments, "event-ids": event_ids,
    "two-data-lines": two_data_lines,
    "byte-order-mark": byte_order_mark, "tool-deltas": tool_deltas, "tool-first-then-cut": tool_first_then_cut,
    "reasoning": reasoning, "two-choices": two_choices, "usage-in-finish": usage_in_finish, "usage-everywhere": usage_everywhere,
    "groq-usage": groq_usage, "no-usage": no_usage, "usage-null": usage_null, "usage-malformed": usage_malformed,
    "gzip": gzipped, "gzip-bomb": gzip_bomb, "unknown-encoding": unknown_encoding, "garbage-json": garbage_json,
    "html-200": html_200, "array-200": array_200, "empty-200": empty_200, "wrong-content-type": wrong_content_type,
    "json-error-200": json_error_200, "stream-as-json": stream_as_json, "json-as-stream": json_as_stream,
    "short-body": short_body, "too-long": too_long, "until-eof": until_eof, "long": long_answer, "window": window, "script": script, "floats-always": ok,
} | wires.CHAT
WIRES = {"/messages": wires.MESSAGES, "/responses": wires.RESPONSES}


PATHS = ("/v1/", "/list/", "/other/v1/", "/anthropic/v1/", "/groq/openai/v1/", "/gemini/v1beta/openai/", "/ollama/v1/", "/azure/openai/")


def steps(entry, count):
    """The steps that answer this request; count says the how-manieth for its model it is."""
    asked = Asked(entry, count)
    if entry["method"] == "GET" and asked.path.startswith(PATHS) and asked.path.endswith("/models"):
        return models(asked)
    if entry["method"] != "POST" or not asked.path.startswith(PATHS):
        return plain(text(error_body("No such path.", code="mock_path")), 404)
    wire = next((w for path, w in WIRES.items() if asked.path.endswith(path)), None)
    if wire is not None:
        return wire[asked.name](asked)
    behaviour = BEHAVIOURS.get(asked.name)
    if behaviour is None:
        return plain(text(error_body(f"No such model {asked.name}.", code="mock_model")), 404)
    if asked.path.endswith("/embeddings") and behaviour is ok:
        return embeddings(asked)
    if asked.path.endswith(("/chat/completions", "/completions", "/embeddings")):
        return behaviour(asked)
    return plain(text(error_body("No such path.", code="mock_path")), 404)
