"""A server of this machine that answers like a provider of models, and misbehaves as it is told to.

It speaks OpenAI's chat completions (Groq's too), Anthropic's messages and Google's generateContent.
"""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

import pytest

INPUT_TOKENS, OUTPUT_TOKENS = 1200, 40
"""What a reply takes, and is billed with, whatever the server says."""
MANY_TOKENS = 50_000
ODD = b""
"""The body of the reply ``odd``."""
ERRORS = {
    "400": (400, "invalid_request_error", "The picture is no picture."),
    "401": (401, "authentication_error", "Incorrect API key provided."),
    "403": (403, "permission_error", "Not for you."),
    "404": (404, "not_found_error", "The model does not exist."),
    "429": (429, "rate_limit_error", "Too many requests."),
    "429 after": (429, "rate_limit_error", "Too many requests."),
    "quota": (429, "insufficient_quota", "You exceeded your current quota, please check your plan."),
    "500": (500, "api_error", "Internal error."),
    "503": (503, "api_error", "Unavailable."),
    "529": (529, "overloaded_error", "Overloaded."),
}


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]
    raw: str

    @property
    def pictures(self) -> list[bytes]:
        """In the order in which they were sent."""
        found = re.findall(r'(?:base64,|"data": ?")([A-Za-z0-9+/_-]{40,}=*)', self.raw)
        return [base64.b64decode(p.replace("-", "+").replace("_", "/")) for p in found]

    @property
    def is_preflight(self) -> bool:
        return "Reply with OK" in self.raw

    @property
    def brand(self) -> str:
        """The text that the question says was read, which a good answer names."""
        found = re.search(r'Text that was read: \\"([^"\\]+)\\"', self.raw)
        return found[1] if found else "Acme"


@dataclass
class ModelServer:
    """What was asked, and how it is answered."""

    answers: list[str] = field(default_factory=list)
    """For the next questions, by name as in ``_reply`` and ``ERRORS``; afterwards ``then``."""
    preflights: list[str] = field(default_factory=list)
    """The same for requests without pictures."""
    then: str = "good"
    retry_after_s: str = "1"
    slow_s: float = 0.3
    asked: list[Asked] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    billed: list[tuple[int, int]] = field(default_factory=list)
    sent: int = 0
    """Bytes of endless replies that were taken from it."""
    most_at_once: int = 0
    at_once: int = 0
    port: int = 0
    ending: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def questions(self) -> list[Asked]:
        return [a for a in self.asked if not a.is_preflight]

    def take(self, asked: Asked) -> str:
        with self.lock:
            self.asked.append(asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            script, otherwise = (self.preflights, "good") if asked.is_preflight else (self.answers, self.then)
            name = script.pop(0) if script else otherwise
            self.did.append(name)
            if name not in ERRORS and name != "redirect":
                self.billed.append((INPUT_TOKENS, MANY_TOKENS if name == "many tokens" else OUTPUT_TOKENS))
            return name

    def done(self) -> None:
        with self.lock:
            self.at_once -= 1


def use(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all providers be at ``server``, each with a key of its own."""
    for provider, path in (("OPENAI", "/v1"), ("ANTHROPIC", ""), ("GOOGLE_GEMINI", ""), ("GROQ", "")):
        monkeypatch.setenv(f"{provider}_BASE_URL", f"{server.url}{path}")
    for provider in ("OPENAI", "ANTHROPIC", "GOOGLE", "GROQ"):
        monkeypatch.setenv(f"{provider}_API_KEY", key_of(provider.lower()))
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)


def key_of(provider: str) -> str:
    return f"sk-{provider}-0123456789abcdef"


@contextmanager
def serving() -> Iterator[ModelServer]:
    """A server that is there; at the end all that was sent to it has been taken or refused."""
    state = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # s without a byte from or to the client, who may hold the connection open

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            raw = self.rfile.read(length).decode()
            if len(raw) < length:
                return  # the client hung up
            asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(raw), raw)
            name = state.take(asked)
            if name == "slow":
                state.ending.wait(state.slow_s)
            state.done()  # before the client can know
            with suppress(OSError):  # the client hung up
                self._answer(name, asked)

        def _answer(self, name: str, asked: Asked) -> None:
            if name in ERRORS:
                status, kind, message = ERRORS[name]
                body = {"type": "error", "error": {"type": kind, "code": kind, "message": message, "status": kind}}
                after = {"Retry-After": state.retry_after_s} if name == "429 after" else {}
                self._send(status, body, after)
                return
            if name == "redirect":
                self._send(302, {}, {"Location": f"{state.url}/elsewhere"})
                return
            data = json.dumps(_reply(name, asked)).encode()
            if name == "odd":
                data = ODD
            if name == "no json":
                data = b'{"id": "1", "choices": [{'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if name != "endless":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            while name == "endless":
                state.sent += self.wfile.write(b" " * 100_000)
            if name == "drip":
                for byte in data:
                    if state.ending.wait(0.02):
                        break
                    self.wfile.write(bytes([byte]))
                return
            self.wfile.write(data[: len(data) // 2] if name == "cut" else data)

        def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for header, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that closing it waits for them
    state.port = server.server_port
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _reply(name: str, asked: Asked) -> dict[str, Any]:
    """A reply in the protocol that was spoken."""
    said = {"verdict": "brand", "brand": asked.brand, "confidence": 0.9, "mark": "wordmark", "surface": "board"}
    said["reason"] = "the letters"
    text = json.dumps(said)
    if asked.is_preflight:
        text = "OK"
    match name:
        case "prose":
            text = "It seems to be a contemporary brand."
        case "length":
            text = text[:20]
        case "filter":
            text = ""
        case "unknown brand":
            text = json.dumps({**said, "brand": "Zzyzx Holdings"})
        case "confidence 7":
            text = json.dumps({**said, "confidence": 7})
    usage = (INPUT_TOKENS, OUTPUT_TOKENS)
    usage = {
        "many tokens": (INPUT_TOKENS, MANY_TOKENS),
        "zero usage": (0, 0),
        "half a token": (INPUT_TOKENS, OUTPUT_TOKENS + 0.5),
        "absurd usage": (10**15, 10**15),
    }.get(name, usage)
    stop = name if name in ("length", "filter") else "stop"
    if asked.path.endswith("/chat/completions"):
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": asked.body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "content_filter" if stop == "filter" else stop,
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)},
        } | ({"usage": None} if name == "no usage" else {})
    if asked.path.endswith("/messages"):
        return {
            "id": "1",
            "type": "message",
            "role": "assistant",
            "model": asked.body["model"],
            "content": [{"type": "text", "text": text}],
            "stop_reason": {"stop": "end_turn", "length": "max_tokens", "filter": "refusal"}[stop],
            "stop_sequence": None,
            "usage": {"input_tokens": usage[0], "output_tokens": usage[1]},
        }
    return {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": text}]},
                "finishReason": {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"}[stop],
            }
        ],
        "usageMetadata": {
            "promptTokenCount": usage[0],
            "candidatesTokenCount": usage[1],
            "totalTokenCount": sum(usage),
        },
    }
