"""The page of `segpoint annotate`, served to this machine alone by the standard library.

The page's address holds a random token, and nothing is answered without it: other people's programs on this machine,
and other pages in this browser, do not know it. A page under another name (DNS rebinding) is refused by its Host.
What the page does are POSTs of JSON to ``api/ACTION``; each answers with all that the page shows.
"""

from __future__ import annotations

import hmac
import json
import math
import secrets
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Condition
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from segpoint.errors import SegPointError
from segpoint.prompts import MOST_CHARACTERS, check_instruction
from segpoint_replay.annotate.model import Model
from segpoint_replay.annotate.proposal import Part
from segpoint_replay.annotate.session import Session

HOST = "127.0.0.1"
PAGE = {"": "annotate.html", "annotate.js": "annotate.js", "annotate.css": "annotate.css"}
_KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
_LONGEST = 1 << 20  # bytes of a request
_SHORT = 200  # characters of what is told about one
_WAIT = 25.0  # seconds that the page waits for the model before it asks again


class Desk:
    """A session and a model, shared by the page's requests: one action at a time, and the model beside them."""

    def __init__(self, session: Session, model: Model) -> None:
        self.session, self.model = session, model
        self._turn = Condition()
        self._asked: Future[list[Part]] | None = None
        self._said, self._version = "; ".join(session.troubles), 0
        self._actions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "state": lambda _: None,
            "wait": lambda _: self._turn.wait_for(lambda: self._asked is None, _WAIT),
            "go": lambda given: self._leave(session.go, int(given["place"])),
            "step": lambda given: self._leave(session.step, 1 if given["way"] > 0 else -1),
            "finish": lambda _: self._leave(session.finish),
            "drop": lambda _: self._leave(session.drop),
            "carry": lambda _: self._leave(session.carry),
            "say": lambda given: self._ask(check_instruction(given["text"], MOST_CHARACTERS)),
            "click": self._click,
            "next": lambda _: session.show_next(),
            "resize": lambda given: session.resize(int(given["steps"]), int(given.get("object", 0))),
            "brush": self._brush,
            "accept": lambda given: self._leave(session.accept, int(given.get("object", 0))),
            "reject": lambda _: self._leave(session.reject),
            "name": lambda given: session.name(int(given["object"]), str(given["category"])),
            "remove": lambda given: session.remove(int(given["object"]), bool(given.get("everywhere"))),
            "instruct": lambda given: self._leave(
                session.instruct, str(given["text"]), [int(n) for n in given["targets"]],
                str(given.get("kind", "")), bool(given.get("only_here")),
            ),
            "forget": lambda given: session.forget(int(given["row"])),
            "undo": lambda _: self._leave(session.undo),
        }  # fmt: skip

    def act(self, action: str, given: dict[str, Any]) -> dict[str, Any]:
        """Do one of the page's actions, and say what there is now. Raises KeyError for an unknown one; what cannot be
        done is told in "error", and nothing is changed then."""
        do = self._actions[action]
        with self._turn:
            self._said, error, result = "" if action not in ("wait", "state") else self._said, "", None
            try:
                with self.session.all_or_nothing():
                    result = do(given)
            except SegPointError as trouble:
                error = str(trouble)
            except (KeyError, TypeError, ValueError, OverflowError, OSError) as trouble:
                error = f"{action} cannot be done with {given!r:.200}: {trouble}"
            return {**self.state(), "error": error or self._said, "result": result if action == "accept" else None}

    def picture(self, place: int) -> bytes:
        return self.session.clouds.view(place).picture.jpeg

    def state(self) -> dict[str, Any]:
        """All that the page shows but the picture. Layers are runs of equal values, row by row: value, length, …"""
        session, view = self.session, self.session.view
        self._version += 1
        folder, picture, proposal = session.folder, view.picture, session.proposal
        here = folder.points.get(session.number, {})
        shown: dict[str, Any] | None = None
        if proposal is not None:
            parts = proposal.parts(view.xyz)
            shown = {
                "source": proposal.source, "text": proposal.text, "choices": list(proposal.choices),
                "shown": proposal.shown, "steps": proposal.steps,
                "layer": _runs(picture.layer(proposal.layer(view.xyz))),
                "parts": [
                    {"object": p.object, "name": p.name, "score": p.score, "points": int(p.mask.sum()),
                     "out": number in proposal.out} for number, p in enumerate(parts)
                ],
            }  # fmt: skip
        return {
            "version": self._version, "bag": str(session.clouds.recording.path), "folder": str(folder.root),
            "place": session.place, "number": session.number, "at": round(session.clouds.at(session.place), 3),
            "width": picture.size[0], "height": picture.size[1], "points": len(view.xyz),
            "clouds": [
                {"done": session.is_done(p), "review": session.to_review(p)} for p in range(len(session.clouds))
            ],
            "layer": _runs(picture.layer(session.label)), "proposal": shown,
            "objects": [
                {"number": n, "category": name, "points": here.get(n, 0),
                 "clouds": sum(n in counts for counts in folder.points.values())}
                for n, name in sorted(folder.objects.items())
            ],
            "asked": [
                {"row": row, "text": a.text, "targets": list(a.targets), "kind": a.kind,
                 "cloud": a.cloud, "here": a.cloud in (None, session.number) and set(a.targets) <= set(here)}
                for row, a in enumerate(folder.asked)
            ],
            "undoable": session.undoable, "model": self.model.state, "thinking": self._asked is not None,
        }  # fmt: skip

    def _leave(self, do: Callable[..., Any], *given: Any) -> Any:
        """Do what makes pointless whatever the model is still thinking about."""
        self._asked = None
        self._turn.notify_all()
        return do(*given)

    def _click(self, given: dict[str, Any]) -> None:
        x, y = float(given["x"]), float(given["y"])
        if self.session.toggle(x, y):
            return
        self.session.click(x, y)
        proposal = self.session.proposal
        assert proposal is not None  # a click makes one
        if self.model.state in ("ready", "loading"):
            self._ask(proposal.text, proposal.clicks)

    def _brush(self, given: dict[str, Any]) -> None:
        stroke = [(float(x), float(y)) for x, y in given["stroke"]]
        self.session.brush(stroke, float(given["radius"]), bool(given["add"]), int(given.get("object", 0)))

    def _ask(self, text: str, clicks: list[int] | None = None) -> None:
        """Ask the model; its proposal comes when it has one, unless the person has gone on by then."""
        clicks = list(clicks or [])
        asked = self._asked = self.model.ask(self.session.view, text, clicks)

        def answered(answer: Future[list[Part]]) -> None:
            with self._turn:
                if self._asked is not asked:
                    return
                self._asked = None
                try:
                    parts = answer.result()
                    if not parts and text:
                        self._said = f"the model finds nothing for “{text}” here"
                    if parts or not clicks:
                        self.session.propose(text, clicks, parts)
                except Exception as error:  # any model's; the person goes on without
                    self._said = f"the model: {' '.join(str(error).split())[:300]}"
                self._turn.notify_all()

        asked.add_done_callback(answered)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """A page that is closed while it waits for an answer is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(desk: Desk, port: int = 0) -> tuple[ThreadingHTTPServer, str]:
    """A server that is bound to ``port`` (0: a free one) and not yet started, and the page's address with its token."""
    token = secrets.token_urlsafe(24)
    try:
        server = _Server((HOST, port), _handler(desk, token))
    except OSError as error:
        raise SegPointError(f"port {port} cannot be used ({error.strerror}): choose another --port") from error
    return server, f"http://{HOST}:{server.server_address[1]}/{token}/"


