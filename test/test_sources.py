"""Sources: data sets prepared once, shared by what speaks about the same scans, and mixed with generated scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from mini_scannet import MiniObject, write_scannet

from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GfpConfig, LanguageConfig, ReaderConfig
from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint_training import prepared
from segpoint_training import sources as sources_module
from segpoint_training.batches import Batches
from segpoint_training.config import DataConfig, DatasetConfig, SensorShares, StageConfig, TrainConfig
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.prepared import PreparedScans, spread
from segpoint_training.scenes.categories import TRAINED
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import LabelledCloud
from segpoint_training.sources import WATCHED, Source, load_sources

CLOUD = CloudConfig(points=1024)
MODEL = BundleConfig(cloud=CLOUD, gfp=GfpConfig(levels=(256, 512)), language=LanguageConfig(max_instruction_tokens=8))
BED, CHAIR, SPECK = 40_001, 7, 9  # ids as large as a data set may have them


def scan_of(name: str, bed: str = "bed") -> Scan:
    """A floor, a bed, a chair, and a speck of one point within the chair."""
    rng = np.random.default_rng(len(name))
    floor = np.column_stack([rng.uniform(0, 4, (3000, 2)), np.zeros(3000)])
    boxes = [rng.uniform((1, 1, 0), (2.5, 2, 0.5), (900, 3)), rng.uniform((3, 3, 0), (3.5, 3.5, 0.9), (600, 3))]
    xyz = np.concatenate([floor, *boxes, boxes[1][:1] + 1e-5]).astype(np.float32)
    instance = np.repeat([0, BED, CHAIR, SPECK], [3000, 900, 600, 1]).astype(np.int32)
    objects = scan_objects(xyz, instance, {BED: bed, CHAIR: "chair"})
    return Scan(name, xyz, np.full(xyz.shape, 120, np.uint8), instance, objects)


@dataclass
class Toy:
    """A data set as the modules of `segpoint_training.datasets` give it; ``read`` are the scans that were loaded."""

    name: str
    classes: tuple[str, ...] = ()
    scans: tuple[str, ...] = ("house/a", "b", "c")
    said: tuple[Instruction, ...] = ()
    broken: tuple[str, ...] = ()
    bed: str = "bed"
    read: list[str] = field(default_factory=list)

    def load(self, scan: str) -> Scan:
        self.read.append(scan)
        if scan in self.broken:
            raise SegPointError(f"{scan}.ply is torn")
        return scan_of(scan, self.bed)

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        return self.said


def refer(text: str, *targets: int) -> Instruction:
    return Instruction(text, "unique", targets, "bed" if targets else "", task="referring")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans are read without workers."""
    monkeypatch.setattr(prepared, "in_order", lambda one, scans, **_: (one(scan) for scan in scans))


