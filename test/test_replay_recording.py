"""Recordings: every kind of bag, whole, in parts, and with what robots really record besides."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from replay_bags import CLOUD, FRAME, KINDS, START, STEP, TEXT, TF, Bags, numbers
from scipy.spatial.transform import Rotation

from segpoint.errors import SegPointError
from segpoint.prompts import MOST_CHARACTERS
from segpoint_replay.recording import Choice, Recording

SECOND = 10**9
HERE = (0, 0, 0, 0, 0, 0, 1)  # a transform that changes nothing


@pytest.fixture
def bags() -> Bags:
    return Bags("mcap")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bag_gives_the_same_recording(tmp_path: Path, kind: str) -> None:
    bags = Bags(kind)
    turned = (1, 2, 3, 0, 0, 1, 0)
    said = [
        ("/tf_static", TF, START - STEP, bags.transforms(("base", FRAME, 0, turned))),
        ("/instruction", TEXT, START + STEP // 2, bags.text("the mug")),
        *bags.clouds(6),
    ]
    path = bags.write(tmp_path / "run", sorted(said, key=lambda one: one[2]))
    recording = Recording.open(path)
    assert (recording.path, recording.topic, recording.count, recording.troubles) == (path, "/points", 6, [])
    assert recording.start == START - STEP
    assert recording.said == ((START + STEP // 2, "the mug"),)
    assert numbers(recording) == numbers(recording) == [0, 1, 2, 3, 4, 5]
    pose = recording.pose(FRAME, START)
    assert pose is not None
    np.testing.assert_allclose(pose @ [1, 0, 0, 1], [0, 2, 3, 1], atol=1e-12)


def test_start_duration_and_every_choose_by_the_bags_time(tmp_path: Path, bags: Bags) -> None:
    first = ("/instruction", TEXT, START - SECOND, bags.text("the mug"))
    recording = Recording.open(bags.write(tmp_path / "run", [first, *bags.clouds(20)]))
    assert numbers(recording, Choice(start=1.25)) == list(range(3, 20))
    assert numbers(recording, Choice(start=1.25, duration=0.5)) == [3, 4, 5, 6, 7]
    assert numbers(recording, Choice(every=6)) == [0, 6, 12, 18]
    assert numbers(recording, Choice(start=1.25, every=6)) == [6, 12, 18]
    assert recording.chosen(Choice(start=1.25, every=6)) == (6, 12, 18)
    with pytest.raises(SegPointError, match=r"no cloud on /points .*20 clouds come from 1\.00 s to 2\.90 s"):
        next(recording.frames(Choice(start=3)))
    for wrong in ({"start": -1}, {"duration": float("nan")}, {"every": 0}):
        with pytest.raises(SegPointError, match=f"{next(iter(wrong))} must be"):
            Choice(**wrong)


# --- topics -------------------------------------------------------------------------------------------------------


def test_of_several_cloud_topics_one_is_named_and_the_error_lists_them(tmp_path: Path, bags: Bags) -> None:
    said = [*bags.clouds(3, topic="/left"), *bags.clouds(5, topic="/right")]
    path = bags.write(tmp_path / "run", said)
    with pytest.raises(SegPointError, match=r"/left \(3 at 10\.0 Hz\), /right \(5 at 10\.0 Hz\): choose .*--topic"):
        Recording.open(path)
    with pytest.raises(SegPointError, match=r"no clouds on the topic '/up'; there are /left"):
        Recording.open(path, "/up")
    assert numbers(Recording.open(path, "/right")) == [0, 1, 2, 3, 4]


def test_of_several_cloud_topics_the_labelled_one_is_taken(tmp_path: Path, bags: Bags) -> None:
    labelled = bags.cloud(0, label=np.ones(40))
    path = bags.write(tmp_path / "run", [*bags.clouds(2), ("/labelled", CLOUD, START, labelled)])
    assert Recording.open(path).topic == "/labelled"


def test_this_nodes_own_output_is_not_taken_for_its_input(tmp_path: Path, bags: Bags) -> None:
    output = bags.cloud(0, label=np.ones(40))
    output.fields.append(bags.store.types["sensor_msgs/msg/PointField"]("score", 8, 7, 1))
    path = bags.write(tmp_path / "run", [*bags.clouds(2), ("/segpoint/output/points", CLOUD, START, output)])
    assert Recording.open(path).topic == "/points"


def test_a_bag_without_clouds_says_what_it_has(tmp_path: Path, bags: Bags) -> None:
    path = bags.write(tmp_path / "run", [("/instruction", TEXT, START, bags.text("the mug"))])
    with pytest.raises(SegPointError, match=r"no message of type sensor_msgs.*its topics are /instruction"):
        Recording.open(path)


@pytest.mark.parametrize("kind", ["mcap", "db3", "bag"])
def test_an_empty_bag_is_told(tmp_path: Path, kind: str) -> None:
    path = Bags(kind).write(tmp_path / "run", [])
    with pytest.raises(SegPointError, match="run.*(no message of type|cannot be read as a bag)"):
        Recording.open(path)


def test_what_is_no_bag_is_told(tmp_path: Path) -> None:
    (tmp_path / "run.txt").write_text("no bag")
    (tmp_path / "run.mcap").write_bytes(b"")
    for name, what in [("run", "no such bag"), ("run.txt", "by its name"), ("run.mcap", "cannot be read as a bag")]:
        with pytest.raises(SegPointError, match=what):
            Recording.open(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SegPointError, match="no part of a bag"):
        Recording.open(tmp_path / "folder")


def test_topics_of_types_nobody_knows_are_left_out(tmp_path: Path, bags: Bags) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer

    cloud = bags.store.serialize_cdr(bags.cloud(0), CLOUD)
    for storage in StoragePlugin:
        with Writer(tmp_path / storage.name, version=8, storage_plugin=storage) as writer:
            own = writer.add_connection("/arm", "my_robot/msg/Arm", msgdef="int32 joint\n", rihs01="RIHS01_0")
            points = writer.add_connection("/points", CLOUD, typestore=bags.store)
            writer.write(own, START - STEP, b"\x00\x01\x00\x00\x07\x00\x00\x00")
            writer.write(points, START, cloud)
        recording = Recording.open(tmp_path / storage.name)
        assert (recording.start, recording.troubles, numbers(recording)) == (START - STEP, [], [0])


# --- instructions -------------------------------------------------------------------------------------------------


def test_instructions_are_taken_as_the_node_takes_them(tmp_path: Path, bags: Bags) -> None:
    texts = ["the mug; the bowl", "", "x" * (MOST_CHARACTERS + 1), "; ".join(["mug"] * 33), "the valve"]
    said = [("/words", TEXT, START + i, bags.text(text)) for i, text in enumerate(texts)]
    recording = Recording.open(bags.write(tmp_path / "run", [*bags.clouds(1), *said]))
    assert recording.said == ((START, "the mug; the bowl"), (START + 1, ""), (START + 4, "the valve"))
    assert len(recording.troubles) == 2
    assert "12001" in recording.troubles[0]
    assert "got 33" in recording.troubles[1]


def test_of_several_string_topics_the_one_named_instruction_wins(tmp_path: Path, bags: Bags) -> None:
    names = ["/state", "/robot/instruction", "/robot_description"]
    text = dict(zip(names, ["walking", "the mug", "<robot/>" * MOST_CHARACTERS], strict=True))

    def recording(*topics: str, named: str = "") -> Recording:
        said = [(topic, TEXT, START, bags.text(text[topic])) for topic in topics]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        return Recording.open(bags.write(path, [*bags.clouds(1), *said]), instruction_topic=named)

    assert recording(*names).said == ((START, "the mug"),)
    assert recording("/state", "/robot_description").said == ((START, "walking"),)  # no instruction is that long
    assert recording("/robot_description").said == ()
    assert recording().said == ()
    assert recording(*names, named="/state").said == ((START, "walking"),)
    with pytest.raises(SegPointError, match=r"no std_msgs/msg/String on '/other'; there are /robot/instruction \(1\)"):
        recording(*names, named="/other")
    text["/talk"] = "hello"
    several = recording("/state", "/talk")
    assert numbers(several) == [0]  # who says himself what to look for needs no topic
    with pytest.raises(SegPointError, match=r"/state \(1\), /talk \(1\): choose one with --instruction-topic"):
        several.said  # noqa: B018


# --- what is odd or broken ----------------------------------------------------------------------------------------


def test_odd_header_stamps_are_told(tmp_path: Path, bags: Bags) -> None:
    stamps = [START, 0, START + 5 * STEP, START + 2 * STEP, START + 3 * STEP]
    said = [("/points", CLOUD, START + i * STEP, bags.cloud(i, stamp=stamp)) for i, stamp in enumerate(stamps)]
    recording = Recording.open(bags.write(tmp_path / "run", said))
    assert [frame.stamp for frame in recording.frames()] == stamps
    assert recording.troubles == [
        "1 clouds on /points have the header stamp 0, the first of them number 1",
        "the header stamps on /points jump back 1 times, the first time by 0.300 s at cloud 3",
    ]


@pytest.mark.parametrize("broken", [b"", b"\x00\x01", b"\x00\x01\x00\x00" + bytes(40), None])
def test_a_cloud_that_cannot_be_read_is_told_and_left_out(tmp_path: Path, bags: Bags, broken: bytes | None) -> None:
    if broken is None:
        broken = bytes(bags.store.serialize_cdr(bags.cloud(1), CLOUD))[:-100]
    said = list(bags.clouds(3))
    said[1] = (*said[1][:3], broken)
    recording = Recording.open(bags.write(tmp_path / "run", said))
    assert recording.count == 3
    assert [frame.number for frame in recording.frames()] in ([0, 2], [0, 1, 2])
    told = [line for line in recording.troubles if "cloud 1 on /points (0.10 s) cannot be read" in line]
    assert len(told) == 1 or broken == b"\x00\x01\x00\x00" + bytes(40)  # which is a cloud without points
    assert recording.unreadable == ({1} if told else set())


@pytest.mark.parametrize("kind", ["mcap", "mcap.zstd", "db3", "bag"])
def test_a_cut_file_whose_clouds_were_written_out_of_order(tmp_path: Path, kind: str) -> None:
    bags = Bags(kind)
    clouds = list(bags.clouds(6, 2000))
    path = bags.write(tmp_path / "run", [clouds[i] for i in (0, 2, 1, 4, 3, 5)])
    file = path if path.is_file() else next(file for file in path.iterdir() if file.name.startswith("run."))
    file.write_bytes(file.read_bytes()[:-200])
    recording = Recording.open(path)
    assert len(recording.troubles) > 0 and recording.count >= 4
    assert numbers(recording) == list(range(recording.count))
    read = [frame.received for frame in recording.frames()]
    assert read == sorted(read) == [frame.received for frame in recording.frames(Choice())]
    assert numbers(recording, Choice(every=2)) == list(range(0, recording.count, 2))


def test_a_message_of_quite_another_time_does_not_start_the_bag(tmp_path: Path, bags: Bags) -> None:
    early = ("/instruction", TEXT, 0, bags.text("the mug"))
    recording = Recording.open(bags.write(tmp_path / "run", [early, *bags.clouds(3)]))
    assert (recording.start, [frame.at for frame in recording.frames(Choice(duration=5))]) == (START, [0.0, 0.1, 0.2])
    assert recording.said == ((0, "the mug"),)
    [told] = recording.troubles
    assert "recorded 19,676 days before the first cloud" in told


def test_a_split_bag_is_read_in_order_with_and_without_its_metadata(tmp_path: Path, bags: Bags) -> None:
    path = split_bag(tmp_path / "run", bags)
    assert numbers(Recording.open(path)) == list(range(11))
    (path / "run_3.mcap").unlink()
    recording = Recording.open(path)
    assert [frame.stamp for frame in recording.frames()] == [START + i * STEP for i in range(11) if i != 3]
    assert recording.troubles == ["run_3.mcap is missing", "of 11 messages on /points 10 can be read"]
    for damage in (lambda file: file.write_text("rosbag2_bagfile_information: ["), Path.unlink):
        damage(path / "metadata.yaml")
        recording = Recording.open(path)
        assert recording.count == 10
        assert len(recording.troubles) == 1
        assert "metadata.yaml" in recording.troubles[0]


def test_files_whose_times_overlap_are_read_side_by_side(tmp_path: Path, bags: Bags) -> None:
    clouds = list(bags.clouds(8))
    path = tmp_path / "run"
    path.mkdir()
    for name, part in (("a", clouds[::2]), ("b", clouds[1::2])):
        one = bags.write(tmp_path / name, part)
        shutil.move(one / f"{name}.mcap", path)
    assert numbers(Recording.open(path)) == list(range(8))


@pytest.mark.parametrize("kind", ["mcap", "db3"])
def test_compressed_files_without_metadata_are_read(tmp_path: Path, kind: str) -> None:
    from backports import zstd

    path = Bags(kind).write(tmp_path / "run", list(Bags(kind).clouds(5)))
    file = next(path.glob(f"*.{kind}"))
    packed = file.with_name(file.name + ".zstd")
    packed.write_bytes(zstd.compress(file.read_bytes()))
    file.unlink()
    (path / "metadata.yaml").unlink()
    assert numbers(Recording.open(path)) == list(range(5))
    assert numbers(Recording.open(packed)) == list(range(5))


def split_bag(path: Path, bags: Bags) -> Path:
    """Eleven files with a cloud each, as `ros2 bag record --max-bag-size` numbers them."""
    import yaml

    path.mkdir()
    for number, one in enumerate(bags.clouds(11)):
        part = bags.write(path.parent / f"part_{number}", [one])
        shutil.move(part / f"{part.name}.mcap", path / f"run_{number}.mcap")
    metadata = yaml.safe_load((part / "metadata.yaml").read_text())
    said = metadata["rosbag2_bagfile_information"]
    said["relative_file_paths"] = [f"run_{number}.mcap" for number in range(11)]
    said["topics_with_message_count"][0]["message_count"] = 11
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return path


# --- transforms ---------------------------------------------------------------------------------------------------


def moving(
    bags: Bags, tmp_path: Path, *transforms: tuple[str, str, int, tuple[float, ...]], static: str = ""
) -> Recording:
    said = [
        ("/tf_static" if static == t[1] else "/tf", TF, START + i, bags.transforms(t)) for i, t in enumerate(transforms)
    ]
    return Recording.open(bags.write(tmp_path / "run", [*bags.clouds(1), *said]))


def test_a_pose_is_interpolated_and_goes_to_the_root(tmp_path: Path, bags: Bags) -> None:
    quarter = tuple(Rotation.from_euler("z", 90, degrees=True).as_quat())
    recording = moving(
        bags, tmp_path,
        ("map", "base", START, HERE), ("map", "base", START + SECOND, (2, 0, 0, *quarter)),
        ("/base", "/camera", 0, (0, 0, 1, 0, 0, 0, 1)), static="/camera",
    )  # fmt: skip
    pose = recording.pose("camera", START + SECOND // 2)
    assert pose is not None
    expected = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    np.testing.assert_allclose(pose[:3, :3], expected, atol=1e-12)
    np.testing.assert_allclose(pose[:, 3], [1, 0, 1, 1], atol=1e-12)
    np.testing.assert_array_equal(recording.pose("map", START), np.eye(4))
    np.testing.assert_allclose(recording.pose("/base", START + SECOND)[:3, 3], [2, 0, 0])
    assert recording.pose("elsewhere", START) is None


def test_a_pose_is_not_guessed_far_from_what_is_known(tmp_path: Path, bags: Bags) -> None:
    recording = moving(
        bags, tmp_path, ("map", "base", START, HERE), ("map", "base", START + SECOND, (2, 0, 0, 0, 0, 0, 1))
    )
    for at, x in [(-0.6, None), (-0.4, 0), (0.25, 0.5), (1.4, 2), (1.6, None)]:
        pose = recording.pose("base", START + int(at * SECOND))
        assert (None if pose is None else pytest.approx(pose[0, 3])) == x


def test_a_long_gap_is_not_bridged(tmp_path: Path, bags: Bags) -> None:
    later = START + 600 * SECOND
    recording = moving(
        bags, tmp_path, ("map", "base", START, HERE), ("map", "base", later, (100, 0, 0, 0, 0, 0, 1)),
    )  # fmt: skip
    for at, x in [(0, 0), (0.4, 0), (0.6, None), (300, None), (599.4, None), (599.6, 100), (600, 100)]:
        pose = recording.pose("base", START + int(at * SECOND))
        assert (None if pose is None else pose[0, 3]) == x


def test_a_place_has_its_root_and_a_missing_link_is_no_place(tmp_path: Path, bags: Bags) -> None:
    recording = moving(
        bags, tmp_path, ("odom", "camera", START, HERE), ("odom", "camera", START + SECOND, HERE),
        ("map", "odom", START + SECOND, (5, 0, 0, 0, 0, 0, 1)), ("table", "mug", START, HERE),
        ("hand", "mug", START + 2 * SECOND, HERE),
    )  # fmt: skip
    tree = recording.tree
    assert tree.place("camera", START) is None and tree.knows("camera") and not tree.knows("elsewhere")
    place = tree.place("/camera", START + SECOND)
    assert place is not None and (place.root, place.pose[0, 3]) == ("map", 5)
    assert [tree.place("mug", START + at * SECOND).root for at in (0, 2)] == ["table", "hand"]


def test_odd_transforms_are_left_out(tmp_path: Path, bags: Bags) -> None:
    nothing, nan = (0, 0, 0, 0, 0, 0, 0), (float("nan"), 0, 0, 0, 0, 0, 1)
    recording = moving(
        bags, tmp_path,
        ("map", "base", START, nothing), ("map", "base", START, nan), ("map", "base", START, (1, 0, 0, 0, 0, 0, 1)),
        ("a", "b", START, HERE), ("b", "a", START, HERE), ("c", "c", START, HERE),
    )  # fmt: skip
    assert recording.pose("base", START)[0, 3] == 1
    assert recording.pose("a", START) is None
    assert recording.pose("c", START) is None


def test_a_frame_may_change_its_parent(tmp_path: Path, bags: Bags) -> None:
    recording = moving(
        bags, tmp_path,
        ("table", "mug", START, (1, 0, 0, 0, 0, 0, 1)), ("hand", "mug", START + 2 * SECOND, (5, 0, 0, 0, 0, 0, 1)),
    )  # fmt: skip
    assert recording.pose("mug", START)[0, 3] == 1
    assert recording.pose("mug", START + 2 * SECOND)[0, 3] == 5
