"""Point files: every format there and back, files of other programs, damaged files, real scans."""

import struct
import zipfile

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint.files import check_folder, check_target, read_points, reading, write_points

WIDTH, HEIGHT = 8, 5


@pytest.fixture
def cloud() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(WIDTH * HEIGHT, 3)).astype(np.float32)
    xyz[3] = np.nan
    rgb = rng.integers(0, 256, (len(xyz), 3), dtype=np.uint8)
    rgb[0], rgb[1] = (255, 255, 255), (0, 0, 1)  # as float32 bits: a large number, and a denormal one
    label = rng.integers(0, 2**32, len(xyz), dtype=np.uint32)
    score = rng.random(len(xyz), dtype=np.float32)
    return {"xyz": xyz, "rgb": rgb, "label": label, "score": score}


def pcd(path, fields, data, kind="ascii", width=None, height=1, points=None, count=None):
    """A PCD file made by hand: ``fields`` (name, type, size), ``data`` structured or lines of text."""
    names, types, sizes = zip(*fields, strict=True)
    points = len(data) if points is None else points
    header = (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS {' '.join(names)}\nSIZE {' '.join(map(str, sizes))}\n"
        f"TYPE {' '.join(types)}\nCOUNT {' '.join(map(str, count or [1] * len(names)))}\n"
        f"WIDTH {points if width is None else width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\n"
        f"POINTS {points}\nDATA {kind}\n"
    )
    body = "\n".join(data).encode() + b"\n" if kind == "ascii" else data.tobytes()
    path.write_bytes(header.encode() + body)
    return path


XYZ = [("x", "F", 4), ("y", "F", 4), ("z", "F", 4)]


@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".npz", ".PCD"])
@pytest.mark.parametrize("organised", [True, False])
def test_round_trip(tmp_path, cloud, suffix, organised):
    path = tmp_path / f"cloud{suffix}"
    grid = {"width": WIDTH, "height": HEIGHT} if organised else {}
    extra = {"label": cloud["label"], "score": cloud["score"], "ring": np.arange(WIDTH * HEIGHT, dtype=np.uint16)}
    write_points(path, cloud["xyz"], cloud["rgb"], extra, **grid)
    back = read_points(path)
    assert (back.width, back.height) == ((WIDTH, HEIGHT) if organised else (WIDTH * HEIGHT, 1))
    for name, dtype in (("xyz", np.float32), ("rgb", np.uint8), ("label", np.uint32)):
        assert getattr(back, name).dtype == dtype
        np.testing.assert_array_equal(getattr(back, name), cloud[name])
    assert sorted(back.extra) == ["ring", "score"]
    assert back.extra["score"].dtype == np.float32 and back.extra["ring"].dtype == np.uint16
    np.testing.assert_array_equal(back.extra["score"], cloud["score"])


@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".npz"])
def test_coordinates_alone(tmp_path, cloud, suffix):
    path = tmp_path / f"cloud{suffix}"
    write_points(path, cloud["xyz"].astype(np.float64))
    back = read_points(str(path))
    np.testing.assert_array_equal(back.xyz, cloud["xyz"])
    assert back.rgb is None and back.label is None and back.extra == {}


