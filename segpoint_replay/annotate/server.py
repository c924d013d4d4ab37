"""The page of `segpoint annotate`, served to this machine alone by the standard library.

The page's address holds a random token, and nothing is answered without it: other people's programs on this machine,
and other pages in this browser, do not know it. A page under another name (DNS rebinding) is refused by its Host.
What the page does are POSTs of JSON to ``api/ACTION``; each answers with all that the page shows. Several pages may be
open: each says what it is about ("cloud", a number, and "seen", the "version" that it shows). One that does not show
what another has done is refused, and shows it then. What the model answers makes no page refused: an action is done as
though it had come before an answer that the person did not see ("shown", the version at the click or key).
"""

from __future__ import annotations

import hmac
import json
import math
import re
import reprlib
import secrets
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
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
from segpoint_replay.annotate.proposal import Part, Proposal
from segpoint_replay.annotate.session import Session

HOST = "127.0.0.1"
PAGE = {"": "annotate.html", "annotate.js": "annotate.js", "annotate.css": "annotate.css"}
_KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
_LONGEST = 1 << 20  # bytes of a request
_TOLD = 300  # characters of what is told about what went wrong
_DIGITS = re.compile(r"[0-9]{1,9}")
_WAIT = 25.0  # seconds that the page waits for the model before it asks again


@dataclass(frozen=True)
class _Answer:
    """What the model said to a text or clicks. version: the last one that does not show it.   before: what was proposed
    then."""

    text: str
    clicks: list[int]
    parts: list[Part]
    version: int
    before: Proposal | None


