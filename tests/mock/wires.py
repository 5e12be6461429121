"""The mock's other wires: Anthropic's messages and OpenAI's responses, by the same names of behaviours as far as they make
sense there; and the habits of single providers on the chat wire. Steps are provider.py's. No input or output here.

Usage that was told is noted in the terms of chat (prompt with all of the cache, completion), which the audit log has too.
"""
import json

WORDS = ["Weirs", " regulate", " a", " flow", " and", " measure", " it", " \u00e4\u20ac\U0001f30a", "."]
CITIES = ("Lyon", "K\u00f6ln")
CREATED = 1700000000


def text(o):
    return json.dumps(o, separators=(", ", " : "))


def plain(o, status=200, headers=()):
    raw = text(o)
    return [{"status": status, "headers": [["content-type", "application/json"], ["content-length", str(len(raw.encode()))], *headers]},
            {"send": raw}]


def sse(events, *ending):
    """events: objects that have a type, or texts that are sent as they are."""
    steps = [{"status": 200, "headers": [["content-type", "text/event-stream; charset=utf-8"]], "chunked": True}]
    steps += [{"send": e if isinstance(e, str) else f"event: {e['type']}\ndata: {text(e)}\n\n"} for e in events]
    return steps + (list(ending) or [{"end": True}])


# ---- messages ----
def claude_usage(asked, completion):
    used = {"input_tokens": asked.prompt_tokens, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3,
            "output_tokens": completion}
    return used, {"usage": {"prompt_tokens": asked.prompt_tokens + 5, "completion_tokens": completion, "cached_tokens": 3}}


def block_events(i, block):
    """A content block as its events."""
    kind = block["type"]
    empty = {"text": {"type": "text", "text": ""}, "thinking": {"type": "thinking", "thinking": "", "signature": ""},
             "tool_use": {"type": "tool_use", "id": block.get("id"), "name": block.get("name"), "input": {}}}[kind]
    yield {"type": "content_block_start", "index": i, "content_block": empty}
    deltas = []
    if kind == "text":
        half = len(block["text"]) // 2
        deltas = [{"type": "text_delta", "text": t} for t in (block["text"][:half], block["text"][half:])]
    elif kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}, {"type": "signature_delta", "signature": block["signature"]}]
    else:
        raw = json.dumps(block["input"])
        deltas = [{"type": "input_json_delta", "partial_json": t} for t in ("", raw[:5], raw[5:])]
    for d in deltas:
        yield {"type": "content_block_delta", "index": i, "delta": d}
    yield {"type": "content_block_stop", "index": i}


def message(asked, blocks, stop="end_turn", sequence=None, completion=len(WORDS)):
    used, note = claude_usage(asked, completion)
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "the-provider-calls-it-" + asked.name}
    if not asked.stream:
        return [note] + plain(whole | {"content": blocks, "stop_reason": stop, "stop_sequence": sequence, "usage": used},
                              headers=[["request-id", "req_of_anthropic"], ["anthropic-ratelimit-requests-limit", "50"]])
    begun = whole | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": used | {"output_tokens": 1}}
    events = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for i, b in enumerate(blocks):
        events += block_events(i, b)
    events += [{"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": sequence}, "usage": {"output_tokens": completion}},
               {"type": "message_stop"}]
    return [note] + sse(events)


def words_block():
    return {"type": "text", "text": "".join(WORDS)}


def claude_ok(asked):
    return message(asked, [words_block()])


def claude_tools(asked):
    """Two calls at once; when their results are there, a text that repeats them."""
    last = asked.json["messages"][-1]["content"]
    results = [b for b in last if isinstance(b, dict) and b.get("type") == "tool_result"] if isinstance(last, list) else []
    if results:
        return message(asked, [{"type": "text", "text": "Heard: " + json.dumps([[b["tool_use_id"], b["content"]] for b in results])}])
    calls = [{"type": "tool_use", "id": f"toolu_{i}", "name": "weather", "input": {"city": c}} for i, c in enumerate(CITIES)]
    return message(asked, [{"type": "text", "text": "I look."}] + calls, "tool_use")


def claude_thinking(asked):
    return message(asked, [{"type": "thinking", "thinking": "hm, aha", "signature": "c2ln"}, words_block()])