@pytest.mark.parametrize(
    ("encoding", "colour"),
    [  # not ascii with a float: pypcd4 writes ten decimals, which no packed colour survives; see the next test
        ("ascii", "rgb uint"), ("binary", "rgb uint"), ("binary_compressed", "rgb uint"),
        ("ascii", "rgba uint"), ("binary", "rgba uint"), ("binary_compressed", "rgba uint"),
        ("binary", "rgb float"), ("binary_compressed", "rgb float"),
    ],
)  # fmt: skip
def test_pcd_encodings_and_packed_colour(tmp_path, cloud, encoding, colour):
    from pypcd4 import Encoding, PointCloud

    name, kind = colour.split()
    red, green, blue = cloud["rgb"].astype(np.uint32).T
    packed = red << 16 | green << 8 | blue
    if kind == "float":
        packed = packed.view(np.float32)
    elif name == "rgba":
        packed = packed | np.uint32(0xFF000000)
    columns = [*cloud["xyz"].T, packed, cloud["label"]]
    made = PointCloud.from_points(columns, ("x", "y", "z", name, "label"), [c.dtype for c in columns])
    made.metadata.width, made.metadata.height = WIDTH, HEIGHT
    made.save(tmp_path / "cloud.pcd", Encoding(encoding))
    back = read_points(tmp_path / "cloud.pcd")
    assert (back.width, back.height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(back.xyz, cloud["xyz"], rtol=1e-6)
    np.testing.assert_array_equal(back.label, cloud["label"])
    np.testing.assert_array_equal(back.rgb, cloud["rgb"])


def test_pcd_text_with_colour_packed_in_a_float(tmp_path):
    """As PCL writes it: the bits 0x00RRGGBB read as a float32, in nine digits."""
    colours = [[255, 128, 3], [1, 2, 3]]
    packed = [struct.unpack("<f", struct.pack("<I", r << 16 | g << 8 | b))[0] for r, g, b in colours]
    path = pcd(tmp_path / "a.pcd", [*XYZ, ("rgb", "F", 4)], [f"1 2 3 {value:.9g}" for value in packed])
    assert read_points(path).rgb.tolist() == colours


def test_pcd_written_holds_colour_as_pcl_packs_it(tmp_path):
    write_points(tmp_path / "one.pcd", np.zeros((1, 3)), np.array([[1, 2, 3]], dtype=np.uint8))
    content = (tmp_path / "one.pcd").read_bytes()
    assert b"FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\n" in content
    assert content.endswith(struct.pack("<fffI", 0, 0, 0, 0x010203))


def test_pcd_text_with_odd_spacing(tmp_path):
    path = pcd(tmp_path / "a.pcd", XYZ, ["1  2\t3 ", " 4 5 6\r", "nan nan nan"])
    np.testing.assert_array_equal(read_points(path).xyz, [[1, 2, 3], [4, 5, 6], [np.nan] * 3])


def test_pcd_of_one_point(tmp_path):
    np.testing.assert_array_equal(read_points(pcd(tmp_path / "a.pcd", XYZ, ["1 2 3"])).xyz, [[1, 2, 3]])


def test_pcd_with_padding_doubles_and_float_labels(tmp_path):
    fields = [("x", "F", 8), ("y", "F", 8), ("z", "F", 8), ("_", "U", 1), ("label", "F", 4)]
    record = np.dtype([("xyz", "<f8", 3), ("pad", "u1", 4), ("label", "<f4")])
    data = np.zeros(3, record)
    data["xyz"], data["label"] = [[1, 2, 3], [4, 5, 6], [1e300, 0, 0]], [np.nan, 7, -1]
    back = read_points(pcd(tmp_path / "a.pcd", fields, data, "binary", count=[1, 1, 1, 4, 1]))
    assert back.xyz.dtype == np.float32 and back.xyz[1].tolist() == [4, 5, 6] and np.isinf(back.xyz[2, 0])
    assert back.label.tolist() == [0, 7, 0] and back.extra == {}


def test_ply_of_other_programs(tmp_path):
    (tmp_path / "text.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty double x\nproperty double y\nproperty double z\n"
        "property float red\nproperty float green\nproperty float blue\nproperty float intensity\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "1 2 3 1 0.5 0 9\n4 5 6 0 0 0.2 8\n3 0 1 1\n"
    )
    back = read_points(tmp_path / "text.ply")
    assert back.xyz.tolist() == [[1, 2, 3], [4, 5, 6]] and back.extra["intensity"].tolist() == [9, 8]
    assert back.rgb.tolist() == [[255, 128, 0], [0, 0, 51]]

    data = np.array([(1, 2, 3, 4, 5, 6)], dtype=[(n, ">f4") for n in "xyz"] + [(n, "u1") for n in "rgb"])
    header = "ply\nformat binary_big_endian 1.0\nelement vertex 1\n"
    header += "".join(f"property float {n}\n" for n in "xyz") + "".join(f"property uchar {n}\n" for n in "rgb")
    (tmp_path / "big.ply").write_bytes(header.encode() + b"end_header\n" + data.tobytes())
    back = read_points(tmp_path / "big.ply")
    assert back.xyz.tolist() == [[1, 2, 3]] and back.rgb.tolist() == [[4, 5, 6]]


def test_npz_as_an_image(tmp_path, cloud):
    image = cloud["xyz"].reshape(HEIGHT, WIDTH, 3)
    colour = cloud["rgb"].reshape(HEIGHT, WIDTH, 3)
    np.savez(tmp_path / "a.npz", xyz=image, rgb=colour, label=cloud["label"].astype(np.int64).reshape(HEIGHT, WIDTH))
    back = read_points(tmp_path / "a.npz")
    assert (back.width, back.height) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(back.xyz, cloud["xyz"])
    np.testing.assert_array_equal(back.rgb, cloud["rgb"])
    np.testing.assert_array_equal(back.label, cloud["label"])


def refused(path) -> str:
    with pytest.raises(SegPointError) as caught:
        read_points(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 500
    return message


def test_missing_unknown_and_folder(tmp_path):
    assert "no such file" in refused(tmp_path / "none.pcd")
    assert "no such file" in refused(tmp_path / "none.npz")
    (tmp_path / "cloud.las").write_bytes(b"LASF")
    assert ".pcd, .ply, .npz" in refused(tmp_path / "cloud.las")
    (tmp_path / "folder.ply").mkdir()
    assert "folder" in refused(tmp_path / "folder.ply")


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed", "ply", "npz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.99])
def test_truncated(tmp_path, cloud, encoding, share):
    if encoding in ("ply", "npz"):
        path = tmp_path / f"cloud.{encoding}"
        write_points(path, np.repeat(cloud["xyz"], 50, axis=0))
    else:
        from pypcd4 import Encoding, PointCloud

        path = tmp_path / "cloud.pcd"
        PointCloud.from_xyz_points(np.repeat(cloud["xyz"], 50, axis=0)).save(path, Encoding(encoding))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path)