class Desk:
    """A session and a model, shared by the page's requests: one action at a time, and the model beside them."""

    def __init__(self, session: Session, model: Model) -> None:
        self.session, self.model = session, model
        self._turn = Condition()
        self._asked: Future[list[Part]] | None = None
        self._said, self._version = "; ".join(session.troubles), 0
        self._acted = 0  # the first version that shows all that was done
        self._answer: _Answer | None = None  # since the last action
        self._actions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "state": lambda _: None,
            "wait": lambda _: self._turn.wait_for(lambda: self._asked is None, _WAIT),
            "go": lambda given: self._leave(session.go, _whole(given["place"])),
            "step": lambda given: self._leave(session.step, 1 if given["way"] > 0 else -1),
            "finish": lambda _: self._leave(session.finish),
            "drop": lambda _: self._leave(session.drop),
            "carry": lambda _: self._leave(session.carry),
            "say": lambda given: self._ask(check_instruction(given["text"], MOST_CHARACTERS)),
            "click": self._click,
            "next": lambda _: session.show_next(),
            "resize": lambda given: session.resize(_whole(given["steps"]), _whole(given.get("object", 0))),
            "brush": self._brush,
            "accept": lambda given: self._leave(session.accept, _whole(given.get("object", 0))),
            "reject": lambda _: self._leave(session.reject),
            "name": lambda given: session.name(_whole(given["object"]), str(given["category"])),
            "remove": lambda given: session.remove(_whole(given["object"]), bool(given.get("everywhere"))),
            "instruct": lambda given: self._leave(
                session.instruct, str(given["text"]), [_whole(n) for n in given["targets"]],
                str(given.get("kind", "")), bool(given.get("only_here")),
            ),
            "forget": lambda given: session.forget(_whole(given["row"])),
            "undo": lambda _: self._leave(session.undo),
        }  # fmt: skip

    def act(self, action: str, given: dict[str, Any]) -> dict[str, Any]:
        """Do one of the page's actions, and say what there is now. Raises KeyError for an unknown one; what cannot be
        done is told in "error", and nothing is changed then."""
        do, looks = self._actions[action], action in ("wait", "state")
        with self._turn:
            self._said, error, result = self._said if looks else "", "", None
            try:
                if not looks:
                    self._check_shown(given.get("cloud"), given.get("seen"))
                result = do(given) if looks else self._as_shown(do, given)
            except SegPointError as trouble:
                error = str(trouble)
            except (KeyError, TypeError, ValueError, OverflowError, OSError) as trouble:
                error = f"{action} cannot be done with {reprlib.repr(given)}: {trouble}"[:_TOLD]
            state = self.state()
            if not looks and not error:
                self._acted = self._version
            return {**state, "error": error or self._said, "result": result if action == "accept" else None}

    def _check_shown(self, cloud: int | None, seen: int | None) -> None:
        """Raises SegPointError where a page's action is about another cloud than the one at hand, or about that as it
        was before another page changed it. Who does not say (None: a script) is taken to know."""
        here = self.session.number
        if cloud is not None and cloud != here:
            raise SegPointError(
                f"this was meant for cloud {cloud!r:.20}, but another tab, or a key before, has gone to cloud {here}: "
                f"nothing was done, and this page shows cloud {here} now"
            )
        if seen is not None and seen < self._acted:
            raise SegPointError(
                f"another tab has changed something since: nothing was done; cloud {here} is as you see it"
            )

    def _as_shown(self, do: Callable[[dict[str, Any]], Any], given: dict[str, Any]) -> Any:
        """Do what a page asks for, all or nothing, as though it came before an answer that the page did not show."""
        answer, shown = self._answer, given.get("shown", given.get("seen"))
        unseen = answer is not None and shown is not None and shown <= answer.version
        with self.session.all_or_nothing():
            if answer is not None and unseen:
                self.session.proposal = answer.before and answer.before.copy()
            result = do(given)
        if self._answer is answer:  # not left behind, and no newer one
            self._answer = None
            if answer is not None and unseen:
                self._take(answer.text, answer.clicks, answer.parts)
        return result

    def look_ahead(self) -> None:
        """Once an action is answered: begin with what the next one is likely to need."""
        with self._turn, suppress(SegPointError):  # told by the action that needs it
            self.session.look_ahead()

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
        """Do what makes pointless whatever the model is still thinking about, or has answered unseen."""
        self._asked = None
        self._turn.notify_all()
        result = do(*given)
        self._answer = None
        return result

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
        self.session.brush(stroke, float(given["radius"]), bool(given["add"]), _whole(given.get("object", 0)))

    def _ask(self, text: str, clicks: list[int] | None = None) -> None:
        """Ask the model; its proposal comes when it has one, unless the person has gone on by then."""
        clicks = list(clicks or [])
        asked = self._asked = self.model.ask(self.session.view, text, clicks)
        self._answer = None

        def answered(answer: Future[list[Part]]) -> None:
            with self._turn:
                if self._asked is not asked:
                    return
                self._asked = None
                try:
                    self._take(text, clicks, answer.result())
                except Exception as error:  # any model's; the person goes on without
                    self._said = f"the model: {' '.join(str(error).split())}"[:_TOLD]
                self._turn.notify_all()

        asked.add_done_callback(answered)

    def _take(self, text: str, clicks: list[int], parts: list[Part]) -> None:
        """Propose what the model says, and keep what was proposed before."""
        before = self.session.proposal and self.session.proposal.copy()
        self._answer = _Answer(text, clicks, parts, self._version, before)
        if not parts and text:
            self._said = f"the model finds nothing for “{text}” here"
        if parts or not clicks:
            self.session.propose(text, clicks, parts)


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
                if not _DIGITS.fullmatch(place):
                    self._refuse(HTTPStatus.BAD_REQUEST)
                    return
                if int(place) >= len(desk.session.clouds):
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
            if not _DIGITS.fullmatch(length):
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
            if int(length) > _LONGEST:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            try:
                given = json.loads(self.rfile.read(int(length)) or b"{}", parse_float=_number, parse_constant=_number)
            except (ValueError, RecursionError) as error:  # the latter where it is nested too deeply
                self._refuse(HTTPStatus.BAD_REQUEST, f"the request cannot be read as JSON: {error}"[:_TOLD])
                return
            try:
                state = desk.act(name.removeprefix("api/"), given if isinstance(given, dict) else {})
            except KeyError:
                self._refuse(HTTPStatus.NOT_FOUND)
            else:
                content = json.dumps(state, separators=(",", ":")).encode()
                self._answer(HTTPStatus.OK, content, "application/json")
                self.wfile.flush()
                desk.look_ahead()

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


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r:.40} is not a whole number")
    return value


def _runs(layer: np.ndarray) -> list[int]:
    flat = layer.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    return np.stack([flat[starts], np.diff(starts, append=flat.size)], axis=1).ravel().tolist()
