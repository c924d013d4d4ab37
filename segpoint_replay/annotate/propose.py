"""Labels by the model alone, without a page: what it is sure of is written, marked as not yet seen by a person."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint_replay.annotate.asked import Asked
from segpoint_replay.annotate.clouds import Clouds
from segpoint_replay.annotate.folder import Folder
from segpoint_replay.annotate.model import Model
from segpoint_replay.annotate.proposal import same_object
from segpoint_replay.annotate.session import Session

_SAME_THING = 0.3  # IoU with what is carried over, from which an instance is the object of the cloud before


def propose(clouds: Clouds, folder: Folder, texts: Sequence[str], least: float, bundle: str = "") -> int:
    """Mark in every cloud that is not annotated what the model finds for the texts with a score from ``least`` up.

    An instance that lies where an object of the cloud before is carried over to is that object, if one text means both.
    What is found nowhere is said. → how many masks were written. Raises SegPointError where there is no model.
    """
    model, session, masks = Model(bundle), Session(clouds, folder), 0
    best = dict[str, float]()  # of each text that was asked, 0 where the model found nothing
    for place in tqdm(range(len(clouds)), desc="clouds", disable=None):
        if session.is_done(place):
            continue
        try:
            session.go(place)
        except SegPointError as error:
            print(f"note      {error}", file=sys.stderr)
            continue
        clouds.read_ahead(place + 1)  # while the model thinks
        masks += _mark(session, model, texts, least, best)
    _join(folder, texts)
    if not best:
        print("note      every cloud is annotated already: nothing was asked", file=sys.stderr)
    for text, score in best.items():
        if score < least or not score:
            found = f": the best score is {score:.2f}, and --accept {least:g}" if score else ""
            print(f"nothing found for “{text}”{found}")
    return masks


def _mark(session: Session, model: Model, texts: Sequence[str], least: float, best: dict[str, float]) -> int:
    """One cloud; → masks. best: the highest score of each text so far."""
    folder, view = session.folder, session.view
    carried, scores = np.zeros(len(view.xyz), np.int32), dict[int, float]()
    for part in session.proposal.parts(view.xyz) if session.proposal else ():
        carried[part.mask] = part.object
    label = np.zeros_like(carried)
    for text in texts:
        found: list[int] = []
        meant = {t for asked in folder.asked if asked.text == text for t in asked.targets}
        parts = model.ask(view, text).result()
        best[text] = max([best.get(text, 0.0), *(part.score for part in parts if part.score is not None)])
        for part in parts:
            if part.score is None or part.score < least:
                continue
            number = same_object(part.mask, label)  # two texts may mean one thing
            if not number:
                known = same_object(part.mask, np.where(np.isin(carried, list(meant)), carried, 0), _SAME_THING)
                number = known if known and known not in scores else session.add_object(part, text)
                label[part.mask & (label == 0)] = number
            scores[number] = max(part.score, scores.get(number, 0.0))
            found.append(number)
        if found:
            folder.asked = [*folder.asked, Asked(text, tuple(sorted(set(found))), cloud=session.number)]
    session.proposal, session.label = None, label
    if scores:
        folder.proposed[session.number] = scores
        folder.write(view.frame, session.clouds.recording.topic, label)
        folder.save()
    return len(scores)


def _join(folder: Folder, texts: Sequence[str]) -> None:
    """Of rows about one cloud each make one about all, where a text means the same objects everywhere.

    A row that says more than that is a person's, and stays as it is."""
    for text in texts:
        rows = [asked for asked in folder.asked if asked.text == text]
        if len(rows) > 1 and len({asked.targets for asked in rows}) == 1 and not any(asked.more for asked in rows):
            others = [asked for asked in folder.asked if asked.text != text]
            folder.asked = [*others, Asked(text, rows[0].targets, rows[0].kind)]
    if folder.received:
        folder.save()