def _handler(desk: Desk, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # header and content in one packet: the second of two waits for the first's receipt

        def do_GET(self) -> None:
            name = self._allowed()
            if name is None:
                return
            if name in PAGE:
                content = (files("segpoint_replay") / "templates" / PAGE[name]).read_bytes()
                self._answer(HTTPStatus.OK, content, _KINDS[PAGE[name].rsplit(".", 1)[1]])
            elif name == "picture":
                place = parse_qs(urlsplit(self.path).query).get("place", [""])[0]
                if not place.isdecimal() or int(place) >= len(desk.session.clouds):
                    self._refuse(HTTPStatus.NOT_FOUND)
                    return
                try:
                    picture = desk.picture(int(place))
                except SegPointError as error:
                    self._refuse(HTTPStatus.NOT_FOUND, str(error))
                else:
                    self._answer(HTTPStatus.OK, picture, "image/jpeg", "max-age=3600")
            else:
                self._refuse(HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            name = self._allowed()
            if name is None:
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _LONGEST:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            try:
                given = json.loads(self.rfile.read(int(length)) or b"{}", parse_float=_number, parse_constant=_number)
            except (ValueError, RecursionError) as error:  # the latter where it is nested too deeply
                self._refuse(HTTPStatus.BAD_REQUEST, f"the request cannot be read as JSON: {error}"[:_SHORT])
                return
            try:
                state = desk.act(name.removeprefix("api/"), given if isinstance(given, dict) else {})
            except KeyError:
                self._refuse(HTTPStatus.NOT_FOUND)
            else:
                content = json.dumps(state, separators=(",", ":")).encode()
                self._answer(HTTPStatus.OK, content, "application/json")

        def _allowed(self) -> str | None:
            """What is asked for, after the token; None for whoever has none, who is told nothing else."""
            host = self.headers.get("Host", "")
            given, _, name = self.path.partition("?")[0].removeprefix("/").partition("/")
            port = self.connection.getsockname()[1]
            if host in (f"{HOST}:{port}", f"localhost:{port}") and hmac.compare_digest(given.encode(), token.encode()):
                return name
            self._refuse(HTTPStatus.FORBIDDEN)
            return None

        def _refuse(self, status: HTTPStatus, why: str = "") -> None:
            self.close_connection = True  # its body, if any, is not read
            self._answer(status, f"{why or status.phrase}\n".encode(), "text/plain; charset=utf-8")

        def _answer(self, status: HTTPStatus, content: bytes, kind: str, cache: str = "no-store") -> None:
            self.send_response(status)
            for name, value in (
                ("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", cache),
                ("Content-Security-Policy", _POLICY), ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
            ):  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """The terminal is for what goes wrong."""

    return Handler


def _number(text: str) -> float:
    """Of a JSON text; Python's own would read "1e999" and "NaN", too."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is no finite number")
    return value


def _runs(layer: np.ndarray) -> list[int]:
    flat = layer.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    return np.stack([flat[starts], np.diff(starts, append=flat.size)], axis=1).ravel().tolist()