def structured(asked):
    return message(asked, [{"type": "text", "text": '{"city": "Lyon", "days": 3}'}])


def claude_error(kind, words):
    return {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_of_anthropic"}


def claude_status(asked):
    code = asked.arg(0, 500)
    kinds = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
             404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}
    headers = [["retry-after", asked.args[1]]] if len(asked.args) > 1 else []
    return plain(claude_error(kinds.get(code, "api_error"), f"The mock says {code}."), code, headers)


def claude_error_first(asked):
    return sse([claude_error("overloaded_error", "Overloaded")])


def claude_begun(asked):
    """All events of a text up to its first delta."""
    steps = message(asked, [words_block()])
    return steps[1:6]


def claude_error_late(asked):
    return claude_begun(asked) + [{"send": "event: error\ndata: " + text(claude_error("overloaded_error", "Overloaded")) + "\n\n"}, {"end": True}]


def claude_cut(asked):
    return claude_begun(asked) + [{"close": True}]


def claude_no_stop(asked):
    """Everything but message_stop."""
    steps = message(asked, [words_block()])
    return [s for s in steps if "message_stop" not in s.get("send", "")]


MESSAGES = {"ok": claude_ok, "tools": claude_tools, "thinking": claude_thinking, "structured": structured, "status": claude_status,
            "error-event-first": claude_error_first, "error-event-late": claude_error_late, "cut-after-content": claude_cut,
            "no-done": claude_no_stop,
            "max-tokens": lambda a: message(a, [words_block()], "max_tokens"),
            "stop-sequence": lambda a: message(a, [words_block()], "stop_sequence", "###"),
            "refusal": lambda a: message(a, [words_block()], "refusal")}


def claude_window(asked):
    size, tenths = asked.arg(0, 1000), asked.arg(1, 40)
    asked.prompt_tokens = len(asked.entry["body"]) * 10 // tenths
    if asked.prompt_tokens > size:
        return plain(claude_error("invalid_request_error", "prompt is too long"), 400)
    return claude_ok(asked)


MESSAGES["window"] = claude_window


# ---- responses ----
def response(asked, output, status="completed"):
    used = {"input_tokens": asked.prompt_tokens, "input_tokens_details": {"cached_tokens": 1}, "output_tokens": len(WORDS),
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": asked.prompt_tokens + len(WORDS)}
    note = {"usage": {"prompt_tokens": asked.prompt_tokens, "completion_tokens": len(WORDS)}}
    whole = {"id": "resp_1", "object": "response", "created_at": CREATED, "status": status, "model": "the-provider-calls-it-" + asked.name,
             "output": output, "usage": used, "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
             "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0}
    return whole, note


def response_item():
    return {"id": "item_1", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "".join(WORDS), "annotations": [], "logprobs": []}]}