@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".npz"])
def test_not_that_format_at_all(tmp_path, suffix):
    path = tmp_path / f"cloud{suffix}"
    path.write_bytes(np.random.default_rng(1).bytes(3000))
    refused(path)


def test_no_coordinates(tmp_path, cloud):
    fields = [("x", "F", 4), ("y", "F", 4), ("intensity", "F", 4)]
    message = refused(pcd(tmp_path / "a.pcd", fields, ["1 2 3"]))
    assert "no field z" in message and "intensity" in message
    (tmp_path / "a.ply").write_text(
        "ply\nformat ascii 1.0\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n3 0 1 1\n"
    )
    assert "vertex" in refused(tmp_path / "a.ply")
    np.savez(tmp_path / "a.npz", points=cloud["xyz"])
    assert "'xyz' is missing" in refused(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", xyz=cloud["xyz"][:, :2])
    assert "(40, 2)" in refused(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", xyz=cloud["xyz"], rgb=cloud["rgb"][:-1])
    assert "(39, 3)" in refused(tmp_path / "c.npz")


def test_empty(tmp_path):
    assert "0 points" in refused(pcd(tmp_path / "a.pcd", XYZ, [], points=0))
    write_points(tmp_path / "a.ply", np.empty((0, 3)))
    assert "0 points" in refused(tmp_path / "a.ply")
    np.savez(tmp_path / "a.npz", xyz=np.empty((0, 3), np.float32))
    assert "0 points" in refused(tmp_path / "a.npz")


def test_headers_that_promise_too_much(tmp_path):
    data = np.zeros(2, "<f4,<f4,<f4")
    assert "3 points" in refused(pcd(tmp_path / "a.pcd", XYZ, data, "binary", points=3))
    refused(pcd(tmp_path / "b.pcd", XYZ, data, "binary", points=10**15))
    refused(pcd(tmp_path / "c.pcd", XYZ, data, "binary_compressed", points=10**15))
    assert "5 × 4" in refused(pcd(tmp_path / "d.pcd", XYZ, data, "binary", width=5, height=4))


def test_no_pickle_is_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "a.npz", xyz=np.array([Trap()], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npz")
    assert not (tmp_path / "sprung").exists()


def test_what_cannot_be_written(tmp_path, cloud):
    xyz = cloud["xyz"]
    for arguments, told in [
        ({"path": tmp_path / "a.las", "xyz": xyz}, ".pcd, .ply, .npz"),
        ({"path": tmp_path / "no" / "a.pcd", "xyz": xyz}, "folder"),
        ({"path": tmp_path / "a.pcd", "xyz": xyz.T}, "(3, 40)"),
        ({"path": tmp_path / "a.pcd", "xyz": xyz, "rgb": cloud["rgb"][:3]}, "(3, 3)"),
        ({"path": tmp_path / "a.pcd", "xyz": xyz, "fields": {"label": np.zeros(3)}}, "'label'"),
        ({"path": tmp_path / "a.pcd", "xyz": xyz, "width": 7, "height": 7}, "7 × 7"),
    ]:
        with pytest.raises(SegPointError) as caught:
            write_points(**arguments)
        assert told in str(caught.value)


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        (np.array([[0, 7, 255]] * 2, np.uint16), [0, 7, 255]),
        (np.array([[0, 0x0700, 0xFF00]] * 2, np.uint16), [0, 7, 255]),
        (np.array([[1, 0, 200]] * 2, np.float32), [1, 0, 200]),
        (np.array([[0, 0.2, 1]] * 2, np.float32), [0, 51, 255]),
        (np.array([[-5, 3, 999]] * 2, np.int32), [0, 3, 255]),
    ],
)
def test_npz_colour_ranges(tmp_path, colours, expected):
    np.savez(tmp_path / "a.npz", xyz=np.ones((2, 3)), rgb=colours)
    assert read_points(tmp_path / "a.npz").rgb.tolist() == [expected] * 2


@pytest.mark.parametrize("name", ["x", "y", "z", "red", "green", "blue", "r", "g", "b", "rgba"])
def test_npz_names_do_not_stand_in_for_xyz_and_rgb(tmp_path, name):
    given = dict.fromkeys([name, *("rgb" if name in "rgb" else ())], np.full(2, 9, np.uint32))
    np.savez(tmp_path / "a.npz", **{**given, "xyz": np.ones((2, 3)), "rgb": np.full((2, 3), 7, np.uint8)})
    back = read_points(tmp_path / "a.npz")
    assert (back.xyz == 1).all() and (back.rgb == 7).all() and back.extra == {}


def test_npz_split_colour(tmp_path):
    np.savez(tmp_path / "a.npz", xyz=np.ones((1, 3)), r=np.uint8([1]), g=np.uint8([2]), b=np.uint8([3]))
    assert read_points(tmp_path / "a.npz").rgb.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("label", np.array([1, bad])) for bad in (np.nan, np.inf, -1, 2**32, 1e300)),
        ("label", np.array([1, 2**32], np.float32)),
        ("label", np.array([1, np.inf], np.float16)),
        ("label", np.array(["mug", "cup"])),
        ("label", np.array([1, 2, 3])),
        ("rgb", np.full((2, 3), "red")),
        ("rgb", np.full((2, 3), 1j)),
        ("width", np.array(-1)),
        ("width", np.array(0)),
        ("width", np.array(3)),
        ("width", np.array("two")),
        ("width", np.array(np.nan)),
        ("width", np.array([1, 2])),
    ],
)
def test_npz_arrays_that_make_no_sense(tmp_path, name, value):
    arrays = {"xyz": np.ones((2, 3)), name: value, **({"height": np.array(-2)} if name == "width" else {})}
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path / "a.npz")


