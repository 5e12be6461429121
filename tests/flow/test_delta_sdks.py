"""What unit/test_delta.c wants to be written, read by the official SDKs: strictly by their types, and by their stream helpers.
A server on the loopback gives the wanted texts out; no gateway is involved."""
import http.server
import json
import pathlib
import re
import threading

import anthropic
import openai
import pydantic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

HEADER = (pathlib.Path(__file__).parents[1] / "unit/delta_wanted.h").read_text()
WANTED = {name: "".join(json.loads(line) for line in re.findall(r'^ +(".*")', text, re.M))
          for name, text in re.findall(r"\*const wanted_(\w+) =\n(.*?);\n", HEADER, re.S)}
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}]


def events(name):
    data = [json.loads(d) for d in re.findall(r"^data: (\{.*)$", WANTED[name], re.M)]
    assert data
    return data


def strictly(type_, value):
    pydantic.TypeAdapter(type_).validate_python(value, strict=True)


@pytest.fixture(scope="module")
def base():
    """An address below which /NAME gives out WANTED[NAME] whatever is posted there."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            body = WANTED[self.path.split("/")[1]].encode()
            self.send_response(200)
            self.send_header("content-type", "application/json" if body.startswith(b"{") else "text/event-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def oai(base, name):
    return openai.OpenAI(base_url=f"{base}/{name}", api_key="k", max_retries=0)


def claude(base, name):
    return anthropic.Anthropic(base_url=f"{base}/{name}", api_key="k", max_retries=0)


def test_every_object_is_of_the_sdks_type():
    strictly(ChatCompletion, json.loads(WANTED["chat"]))
    strictly(Completion, json.loads(WANTED["completion"]))
    strictly(Response, json.loads(WANTED["response"]))
    strictly(Message, json.loads(WANTED["message"]))
    for chunk in events("chat_stream"):
        strictly(ChatCompletionChunk, chunk)
    for event in events("response_stream") + events("cut_response_stream") + events("response_error"):
        strictly(ResponseStreamEvent, event)
    for event in events("message_stream"):
        strictly(RawMessageStreamEvent, event)


def test_the_chat_helper_puts_the_stream_together(base):
    with oai(base, "chat_stream").chat.completions.stream(**ASK) as stream:
        stream.until_done()
        got = stream.get_final_completion()
    whole = oai(base, "chat").chat.completions.create(**ASK)
    message, other = got.choices[0].message, whole.choices[0].message
    assert message.content == other.content == 'He"y you\n'
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
        (c.id, c.function.name, c.function.arguments) for c in other.tool_calls] == [("c1", "f", '{"a":[1]}'), ("c2", "g", "{}")]
    assert got.choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"
    assert got.usage == whole.usage and got.usage.total_tokens == 17


def test_completions_come_together(base):
    chunks = list(oai(base, "completion_stream").completions.create(model="m", prompt="hi", stream=True))
    whole = oai(base, "completion").completions.create(model="m", prompt="hi")
    assert "".join(c.text for k in chunks for c in k.choices) == whole.choices[0].text
    assert chunks[-1].usage == whole.usage


def test_the_responses_helper_puts_the_stream_together(base):
    with oai(base, "response_stream").responses.stream(model="m", input="hi", tools=TOOLS) as stream:
        seen = list(stream)
        got = stream.get_final_response()
    whole = oai(base, "response").responses.create(model="m", input="hi")
    assert "".join(e.delta for e in seen if e.type == "response.output_text.delta") == got.output_text == whole.output_text
    calls = [(i.call_id, i.name, i.arguments) for i in got.output if i.type == "function_call"]
    assert calls == [("c1", "f", '{"a":[1]}'), ("c2", "g", "{}")]
    assert got.output[0].summary[0].text == "think"
    assert got.usage == whole.usage and got.usage.input_tokens_details.cached_tokens == 3
    assert [e.sequence_number for e in seen] == list(range(len(seen)))


def test_a_response_that_was_cut_says_so_to_the_helper(base):
    with oai(base, "cut_response_stream").responses.stream(model="m", input="hi") as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete" and last.response.incomplete_details.reason == "max_output_tokens"


def test_the_messages_helper_puts_the_stream_together(base):
    with claude(base, "message_stream").messages.stream(max_tokens=9, **ASK) as stream:
        got = stream.get_final_message()
    whole = claude(base, "message").messages.create(max_tokens=9, **ASK)
    assert [b.to_dict() for b in got.content] == [b.to_dict() for b in whole.content]
    assert got.content[2].input == {"a": [1]} and got.stop_reason == whole.stop_reason == "tool_use"
    assert got.usage == whole.usage and got.usage.input_tokens == 5


def test_a_broken_stream_raises(base):
    with pytest.raises(openai.APIError, match="broke"):
        list(oai(base, "chat_error").chat.completions.create(stream=True, **ASK))
    with pytest.raises(openai.APIError, match="broke"):
        list(oai(base, "response_error").responses.create(model="m", input="hi", stream=True))
    with pytest.raises(anthropic.APIError, match="broke"):
        list(claude(base, "message_error").messages.create(max_tokens=9, stream=True, **ASK))