def response_events(asked):
    item = response_item()
    whole, note = response(asked, [item])
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    where = {"item_id": "item_1", "output_index": 0, "content_index": 0}
    part = item["content"][0]
    events = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun},
              {"type": "response.output_item.added", "output_index": 0, "item": item | {"status": "in_progress", "content": []}},
              {"type": "response.content_part.added", **where, "part": part | {"text": ""}}]
    events += [{"type": "response.output_text.delta", **where, "delta": w, "logprobs": []} for w in WORDS]
    events += [{"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []},
               {"type": "response.content_part.done", **where, "part": part},
               {"type": "response.output_item.done", "output_index": 0, "item": item}, {"type": "response.completed", "response": whole}]
    return [e | {"sequence_number": i} for i, e in enumerate(events)], note


def response_ok(asked):
    events, note = response_events(asked)
    if asked.stream:
        return [note] + sse(events)
    whole, note = response(asked, [response_item()])
    return [note] + plain(whole)


def response_failed(asked):
    """response.failed after some words."""
    events, _ = response_events(asked)
    whole, _ = response(asked, [], "failed")
    failed = {"type": "response.failed", "sequence_number": 7, "response": whole | {"error": {"code": "server_error", "message": "It fell over."}}}
    return sse(events[:7] + [failed])


def response_cut(asked):
    return sse(response_events(asked)[0][:7], {"close": True})


RESPONSES = {"ok": response_ok, "error-event-late": response_failed, "cut-after-content": response_cut}


# ---- habits on the chat wire (WIRE.md 3) ----
def chunk(asked, delta, finish=None, **extra):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED, "model": "the-provider-calls-it-" + asked.name,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | extra


def chat_stream(asked, events, note=()):
    return [*note] + sse([f"data: {text(e)}\n\n" for e in events] + ["data: [DONE]\n\n"])


def chat_usage(asked, n=len(WORDS)):
    used = {"prompt_tokens": asked.prompt_tokens, "completion_tokens": n, "total_tokens": asked.prompt_tokens + n}
    return used, [{"usage": used}]


def chat_tools(asked):
    """As claude_tools, in chat's form."""
    results = [m for m in asked.json["messages"] if m.get("role") == "tool"]
    used, note = chat_usage(asked)
    if results:
        said = "Heard: " + json.dumps([[m["tool_call_id"], m["content"]] for m in results])
        if asked.stream:
            return chat_stream(asked, [chunk(asked, {"role": "assistant", "content": said}), chunk(asked, {}, "stop", usage=used)], note)
        return note + plain(chat_whole(asked, {"content": said}, "stop", used))
    calls = [{"id": f"call_{i}", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": c})}} for i, c in enumerate(CITIES)]
    if not asked.stream:
        return note + plain(chat_whole(asked, {"content": None, "tool_calls": calls}, "tool_calls", used))
    events = [chunk(asked, {"role": "assistant", "content": None})]
    for i, c in enumerate(calls):
        raw = c["function"]["arguments"]
        events.append(chunk(asked, {"tool_calls": [{"index": i} | c | {"function": {"name": "weather", "arguments": ""}}]}))
        events += [chunk(asked, {"tool_calls": [{"index": i, "function": {"arguments": part}}]}) for part in (raw[:6], raw[6:])]
    return chat_stream(asked, events + [chunk(asked, {}, "tool_calls", usage=used)], note)


def chat_whole(asked, said, finish, used):
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": CREATED, "model": "the-provider-calls-it-" + asked.name, "usage": used,
            "choices": [{"index": 0, "message": {"role": "assistant", "refusal": None} | said, "logprobs": None, "finish_reason": finish}]}


def chat_structured(asked):
    used, note = chat_usage(asked)
    said = '{"city": "Lyon", "days": 3}'
    if asked.stream:
        return chat_stream(asked, [chunk(asked, {"role": "assistant", "content": said}), chunk(asked, {}, "stop", usage=used)], note)
    return note + plain(chat_whole(asked, {"content": said}, "stop", used))


def gemini_tools(asked):
    """Gemini: whole calls without index, one without an id, finished by "stop"; a signature that has to come back."""
    used, note = chat_usage(asked)
    calls = [{"function": {"name": "weather", "arguments": json.dumps({"city": c})}, "type": "function", "id": f"call_{i}" if i else "",
              "extra_content": {"google": {"thought_signature": f"sig{i}"}}} for i, c in enumerate(CITIES)]
    return chat_stream(asked, [chunk(asked, {"role": "assistant", "tool_calls": calls[:1]}), chunk(asked, {"role": "assistant", "tool_calls": calls[1:]}),
                               chunk(asked, {"role": "assistant"}, "stop", usage=used)], note)


def azure_filter(asked):
    """Azure with its asynchronous filter: a first event without choices, and one between the words that is only the filter's."""
    used, note = chat_usage(asked)
    nobody = {"id": "", "object": "", "created": 0, "model": ""}
    first = nobody | {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
    beside = nobody | {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}, "content_filter_offsets": {"check_offset": 1}}]}
    events = [first, chunk(asked, {"role": "assistant", "content": ""})] + [chunk(asked, {"content": w}) for w in WORDS[:4]] + [beside]
    events += [chunk(asked, {"content": w}) for w in WORDS[4:]] + [beside, chunk(asked, {}, "stop")]
    return chat_stream(asked, events + [chunk(asked, {}) | {"choices": [], "usage": used}], note)


CHAT = {"tools": chat_tools, "structured": chat_structured, "gemini-tools": gemini_tools, "azure-filter": azure_filter}
