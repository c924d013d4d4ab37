"""The files of a bag: their order, a log that SQLite left beside one, and by what a bag is known again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from replay_bags import CLOUD, FRAME, KINDS, START, STEP, TEXT, TF, Bags, number_of, numbers

from segpoint_replay.bag_files import is_within
from segpoint_replay.job import Job
from segpoint_replay.recording import Recording
from segpoint_replay.versions import bag_fingerprint
from segpoint_ros.pointcloud2 import read_cloud
from segpoint_training.datasets.own_bag import open_bag
from segpoint_training.datasets.own_bag_files import find_files

PARTS = 12
CLOUDS = 8


# --- order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mcap", "db3"])
def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path, kind: str) -> None:
    bags = Bags(kind)
    path = tmp_path / "run"
    path.mkdir()
    for number in range(PARTS):
        at = START + number * STEP
        said = [("/instruction", TEXT, at, bags.text(f"mug {number}")), ("/points", CLOUD, START, bags.cloud(number))]
        one = bags.write(tmp_path / f"part_{number}", said)
        shutil.move(one / f"{one.name}.{kind}", path / f"run_{number}.{kind}")
    assert [file.name for file in find_files(path).files] == [f"run_{number}.{kind}" for number in range(PARTS)]
    recording = Recording.open(path)
    assert [text for _, text in recording.said] == [f"mug {number}" for number in range(PARTS)]
    # The clouds were recorded at one time: their order is that of the files, for both readers.
    assert [number_of(frame.message) for frame in recording.frames()] == list(range(PARTS))
    places = [stored.file.name for stored in open_bag(path).clouds["/points"]]
    assert places == [f"run_{number}.{kind}" for number in range(PARTS)]


@pytest.mark.parametrize("cut", [False, True])
def test_what_was_written_out_of_order_is_in_order_of_time(tmp_path: Path, cut: bool) -> None:
    bags, order = Bags("db3"), [2, 0, 3, 1]
    texts = [("/instruction", TEXT, START + i * STEP, bags.text(f"mug {i}")) for i in order]
    poses = [
        ("/tf_static", TF, START + i * STEP, bags.transforms(("base", FRAME, 0, (i, 0, 0, 0, 0, 0, 1)))) for i in order
    ]
    path = bags.write(tmp_path / "run", [*texts, *poses, *bags.clouds(CLOUDS, 2000)])
    if cut:
        os.truncate(path / "run.db3", (path / "run.db3").stat().st_size - 200)
    recording = Recording.open(path)
    assert bool(recording.troubles) == cut
    assert [text for _, text in recording.said] == [f"mug {i}" for i in range(4)]
    assert [message.received for message in recording.transforms] == [START + i * STEP for i in range(4)]
    pose = recording.pose(FRAME, START)
    assert pose is not None and pose[0, 3] == 3  # of transforms for all time the last one said holds


def test_clouds_of_the_same_time_in_two_files_keep_their_numbers(tmp_path: Path) -> None:
    bags = Bags("mcap")
    path = tmp_path / "run"
    path.mkdir()
    for name, said in (("a", [(START + STEP, 1)]), ("b", [(START, 0), (START + STEP, 2)])):
        one = bags.write(tmp_path / name, [("/points", CLOUD, at, bags.cloud(number)) for at, number in said])
        shutil.move(one / f"{name}.mcap", path)
    assert [number_of(frame.message) for frame in Recording.open(path).frames()] == [0, 1, 2]


def test_a_name_may_have_digits_that_count_nothing(tmp_path: Path) -> None:
    one = Bags("mcap").write(tmp_path / "one", list(Bags("mcap").clouds(2)))
    (one / "one.mcap").rename(one / "²1.mcap")
    (one / "metadata.yaml").unlink()
    assert numbers(Recording.open(one)) == [0, 1]


# --- which files, by one rule for both readers --------------------------------------------------------------------


@pytest.mark.parametrize("copied", [False, True])
def test_a_stray_file_is_not_read_where_another_is_missing(tmp_path: Path, copied: bool) -> None:
    path = Bags("mcap").write(tmp_path / "run", list(Bags("mcap").clouds(CLOUDS)))
    says = (path / "metadata.yaml").read_text()
    (path / "metadata.yaml").write_text(says.replace("- run.mcap", "- run.mcap\n  - run_1.mcap"))
    other = Bags("mcap").write(tmp_path / "other", list(Bags("mcap").clouds(3, topic="/other"))) / "other.mcap"
    shutil.copy(path / "run.mcap" if copied else other, path / "zother.mcap")
    troubles = ["run_1.mcap is missing", "zother.mcap, which metadata.yaml does not name, is not read"]
    recording, bag = Recording.open(path), open_bag(path)
    assert (recording.troubles, numbers(recording)) == (troubles, list(range(CLOUDS)))
    assert [stored.stamp for stored in bag.clouds["/points"]] == list(recording.received)
    assert (list(bag.clouds), bag.cut) == (["/points"], "; ".join(troubles))


def test_what_was_repaired_under_another_name_is_read(tmp_path: Path) -> None:
    path = Bags("mcap").write(tmp_path / "run", list(Bags("mcap").clouds(CLOUDS)))
    (path / "run.mcap").rename(path / "run_fixed.mcap")
    troubles = ["run.mcap is missing", "run_fixed.mcap, which metadata.yaml does not name, is read"]
    recording, bag = Recording.open(path), open_bag(path)
    assert (recording.troubles, numbers(recording)) == (troubles, list(range(CLOUDS)))
    assert (len(bag.clouds["/points"]), bag.cut) == (CLOUDS, "; ".join(troubles))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_labelled_clouds_are_found_and_read_as_a_replays_are(tmp_path: Path, kind: str, cut: bool) -> None:
    points = 45_000 if kind.startswith("mcap") else 5000  # a few clouds in a chunk
    path = Bags(kind).write(tmp_path / "run", list(Bags(kind).clouds(CLOUDS, points)))
    if path.is_dir():
        (path / "metadata.yaml").unlink()
    if cut:
        file = path if path.is_file() else next(path.iterdir())
        os.truncate(file, int(0.9 * file.stat().st_size))
    recording, bag = Recording.open(path), open_bag(path)
    assert [stored.stamp for stored in bag.clouds["/points"]] == list(recording.received)
    assert (bag.start, cut) == (recording.start, "it ends early" in bag.cut)
    for frame in recording.frames():
        points, _ = bag.read("/points", frame.number)
        np.testing.assert_array_equal(points.xyz, read_cloud(frame.message, copy=False).xyz)


# --- SQLite's log -------------------------------------------------------------------------------------------------


def with_log(path: Path, in_log: int) -> Path:
    """A folder with a .db3 of CLOUDS clouds as a crash leaves it: the last ``in_log`` are in the log, and with all of
    them the tables, too."""
    bags = Bags("db3")
    whole = bags.write(path.parent / f"{path.name}_whole", list(bags.clouds(CLOUDS))) / f"{path.name}_whole.db3"
    made = path.parent / f"{path.name}_open.db3"
    source, target = sqlite3.connect(whole), sqlite3.connect(made)
    target.execute("PRAGMA journal_mode = WAL")
    target.execute("PRAGMA wal_autocheckpoint = 0")
    lines = [line for line in source.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
    rows = [line for line in lines if 'INTO "messages"' in line]
    for line in (*(line for line in lines if line not in rows), *rows[: CLOUDS - in_log]):
        target.execute(line)
    target.commit()
    if in_log < CLOUDS:
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for line in rows[CLOUDS - in_log :]:
        target.execute(line)
        target.commit()
    path.mkdir()
    for ending in ("", "-wal"):  # while it is open, as a crash would
        shutil.copy(f"{made}{ending}", f"{path / path.name}.db3{ending}")
    target.close()
    source.close()
    return path


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


@pytest.mark.parametrize("in_log", [3, CLOUDS])
def test_clouds_in_sqlites_log_are_read_and_the_folder_stays_as_it_is(tmp_path: Path, in_log: int) -> None:
    folder = with_log(tmp_path / "run", in_log)
    before = contents(folder)
    for path in (folder, folder / "run.db3"):
        recording = Recording.open(path)
        assert numbers(recording) == list(range(CLOUDS))
        assert recording.troubles[-1].startswith("run.db3 ends early: nothing later than 0.70 s")
        bag = open_bag(path)
        assert len(bag.clouds["/points"]) == CLOUDS
        assert bag.cut.endswith("run.db3: it ends early")
        for number in range(CLOUDS):
            points, _ = bag.read("/points", number)
            assert len(points.xyz) == 40
    assert contents(folder) == before


def test_a_log_that_is_cut_gives_what_sqlite_finds_in_it(tmp_path: Path) -> None:
    folder = with_log(tmp_path / "run", 3)
    log = folder / "run.db3-wal"
    whole, copy = log.read_bytes(), tmp_path / "copy"
    counts = []
    for size in range(0, len(whole), 1111):
        log.write_bytes(whole[:size])
        recording = Recording.open(folder)
        assert numbers(recording) == list(range(recording.count))
        assert len(recording.troubles) == (2 if size else 1)  # an empty one is no sign of a crash
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        database = sqlite3.connect(copy / "run.db3")
        assert database.execute("SELECT count(*) FROM messages").fetchone() == (recording.count,)
        database.close()
        shutil.rmtree(copy)
        counts.append(recording.count)
    assert (counts[0], counts[-1]) == (CLOUDS - 3, CLOUDS - 1)


def test_a_rollback_journal_beside_a_cut_file_is_left_aside(tmp_path: Path) -> None:
    path = Bags("db3").write(tmp_path / "run", list(Bags("db3").clouds(CLOUDS, 2000))) / "run.db3"
    os.truncate(path, path.stat().st_size - 200)
    path.with_name("run.db3-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(1016))
    before = contents(path.parent)
    assert Recording.open(path).count == len(open_bag(path).clouds["/points"]) > 0
    assert contents(path.parent) == before


# --- which bag it is ----------------------------------------------------------------------------------------------


def test_a_bag_is_known_again_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_log(tmp_path / "run", 3)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "link.db3").symlink_to(path / "run.db3")

    def known(bag: str | Path) -> str:
        return bag_fingerprint(Job(bag=str(bag), out="out"))

    monkeypatch.chdir(path)
    folder = known(path)
    for name in (".", "../run", "../link", tmp_path / "link" / ".." / "run", f"{path}/"):
        assert known(name) == folder
    assert known("run.db3") == known("../link/run.db3") == known("../link.db3") == folder  # all that is in it
    (path / "out").mkdir()
    for name in ("out/run.json", "notes.txt", "run.db3-shm"):
        (path / name).write_text("beside the bag")
    assert known(".") == known("run.db3") == folder
    shutil.copytree(path, tmp_path / "moved")
    assert known("../moved") == folder


def test_a_bag_that_changed_is_another_one(tmp_path: Path) -> None:
    path = with_log(tmp_path / "run", 3)
    job = Job(bag=str(path), out="out")
    known = {bag_fingerprint(job)}
    with (path / "run.db3-wal").open("ab") as log:
        log.write(b"more")
    known.add(bag_fingerprint(job))
    shutil.copy(path / "run.db3", path / "run_1.db3")
    known.add(bag_fingerprint(job))
    assert len(known) == 3


def test_a_folder_within_a_bag_is_seen_however_both_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Bags("mcap").write(tmp_path / "run", list(Bags("mcap").clouds(1)))
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(path)
    for folder in ("out/replay/run", ".", "../link/out", path / "out"):
        for bag in (".", "../link", path):
            assert is_within(folder, bag)
    for folder in ("../out", tmp_path / "run_2", "/", "../link/../out"):
        assert not is_within(folder, ".")
    (part,) = path.glob("*.mcap")
    assert is_within("out", part.name) and is_within(path, part)  # a file of the folder's
    Path("metadata.yaml").unlink()
    assert not is_within("out", part.name)  # beside a file is no harm