def test_label_too_large(tmp_path):
    fields = [*XYZ, ("label", "F", 8)]
    assert "'label'" in refused(pcd(tmp_path / "a.pcd", fields, ["1 2 3 1e12"]))


@pytest.mark.parametrize(
    ("suffix", "given", "held"),
    [
        (".pcd", "bool", "uint8"), (".ply", "bool", "uint8"), (".npz", "bool", "bool"),
        (".pcd", "float16", "float32"), (".ply", "float16", "float32"), (".npz", "float16", "float16"),
        (".pcd", "int64", "int64"), (".ply", "int64", "float64"), (".ply", "uint64", "float64"),
        (".pcd", ">f4", "float32"), (".ply", ">f4", "float32"), (".npz", "<U3", "<U3"),
    ],
)  # fmt: skip
def test_field_types_are_kept_or_widened(tmp_path, suffix, given, held):
    values = np.array([0, 1, 1]).astype(given)
    write_points(tmp_path / f"a{suffix}", np.ones((3, 3)), fields={"f": values})
    back = read_points(tmp_path / f"a{suffix}").extra["f"]
    assert back.dtype == np.dtype(held)
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize(
    ("suffix", "name", "dtype"),
    [
        *((suffix, "f", dtype) for suffix in (".pcd", ".ply") for dtype in ("U3", "complex64", "longdouble", object)),
        *((suffix, name, "u1") for suffix in (".pcd", ".ply") for name in ("my field", "größe", "", "a\nb", "x")),
        (".pcd", "rgb", "u1"), (".ply", "red", "u1"), (".npz", "f", object),
        *((".npz", name, "u1") for name in ("file", "xyz", "rgb", "width", "allow_pickle")),
    ],
)  # fmt: skip
def test_fields_that_the_format_cannot_hold(tmp_path, suffix, name, dtype):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(SegPointError) as caught:
        write_points(path, np.ones((3, 3)), np.ones((3, 3), np.uint8), {name: np.ones(3).astype(dtype)})
    assert repr(name) in str(caught.value) and not path.exists()