@pytest.fixture(autouse=True)
def _words_are_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No language model is needed here."""
    monkeypatch.setattr(sources_module, "token_counter", lambda name: lambda text: len(text.split()))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, in_this_process: None) -> dict[str, Toy]:
    """Data sets by name, opened in place of those on disk."""
    toys: dict[str, Toy] = {}
    monkeypatch.setattr(prepared, "open_dataset", lambda settings: toys[settings.name])
    prepared._opened.cache_clear()
    return toys


def settings(name: str, **other: object) -> DatasetConfig:
    return DatasetConfig(name, root=f"/data/{name}", **{"scans": "/data/rooms", **other})  # type: ignore[arg-type]


def run_config(*names: str, validation: tuple[str, ...] = (), data: DataConfig | None = None) -> TrainConfig:
    sets, watched = (tuple(map(settings, some)) for some in (names, validation))
    return TrainConfig(data=data, datasets=sets, validation=watched, stage1=None, model=MODEL)


def test_a_scan_becomes_a_labelled_cloud(shelf: dict[str, Toy], tmp_path: Path):
    shelf["toy"] = Toy("toy", ("bed", "chair"), said=(refer("the bed", BED), refer("both", CHAIR, BED), refer("no")))
    classes, clouds = PreparedScans(tmp_path, CLOUD, 1).clouds(settings("toy"))
    assert classes == ("bed", "chair") and len(clouds) == 3
    cloud, scan = clouds[0], scan_of("house/a")
    assert cloud.xyz.shape == (1024, 3) and cloud.instance.dtype == np.int16 and cloud.frame == "map" and cloud.coloured
    assert [(o.id, o.category) for o in cloud.objects] == [(2, "chair"), (4, "bed")], "the speck is 3"
    assert [i.targets for i in cloud.instructions] == [(4,), (2, 4), ()]
    on = cloud.xyz[cloud.instance == 4]
    bed = scan.xyz[scan.instance == BED]
    assert len(on) > 50 and np.allclose(on.max(axis=0) - on.min(axis=0), np.ptp(bed, axis=0), atol=0.1)
    assert set(np.unique(cloud.instance)) == {0, 2, 4} and not cloud.instance[cloud.count :].any()


def test_what_has_no_voxel_is_not_asked_for(shelf: dict[str, Toy], tmp_path: Path, capsys: pytest.CaptureFixture):
    shelf["toy"] = Toy("toy", said=(refer("the speck", SPECK), refer("all", SPECK, BED), refer("unheard of", 123)))
    cloud = PreparedScans(tmp_path, CLOUD, 1).clouds(settings("toy"))[1][0]
    assert [(i.text, i.targets) for i in cloud.instructions] == [("all", (4,))]
    assert "left out 6 of 9 sentences" in capsys.readouterr().out


def test_sets_about_the_same_scans_share_their_arrays(shelf: dict[str, Toy], tmp_path: Path):
    shelf["rooms"] = Toy("rooms", ("bed",), bed="bed")
    shelf["words"] = Toy("words", said=(refer("it", BED),), bed="bunk bed", scans=("b", "c"))
    library = PreparedScans(tmp_path, CLOUD, 1)
    rooms = library.clouds(settings("rooms"))[1]
    (folder,) = tmp_path.iterdir()
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    words = library.clouds(settings("words"))[1]
    assert written == {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")} and len(written) == 3
    assert words[0].xyz is rooms[1].xyz
    assert {o.category for o in words[0].objects} == {"bunk bed", "chair"} and not rooms[0].instructions
    again = PreparedScans(tmp_path, CLOUD, 1)
    assert shelf["rooms"].read == ["house/a", "b", "c"] and shelf["words"].read == ["b", "c"]
    assert again.clouds(settings("words"))[1][1].objects == words[1].objects and shelf["words"].read == ["b", "c"]


def test_preparing_goes_on_where_it_stopped(shelf: dict[str, Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shelf["toy"] = Toy("toy")
    kept = Toy.load

    def stopped(self: Toy, scan: str) -> Scan:
        if scan == "c":
            raise KeyboardInterrupt
        return kept(self, scan)

    monkeypatch.setattr(Toy, "load", stopped)
    with pytest.raises(KeyboardInterrupt):
        PreparedScans(tmp_path, CLOUD, 1).clouds(settings("toy"))
    monkeypatch.setattr(Toy, "load", kept)
    shelf["toy"].read.clear()
    assert len(PreparedScans(tmp_path, CLOUD, 1).clouds(settings("toy"))[1]) == 3
    assert shelf["toy"].read == ["c"]
    assert not [path for path in tmp_path.rglob(".*")], "nothing half written"


def test_another_config_is_told(shelf: dict[str, Toy], tmp_path: Path):
    shelf["toy"] = Toy("toy", scans=("b",))
    PreparedScans(tmp_path, CLOUD, 1).clouds(settings("toy"))
    with pytest.raises(SegPointError, match="cloud.points is 1024 there and 2048 here"):
        PreparedScans(tmp_path, replace(CLOUD, points=2048), 1).clouds(settings("toy"))
    PreparedScans(tmp_path, replace(CLOUD, points=2048), 1).clouds(settings("toy", scans="/data/others"))


@pytest.mark.parametrize("kind", ["npz", "json"])
def test_a_damaged_file_is_told(shelf: dict[str, Toy], tmp_path: Path, kind: str):
    shelf["toy"] = Toy("toy", scans=("b",))
    PreparedScans(tmp_path, CLOUD, 1).clouds(settings("toy"))
    (path,) = tmp_path.rglob(f"b*.{kind}")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SegPointError, match=f"{path.name} cannot be read.*delete it"):
        PreparedScans(tmp_path, CLOUD, 1).clouds(settings("toy"))


def test_a_scan_that_fails_is_left_out_but_not_many(shelf, tmp_path: Path, capsys: pytest.CaptureFixture):
    scans = tuple(f"scan{i}" for i in range(12))
    shelf["toy"] = Toy("toy", scans=scans, broken=scans[4:5])
    library = PreparedScans(tmp_path, CLOUD, 1)
    assert len(library.clouds(settings("toy"))[1]) == 11
    assert "toy: left out scan4: scan4.ply is torn" in capsys.readouterr().out
    shelf["bad"] = Toy("bad", scans=scans, broken=scans[4:6])
    with pytest.raises(SegPointError, match=r"2 of 12 scans of bad fail, first scan4: scan4.ply is torn"):
        library.clouds(settings("bad"))


def own_folder(root: Path, names: tuple[str, ...]) -> DatasetConfig:
    """Labelled clouds of one's own and what is said about them."""
    root.mkdir()
    for name in names:
        scan = scan_of(name)
        labels = np.select([scan.instance == BED, scan.instance == CHAIR], [2, 1], 0).astype(np.uint32)
        write_points(root / name, scan.xyz, scan.rgb, {"label": labels})
    say(root, "the bed", 2, names)
    return DatasetConfig("own", str(root))


