"""Bags cut at any byte: what is whole is read as it was written, and what is lost is told."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_bags import CLOUD, KINDS, START, TEXT, Bags, numbers

from segpoint.errors import SegPointError
from segpoint_replay.recording import Recording

CLOUDS = 12
LOST = 6  # clouds, at most, beyond those cut off: of a chunk in mebibytes, of a page in which SQLite has several rows
ANYWHERE = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=KINDS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one file of a bag of each kind."""
    bags = Bags(request.param)
    folder = tmp_path_factory.mktemp("whole")
    small = {"mcap": 45_000, "db3": 5000, "bag": 600}[request.param.partition(".")[0]]  # a few in a chunk
    points = 12_000 if request.param == "db3.zstd" else small  # Zstandard reads whole blocks
    path = bags.write(folder / "run", list(bags.clouds(CLOUDS, points)))
    return path if path.is_file() else next(file for file in path.iterdir() if file.name.startswith("run."))


@settings(ANYWHERE, max_examples=20)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_bag_cut_at_any_byte_is_read_as_far_as_it_is_whole(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    content = whole.read_bytes()
    folder = tmp_path_factory.mktemp("cut")
    path = folder / whole.name if whole.suffix == ".bag" else folder
    (folder / whole.name).write_bytes(content[: int(share * len(content))])
    if path == folder and (whole.parent / "metadata.yaml").is_file():
        shutil.copy(whole.parent / "metadata.yaml", folder)
    try:
        recording = Recording.open(path)
    except SegPointError as error:
        assert CLOUDS * share < LOST, error
        return
    read = numbers(recording)
    assert read == list(range(len(read)))  # each of them as it was written, byte for byte
    assert len(read) == recording.count
    assert len(read) >= CLOUDS * share - LOST
    assert any(line.startswith(f"{whole.name} ") or "metadata" in line for line in recording.troubles)
    if len(read) < CLOUDS and path == folder:
        assert f"of {CLOUDS} messages on /points {len(read)} can be read" in recording.troubles


@settings(ANYWHERE, max_examples=8)
@given(place=st.floats(0.01, 0.99), length=st.integers(1, 5000))
def test_zeros_in_the_middle_of_a_bag_lose_no_more_than_what_follows(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, place: float, length: int
) -> None:
    content = bytearray(whole.read_bytes())
    at = int(place * len(content))
    content[at : at + length] = bytes(min(length, len(content) - at))
    path = tmp_path_factory.mktemp("zeros") / whole.name
    path.write_bytes(content)
    try:
        recording = Recording.open(path)
        read = [frame.number for frame in recording.frames()]
    except SegPointError:
        return
    assert read == sorted(set(read))
    assert len(read) + len(recording.troubles) > 0


def test_no_message_of_a_cut_page_is_filled_up_with_zeros(tmp_path: Path) -> None:
    bags = Bags("db3")
    texts = [f"the {i}th mug" * 5 for i in range(200)]
    words = [("/words", TEXT, START + i, bags.text(text)) for i, text in enumerate(texts)]
    path = bags.write(tmp_path / "run", [*bags.clouds(1), *words]) / "run.db3"
    content = path.read_bytes()
    for size in range(len(content) // 2, len(content), 97):
        path.write_bytes(content[:size])
        with suppress(SegPointError):
            said = [text for _, text in Recording.open(path).said]
            assert said == texts[: len(said)]


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZSTD", "UNCHUNKED"])
def test_cut_mcaps_of_another_writer_give_what_another_reader_finds(tmp_path: Path, compression: str) -> None:
    pytest.importorskip("mcap")
    path = tmp_path / "run.mcap"
    _write_with_mcap(path, compression)
    recording = Recording.open(path)
    assert (recording.troubles, numbers(recording)) == ([], list(range(CLOUDS)))
    content = path.read_bytes()
    for size in np.random.default_rng(7).integers(0, len(content), 30):
        path.write_bytes(content[:size])
        expected = _messages_by_mcap(content[:size])
        try:
            recording = Recording.open(path)
        except SegPointError:
            assert expected == 0
        else:
            assert numbers(recording) == list(range(expected))


def _write_with_mcap(path: Path, compression: str) -> None:
    from mcap.writer import CompressionType, Writer

    bags = Bags("mcap")
    with path.open("wb") as file:
        chunked = compression != "UNCHUNKED"
        kind = CompressionType[compression] if chunked else CompressionType.NONE
        writer = Writer(file, chunk_size=20_000, compression=kind, use_chunking=chunked)
        writer.start("ros2", "test")
        definition, _ = bags.store.generate_msgdef(CLOUD, ros_version=2)
        schema = writer.register_schema(CLOUD, "ros2msg", definition.encode())
        channel = writer.register_channel("/points", "cdr", schema, {"offered_qos_profiles": ""})
        for _, _, received, cloud in bags.clouds(CLOUDS, 600):
            data = bytes(bags.store.serialize_cdr(cloud, CLOUD))
            writer.add_message(channel, received, data, received)
        writer.finish()


def _messages_by_mcap(content: bytes) -> int:
    """Messages in the whole records of a file."""
    import io

    from mcap.records import Chunk, Message
    from mcap.stream_reader import StreamReader, breakup_chunk

    count = 0
    try:
        for record in StreamReader(io.BytesIO(content), emit_chunks=True).records:
            inner = breakup_chunk(record) if isinstance(record, Chunk) else [record]
            count += sum(isinstance(one, Message) for one in inner)
    except Exception:  # noqa: BLE001  the end
        pass
    return count