def test_targets_are_checked_without_writing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    check_target(tmp_path / "new.pcd", (".pcd",))
    check_target(tmp_path / "file")
    check_target(tmp_path / "new" / "a.json", makes_folder=True)
    check_folder(tmp_path / "new" / "er")
    for refuse, path in [(check_target, tmp_path), (check_target, tmp_path / "new" / "a.pcd"),
                         (check_folder, tmp_path / "file"), (check_folder, tmp_path / "file" / "in")]:  # fmt: skip
        with pytest.raises(SegPointError):
            refuse(path)
    long = "x" * 300
    for refuse, path in [(check_target, tmp_path / long), (check_folder, tmp_path / "new" / long / "in"),
                         (check_folder, tmp_path / long), (check_folder, "/proc/new")]:  # fmt: skip
        with pytest.raises(SegPointError, match="write elsewhere"):
            refuse(path)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SegPointError, match="overwritten"):
        check_target(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [EOFError(), KeyError("xyz"), zipfile.BadZipFile("not a zip file"), OSError("gone")])
def test_whatever_reading_raises_is_one_error(error):
    with pytest.raises(SegPointError, match=r"^a.npz cannot be read \(.+\): delete it$"), reading("a.npz", "delete it"):
        raise error
    with pytest.raises(SegPointError, match="^no points$"), reading("a.npz", "delete it"):
        raise SegPointError("no points")


def test_real_scans(shared, tmp_path):
    paths = sorted((shared / "real").glob("*.pcd"))
    assert len(paths) == 9
    for path in paths:
        points = read_points(path)
        assert (points.width, points.height) == (640, 480) and points.extra == {}
        assert points.rgb.shape == (307200, 3) and points.rgb.mean() > 20
        seen = np.isfinite(points.xyz).all(axis=1)
        assert 0.5 < seen.mean() < 0.7
        assert 0.4 < np.median(points.xyz[seen, 2]) < 2.0  # metres, forward
        assert points.label.max() < 100 and points.label[~seen].max() == 0
    write_points(tmp_path / "again.pcd", points.xyz, points.rgb, {"label": points.label}, points.width, points.height)
    again = read_points(tmp_path / "again.pcd")
    np.testing.assert_array_equal(again.xyz, points.xyz)
    np.testing.assert_array_equal(again.rgb, points.rgb)
    np.testing.assert_array_equal(again.label, points.label)