def say(root: Path, text: str, target: int, names: tuple[str, ...]) -> None:
    rows = [{"file": name, "instruction": text, "target_labels": [target], "split": "train"} for name in names]
    content = {"frame": "map", "categories": {"1": "chair", "2": "bed"}, "instructions": rows}
    (root / "instructions.json").write_text(json.dumps(content))


def test_workers_prepare_what_one_process_would(tmp_path: Path):
    """A data set on disk, read by processes of their own."""
    of_disk = own_folder(tmp_path / "own", ("one.npz", "two.npz"))
    alone = PreparedScans(tmp_path / "1", CLOUD, 1).clouds(of_disk)[1]
    shared_out = PreparedScans(tmp_path / "2", CLOUD, 2).clouds(of_disk)[1]
    assert len(alone) == 2 and {o.category for o in alone[0].objects} == {"bed", "chair"}
    assert [i.text for i in alone[0].instructions] == ["the bed"]
    for one, other in zip(alone, shared_out, strict=True):
        assert one.objects == other.objects and one.instructions == other.instructions
        assert np.array_equal(one.xyz, other.xyz) and np.array_equal(one.instance, other.instance)
    names = [sorted(path.name for path in (tmp_path / n).rglob("*.npz")) for n in "12"]
    assert names[0] == names[1] == ["one.npz.npz", "two.npz.npz"]


def test_what_is_corrected_is_prepared_anew(tmp_path: Path):
    names = ("one.npz",)
    of_disk = own_folder(tmp_path / "own", names)
    assert PreparedScans(tmp_path / "run", CLOUD, 1).clouds(of_disk)[1][0].instructions[0].text == "the bed"
    say(tmp_path / "own", "what one sleeps in", 2, names)
    assert PreparedScans(tmp_path / "run", CLOUD, 1).clouds(of_disk)[1][0].instructions[0].text == "what one sleeps in"


def test_sources_of_a_run(shelf: dict[str, Toy], tmp_path: Path, capsys: pytest.CaptureFixture):
    many = tuple(f"scan{i}" for i in range(WATCHED + 30))
    said = (refer("the bed", BED), refer("a bed " * 5, BED))
    shelf |= {
        "rooms": Toy("rooms", ("bed", "sofa"), ("b", "c")),
        "words": Toy("words", said=said, scans=("b",)),
        "held": Toy("held", ("bed", "chair"), many),
    }
    data = DataConfig(
        train_scenes=2, validation_scenes=1, rooms=0, validation_rooms=0, width=160, workers=1,
        table_sensors=SensorShares(kinect=1),
    )  # fmt: skip
    sources, held_out = load_sources(run_config("rooms", "words", validation=("held",), data=data), tmp_path)
    assert [(s.name, len(s.clouds), s.classes) for s in sources] == [
        ("generated", 2, TRAINED), ("rooms-train", 2, ("bed", "sofa")), ("words-train", 1, ())
    ]  # fmt: skip
    assert [len(i.text) for i in sources[2].clouds[0].instructions] == [7]
    assert (
        "words-train: 1 clouds of 1, 1 sentences, 1 left out that have more tokens than max_" in capsys.readouterr().out
    )
    assert len(held_out) == 1 + WATCHED and len(shelf["held"].read) == WATCHED
    assert held_out[0].sensor == "kinect" and [i.text for i in held_out[1].instructions] == ["bed", "chair"]
    assert json.loads((tmp_path / "shards" / "manifest.json").read_text())["cloud"]["points"] == 1024


