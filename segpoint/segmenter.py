"""`Segmenter`: a cloud and a sentence in, the points that the sentence means out. The whole method in one function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segpoint import prompts
from segpoint.bundle import WEIGHTS, load_network, part, read_weights
from segpoint.cloud import Cloud, prepare
from segpoint.config import BundleConfig, default_bundle
from segpoint.devices import device_errors, language_dtype, usable_device
from segpoint.engines.runner import BACKENDS, Engines, choose
from segpoint.errors import SegPointError
from segpoint.instances import Instance, separate, strong
from segpoint.network.answers import Answer, Question
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.language import PointLanguageModel, load_language
from segpoint.network.place import Places
from segpoint.network.segpoint import SegPoint
from segpoint.pointing import find_places, side_by_side
from segpoint.prompts import NO_MASK, Place, semantic_question
from segpoint.seen import EncodedCloud, Seen
from segpoint.stopwatch import Stopwatch

WORDS_KEPT = 1024  # questions, or as many as one call asks
_TOGETHER = 64  # questions; bounds the reader's memory
_SURE = 8.0  # log-odds of doubt that no lean of the LLM outweighs: 6.6 was the farthest seen, 4 is usual


@dataclass(frozen=True)
class Segmentation:
    """The answer to one instruction.

    mask: (M,) bool, the points meant: those of the instances; score: (M,) float32 in [0, 1]; both for every point of
    the input, False and 0 where a point is NaN or out of range.   answer: what the LLM wrote, or "There is no
    mask." where nothing came of it.   instances: separate targets, best first, in the input's frame.   timings: seconds
    per stage; what instructions on one cloud share is in each.
    """

    mask: np.ndarray
    score: np.ndarray
    answer: str
    instances: list[Instance]
    timings: dict[str, float]


@dataclass(frozen=True)
class Reading:
    """One question about an encoded cloud.

    text: what the LLM wrote.   logits: (N,) of the mask, −∞ where it wrote no <SEG>.   presence: the reader's log-odds
    that there is a target, 0 without a reader.   margin: the LLM's own lean to "There is no mask.", before that; NaN
    where it was not asked.
    """

    text: str
    logits: Tensor
    presence: float
    margin: float


class Segmenter:
    """A loaded bundle. Not thread-safe: one at a time.

    network, language: on ``device``.   engines: what computes GEM, encoder and GFP; None for the network itself.
    """

    def __init__(
        self,
        config: BundleConfig,
        network: SegPoint,
        language: PointLanguageModel,
        device: str = "cpu",
        engines: Engines | None = None,
    ) -> None:
        self.config = config
        self.network = network.eval()
        self.language = language.eval()
        self.device = device
        self.engines = engines or Engines.torch(self.network)
        self._known_words: dict[str, Tensor] = {}
        self._seen: Seen | None = None
        self._drafts: dict[str, tuple[int, ...]] = {}  # what was answered last to a question: the guess of next time

    @classmethod
    def from_bundle(
        cls,
        bundle: str | Path | None = None,
        backend: str = "auto",
        device: str = "auto",
        threshold: float | None = None,
    ) -> Segmenter:
        """Load a bundle folder (None: the one that ships) and its backbone (`segpoint setup` puts that in place).

        backend: what computes GEM, encoder and GFP: "tensorrt", "onnxruntime", "torch", or "auto" for the best that
        works here; the first use of a bundle builds its engines into the cache.   device: "auto", "cpu", "cuda", ….
        threshold: instead of the bundle's mask_threshold.   Raises `SegPointError` where a file is missing, damaged
        or of another shape, or the backend cannot run here.
        """
        if backend not in BACKENDS:
            raise SegPointError(f"backend must be one of {BACKENDS}, got {backend!r}")
        device = usable_device(device)
        folder = Path(bundle) if bundle else default_bundle()
        config = BundleConfig.load(folder)
        if threshold is not None:
            config = replace(config, mask_threshold=threshold)
        state = read_weights(folder)
        language = load_language(config, language_dtype(device))
        network = load_network(folder, config, state).to(device)
        try:
            language.load_trained(part(state, "language."))
        except RuntimeError as error:
            raise SegPointError(f"{folder / WEIGHTS} does not fit its config.json: {error}") from error
        engines = choose(backend, folder, config, network, device)
        return cls(config, network, language.to(device), device, engines)

    def segment(
        self,
        xyz: np.ndarray,
        instruction: str,
        rgb: np.ndarray | None = None,
        frame: str = "optical",
        clicks: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> Segmentation:
        """The points of a cloud that an instruction means.

        xyz: (M, 3) float metres, NaN rows allowed.   rgb: (M, 3) uint8 or None.   frame: "optical" (x right, y down,
        z forward), "body" (x forward, y left, z up) or "map" (z up, no viewpoint).   clicks: (n, 3) points on the thing
        meant, box: (6,) lowest and highest corner around it, both in metres in the cloud's own axes; the instruction
        may then be just "this".   Raises `SegPointError` for input that cannot be used.
        """
        place = None if clicks is None and box is None else Place(clicks, box)
        return self.segment_many(xyz, [instruction], rgb, frame, [place])[0]

    @device_errors()
    @torch.inference_mode()
    def segment_many(
        self,
        xyz: np.ndarray,
        instructions: Sequence[str],
        rgb: np.ndarray | None = None,
        frame: str = "optical",
        places: Sequence[Place | None] | None = None,
        task: str = "instruction",
    ) -> list[Segmentation]:
        """As `segment`, for many instructions about one cloud, each with a place or None: the cloud is encoded once and
        all are read together.

        task: "instruction", or "referring" where each is the bare description of an object ("the red mug on the left"),
        which is then asked for in the paper's words.
        """
        if isinstance(instructions, str) or not isinstance(instructions, Sequence):
            given = type(instructions).__name__
            raise SegPointError(f"expected a list of instructions, got {given}; for one use segment")
        if task not in prompts.QUESTIONS:
            raise SegPointError(f"task must be one of {tuple(prompts.QUESTIONS)}, got {task!r:.80}")
        places = [None] * len(instructions) if places is None else places
        if len(places) != len(instructions):
            raise SegPointError(f"expected a place or None for each instruction, got {len(places)} of them")
        for place in places:
            if place is not None and not isinstance(place, Place):
                raise SegPointError(f"expected a place as segpoint.prompts.Place, got {type(place).__name__}")
        if self.network.place is None and any(place is not None for place in places):
            raise SegPointError("this bundle has no mask reader, which clicks and boxes need: ask in words alone")
        clock = Stopwatch()
        questions = [prompts.QUESTIONS[task](self.language.check_instruction(text)) for text in instructions]
        xyz = np.asarray(xyz)
        seen = self._look(xyz, rgb, frame, clock)
        cloud, encoded = seen.cloud, seen.encoded
        found = [
            None if place is None else find_places(place, xyz, cloud, seen.inputs, self.config) for place in places
        ]
        self._words(questions)
        clock.lap("words")
        readings = self.read_many(encoded, questions, clock, found)
        return [self._answer(xyz, cloud, reading, Stopwatch(clock.laps)) for reading in readings]

    @device_errors()
    def semantic(
        self, xyz: np.ndarray, classes: Sequence[str], rgb: np.ndarray | None = None, frame: str = "optical"
    ) -> np.ndarray:
        """(M,) int64: for each point the index of the best of ``classes`` whose mask it is in, −1 for none.

        A class that is listed twice is found under its first index.
        """
        if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
            raise SegPointError(f'expected a list of class names such as ["mug", "table"], got {classes!r}')
        indices: dict[str, int] = {}
        for index, name in enumerate(classes):
            indices.setdefault(semantic_question(self.language.check_instruction(name)), index)
        seen = self._look(np.asarray(xyz), rgb, frame, Stopwatch())
        cloud, encoded = seen.cloud, seen.encoded
        best = np.full(len(cloud.xyz), self.config.mask_threshold, np.float32)
        label = np.full(len(cloud.xyz), -1, np.int64)
        for index, reading in zip(indices.values(), self.read_many(encoded, list(indices), Stopwatch()), strict=True):
            score = reading.logits.sigmoid().cpu().numpy()
            better = (score > best) & cloud.valid
            best[better], label[better] = score[better], index
        return cloud.to_raw(label, -1)

    @device_errors()
    @torch.inference_mode()
    def name_all(
        self, xyz: np.ndarray, rgb: np.ndarray | None = None, frame: str = "optical"
    ) -> list[tuple[str, np.ndarray]]:
        """Every category that the model finds in a cloud, in words of its own: no list of them is given.

        → the name before each <SEG> of its one answer, as written, a name perhaps twice, and the score (M,) float32 of
        each point to be of it. The answer ends at the bundle's ``max_answer_tokens`` at the latest.
        """
        seen = self._look(np.asarray(xyz), rgb, frame, Stopwatch())
        question = prompts.semantic_all_question()  # asked for everything, it may not say that there is nothing
        [(answer, masks)] = self._ask(seen.encoded, [question], [-math.inf], [None], Stopwatch())
        scores = [seen.cloud.to_raw(score) for score in masks.sigmoid().cpu().numpy()]
        return list(zip(answer.categories, scores, strict=True))

    def forget(self) -> None:
        """Let go of the last cloud's memory; a second question about it costs as much as a first one."""
        self._seen = None

    def reset(self) -> None:
        """Forget all that was seen, asked and answered. What it says is then, to the last bit, what one that was just
        loaded would say: a known answer saves time, but is read in one go, which rounds differently."""
        self.forget()
        self._known_words.clear()
        self._drafts.clear()

    @torch.inference_mode()
    def _look(self, xyz: np.ndarray, rgb: np.ndarray | None, frame: str, clock: Stopwatch) -> Seen:
        """All of a cloud that any question about it needs; found again where the cloud is the one before, number for
        number, so that a second question about it costs only itself."""
        if self._seen is None or not self._seen.shows(xyz, rgb, frame):
            self._seen = None  # its memory serves the next
            cloud = prepare(xyz, rgb, frame, self.config.cloud)
            clock.lap("cloud")
            inputs = collate([cloud], self.config).to(self.device)
            clock.lap("neighbourhoods")
            encoded = self.encode(inputs, clock)
            colour = None if rgb is None else np.array(rgb)
            self._seen = Seen(xyz.copy(), colour, frame, cloud, inputs, encoded)
        clock.lap("cloud")
        return self._seen

    @torch.inference_mode()
    def encode(self, inputs: PointInputs, clock: Stopwatch) -> EncodedCloud:
        """What does not depend on the question: 𝒢, ℰ, one pass of ℱ over the points, 𝒫."""
        tokens = self.engines.encode(inputs)  # g_f, f_3, f_4, f_5
        clock.lap("encoder")
        prefix = self.language.encode_points(tokens.f5)  # ĥ_point and the KV cache
        clock.lap("llm_points")
        features = self.engines.propagate(tokens, prefix.point_hidden, inputs)  # f_P
        features = self.network.look(features)
        clock.lap("propagation")
        return EncodedCloud(prefix, features, self.language.point_embeddings(tokens.f5))

    def read(
        self,
        encoded: EncodedCloud,
        question: str,
        clock: Stopwatch,
        places: Places | None = None,
        forced: bool = False,
    ) -> Reading:
        """`read_many` of one question. places: (1, 1, P, …)."""
        return self.read_many(encoded, [question], clock, [places], forced)[0]

    @torch.inference_mode()
    def read_many(
        self,
        encoded: EncodedCloud,
        questions: Sequence[str],
        clock: Stopwatch,
        places: Sequence[Places | None] | None = None,
        forced: bool = False,
    ) -> list[Reading]:
        """What the LLM writes about an encoded cloud, and what of the cloud it means, per question.

        The reader says first how likely there is a target, which weighs in on the LLM's choice: where it surely rules
        one out the LLM is not asked; ``forced`` leaves neither a choice. Several <SEG> are merged into one mask (the
        paper's rule for many targets). What was answered to a question last time is the draft of this answer: it saves
        time and changes nothing, but between answers that are equally good to bfloat16's rounding. places: (1, 1, P,
        …) or None for each question.
        """
        places = [None] * len(questions) if places is None else list(places)
        self._words(questions)  # all of them at once
        presences: list[float] = []
        for first in range(0, len(questions), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            presences += self._presences(encoded, self._padded(questions[some]), side_by_side(places[some]))
        clock.lap("reader")
        nothing = encoded.features.dense.new_full(encoded.features.dense.shape[1:2], -torch.inf)
        readings = [Reading(NO_MASK, nothing, presence, math.nan) for presence in presences]
        possible = [i for i, presence in enumerate(presences) if forced or not self._rules_out(presence)]
        for first in range(0, len(possible), _TOGETHER):
            few = possible[first : first + _TOGETHER]
            doubts = [-math.inf if forced else self._doubt(presences[i]) for i in few]
            found = self._ask(encoded, [questions[i] for i in few], doubts, [places[i] for i in few], clock)
            for i, (answer, masks) in zip(few, found, strict=True):
                logits = masks.amax(0) if len(masks) else nothing
                readings[i] = Reading(answer.text, logits, presences[i], answer.margin)
        clock.lap("llm_answer")  # also where nothing was to be asked
        clock.lap("mask")
        return readings

    def _ask(
        self,
        encoded: EncodedCloud,
        questions: Sequence[str],
        doubts: Sequence[float],
        places: Sequence[Places | None],
        clock: Stopwatch,
    ) -> list[tuple[Answer, Tensor]]:
        """What the LLM answers to each question, read together, and the logits (n, N) of each answer's n <SEG>s."""
        asked = []
        for question, doubt, place in zip(questions, doubts, places, strict=True):
            told = None
            if place is not None and self.network.place is not None:
                told = self.network.place.for_language(place, encoded.projected)[0, 0]
            asked.append(Question(question, doubt, told, self._drafts.get(question)))
        answers = self.language.answers(encoded.prefix, asked)  # ŷ_seg
        for question, answer in zip(questions, answers, strict=True):
            if answer.read:
                self._drafts.pop(question, None)
                self._drafts[question] = answer.read
        for question in list(self._drafts)[: max(0, len(self._drafts) - WORDS_KEPT)]:
            del self._drafts[question]
        clock.lap("llm_answer")
        counts = [len(answer.seg_hidden) for answer in answers]
        dense = encoded.features.dense
        logits = dense.new_empty((0, dense.shape[1]), dtype=torch.float32)
        if sum(counts):
            of = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(dense.device)
            seg = torch.cat([answer.seg_hidden for answer in answers])[None]
            (words, mask), where = self._padded(questions), side_by_side(places)
            where = None if where is None else where.questions(of)
            masks, _ = self.network.read(encoded.features, seg, words[:, of], mask[:, of], where)
            logits = masks[0].float()
        clock.lap("mask")
        return list(zip(answers, logits.split(counts), strict=True))

    def _presences(self, encoded: EncodedCloud, words: tuple[Tensor, Tensor], places: Places | None) -> list[float]:
        """The presence (see `Reading`) of each question given as `_padded` gives it."""
        if self.network.reader is None:
            return [0.0] * words[0].shape[1]
        return self.network.read(encoded.features, None, *words, places)[1][0].tolist()  # type: ignore[index]

    def _doubt(self, presence: float) -> float:
        """What the reader's presence adds to the LLM's lean to "There is no mask.", log-odds."""
        return -(self.config.presence_weight * presence + self.config.presence_bias)

    def _rules_out(self, presence: float) -> bool:
        """Whether the reader is so sure that there is no target that nothing the LLM could say would change it."""
        return self.network.reader is not None and self.config.presence_weight > 0 and self._doubt(presence) > _SURE

    def _padded(self, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The questions' words (1, Q, T, H) and which there are (1, Q, T) bool."""
        words = self._words(questions)
        lengths = torch.tensor([len(states) for states in words], device=words[0].device)
        mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
        return torch.nn.utils.rnn.pad_sequence(words, batch_first=True)[None], mask[None]

    @torch.inference_mode()
    def _words(self, questions: Sequence[str]) -> list[Tensor]:
        """Each question's states (T, H) float32 from the frozen LLM.

        Those asked last are kept, and never fewer than one call asks: instructions often stand, lists of classes too.
        """
        known = self._known_words
        if new := [question for question in dict.fromkeys(questions) if question not in known]:
            for question, states in zip(new, self.language.text_hidden(new), strict=True):
                known[question] = states.to(self.device)
        for question in dict.fromkeys(questions):
            known[question] = known.pop(question)  # now the youngest
        if new:
            for question in list(known)[: max(0, len(known) - max(WORDS_KEPT, len(set(questions))))]:
                del known[question]
        return [known[question].float() for question in questions]

    def _answer(self, xyz: np.ndarray, cloud: Cloud, reading: Reading, clock: Stopwatch) -> Segmentation:
        score = reading.logits.sigmoid().cpu().numpy()
        found = (score > self.config.mask_threshold) & cloud.valid
        raw_score = cloud.to_raw(score)
        clusters = separate(
            xyz,
            cloud.to_raw(found, False),
            raw_score,
            distance=max(self.config.cluster_m, 2.5 * cloud.voxel_m),
            min_points=self.config.cluster_points,
            up=cloud.up,
        )
        instances = strong(clusters, self.config.weak_target)
        mask = np.zeros(len(xyz), bool)
        for instance in instances:
            mask[instance.indices] = True
        clock.lap("instances")
        return Segmentation(mask, raw_score, reading.text if instances else NO_MASK, instances, clock.total())
