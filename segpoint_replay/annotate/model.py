"""The model as somebody who proposes: loaded in the background, one question at a time, and not needed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from segpoint.errors import SegPointError
from segpoint.prompts import THIS, parse_answer
from segpoint_replay.annotate.clouds import View
from segpoint_replay.annotate.proposal import Part

if TYPE_CHECKING:
    from segpoint.segmenter import Segmenter


class Model:
    """A bundle's folder, "" for the one that ships. What it cannot do is said in `state`, and geometry serves then."""

    def __init__(self, bundle: str = "") -> None:
        self._worker = ThreadPoolExecutor(1, "model")
        self._loaded: Future[Segmenter] = self._worker.submit(_load, bundle)

    @property
    def state(self) -> str:
        """ "loading", "ready", or why there is none."""
        if not self._loaded.done():
            return "loading"
        error = self._loaded.exception()
        return "ready" if error is None else " ".join(str(error).split())

    def ask(self, view: View, text: str, clicks: Sequence[int] = ()) -> Future[list[Part]]:
        """What a sentence means, or the clicked points (indices); each target a part."""
        return self._worker.submit(self._ask, view, text, list(clicks))

    def _ask(self, view: View, text: str, clicks: list[int]) -> list[Part]:
        places = view.xyz[clicks] if clicks else None
        segmenter = self._loaded.result()
        answer = segmenter.segment(view.xyz, text or THIS, view.rgb, view.axes, clicks=places)
        names = parse_answer(answer.answer)
        parts = []
        for instance in answer.instances:
            mask = np.zeros(len(view.xyz), bool)
            mask[instance.indices] = True
            # With one name it is that of all targets; with several nobody says which is whose.
            parts.append(Part(mask, 0, names[0] if len(set(names)) == 1 else "", float(instance.score)))
        return parts


def _load(bundle: str) -> Segmenter:
    from segpoint.segmenter import Segmenter

    try:
        return Segmenter.from_bundle(bundle or None)
    except SegPointError:
        raise
    except Exception as error:  # whatever a damaged installation raises: the rest of the page works without it
        raise SegPointError(f"the model cannot be loaded ({type(error).__name__}: {error})") from error