def test_from_published_files_to_batches(tmp_path: Path, in_this_process: None):
    """ScanNet, ScanNet200 and ScanRefer over the same scans: one prepared copy, each with its own words."""
    things = [
        MiniObject("office chair", (1.0, 1.0, 0.5), (0.6, 0.6, 1.0), side=8),
        MiniObject("couch", (-1.0, 1.0, 0.4), (0.9, 1.8, 0.8), side=8),
    ]
    scannet = write_scannet(tmp_path / "scannet", dict.fromkeys(["scene0000_00", "scene0001_00"], things))
    row = {"object_id": "1", "object_name": "couch", "ann_id": "0", "description": "the soft one", "token": []}
    sentences = tmp_path / "scanrefer" / "ScanRefer_filtered_train.json"
    sentences.parent.mkdir()
    sentences.write_text(json.dumps([{"scene_id": "scene0001_00", **row}]))
    names = {"scannet": scannet, "scannet200": scannet, "scanrefer": sentences.parent}
    sets = tuple(DatasetConfig(name, str(root), scans=str(scannet)) for name, root in names.items())
    model = replace(MODEL, encoder=EncoderConfig(tokens=32, patch=8), reader=ReaderConfig(layers=0))
    stage = StageConfig(steps=6, scenes=2, questions=4, semantic=1, every=1, pointing=0, points=64)
    config = TrainConfig(data=None, datasets=sets, stage1=None, stage2=stage, model=model)
    run = tmp_path / "run"
    sources, _ = load_sources(config, run)
    assert [source.name for source in sources] == ["scannet-train", "scannet200-train", "scanrefer-train"]
    assert [len(source.classes) for source in sources] == [20, 200, 0]
    assert sorted(path.name for path in run.rglob("*.npz")) == ["scene0000_00.npz", "scene0001_00.npz"]
    assert sources[0].clouds[1].xyz is sources[2].clouds[0].xyz
    assert [o.category for o in sources[0].clouds[0].objects] == ["chair", "sofa"]
    assert [o.category for o in sources[1].clouds[0].objects] == ["office chair", "couch"]
    words = (sorted({"chair", "sofa", "office chair", "couch"}), ())
    batches = Batches.of_stage(sources, model, stage, words, 0, 1, varied=True)
    answers = {answer for i in range(stage.steps) for some in batches[i].answers for answer in some}
    assert {"couch <SEG>.", "chair <SEG>, sofa <SEG>.", "couch <SEG>, office chair <SEG>."} <= answers


def test_a_run_needs_no_generated_scenes(shelf: dict[str, Toy], tmp_path: Path):
    shelf["rooms"] = Toy("rooms", ("bed",))
    sources, held_out = load_sources(run_config("rooms"), tmp_path)
    assert [source.name for source in sources] == ["rooms-train"] and held_out == []
    assert not (tmp_path / "shards").exists()


def test_a_set_without_anything_to_ask_is_told(shelf: dict[str, Toy], tmp_path: Path):
    shelf["words"] = Toy("words", said=(refer("word " * 9, BED),))
    with pytest.raises(SegPointError, match="words-train has no cloud to train on"):
        load_sources(run_config("words"), tmp_path)
    with pytest.raises(SegPointError, match="nothing has no cloud"):
        Source("nothing", list[LabelledCloud](), 1.0, ())


def test_spread():
    assert spread("abcdefghi", 3) == ("a", "e", "i") and spread("ab", 5) == ("a", "b") and spread("", 2) == ()
