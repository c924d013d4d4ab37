"""The object families: whole solids of plausible size, of which no two splits share one."""

from __future__ import annotations

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.scenes import assets
from segpoint_training.scenes.categories import CATEGORIES, HELD_OUT
from segpoint_training.scenes.lofts import SOFT, bar, loft, tub
from segpoint_training.scenes.model import Draw, Model
from segpoint_training.scenes.objects import FAMILIES, available, build
from segpoint_training.scenes.recipes import draw_recipe
from segpoint_training.scenes.shapes import Mesh

INSTANCES = 6
# longest side in metres, at least and at most; the others lie between
LONGEST = {
    "mug": (0.08, 0.17), "cup": (0.06, 0.17), "bowl": (0.1, 0.32), "plate": (0.13, 0.32), "box": (0.05, 0.45),
    "can": (0.06, 0.31), "bottle": (0.11, 0.36), "book": (0.12, 0.5), "pen": (0.1, 0.2), "fork": (0.15, 0.22),
    "strawberry": (0.03, 0.07), "padlock": (0.03, 0.11), "hammer": (0.22, 0.36), "toy brick": (0.02, 0.15),
    "laptop": (0.25, 0.4), "frying pan": (0.28, 0.48),
}  # fmt: skip


@pytest.fixture
def parametric(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """As on a machine without assets."""
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))


def families(category: str, split: str, count: int = INSTANCES) -> list[Model]:
    return [FAMILIES[category](Draw(np.random.default_rng((i, 5)), split)) for i in range(count)]


def facing(mesh: Mesh) -> float:
    """The share of the surface whose corner order disagrees with its normals."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    against = np.einsum("ij,ij->i", normal, mesh.normals[mesh.faces].mean(1)) < 0
    return float(area[against].sum() / area.sum())


def open_edges(mesh: Mesh) -> int:
    """How many edges have a face on one side only, points of one place taken as one."""
    _, index = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, count = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0, return_counts=True)
    return int((count % 2).sum())


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("category", FAMILIES)
def test_every_family_builds_sane_solids(category: str, split: str) -> None:
    for model in families(category, split):
        mesh, size = model.mesh, np.ptp(model.mesh.vertices, axis=0)
        assert model.category == category
        assert model.pose in ("upright", "lying", "upside down")
        assert 0.005 < size.min() and size.max() < 0.55, size
        assert LONGEST.get(category, (0, 1))[0] < size.max() < LONGEST.get(category, (0, 1))[1], size
        assert abs(mesh.vertices[:, 2].min()) < 1e-4
        assert np.isfinite(mesh.vertices).all() and np.isfinite(mesh.uv).all()
        assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=0.02)
        assert mesh.faces.max() < len(mesh.vertices) and 0 <= mesh.part.min() and mesh.part.max() < 8
        assert facing(mesh) < 0.01
        assert all(skin.texture.min() >= 0 and skin.texture.max() < 1.4 for skin in model.surface.skins)
        if model.top is not None:
            height, outline = model.top
            assert 0 <= height <= size[2] + 1e-4 and np.abs(outline).max() <= size[:2].max() / 2 + 0.02


@pytest.mark.parametrize("category", FAMILIES)
def test_every_family_varies(category: str) -> None:
    assert len({model.mesh.vertices.tobytes() for model in families(category, "train", 6)}) == 6


@pytest.mark.usefixtures("parametric")
def test_splits_share_no_object() -> None:
    for category in available("train"):
        train = {build(category, i, "train").mesh.vertices.tobytes() for i in range(5)}
        assert not train & {build(category, i, "test").mesh.vertices.tobytes() for i in range(5)}, category


@pytest.mark.usefixtures("parametric")
def test_one_in_five_numbered_instances_is_for_testing() -> None:
    """A mug the training never saw is one that neither its number nor its profile gives away."""
    streams: dict[str, set[bytes]] = {}
    for split, count in (("train", 40), ("test", 10)):
        streams[split] = {build("can", i, split).mesh.vertices.tobytes() for i in range(count)}
        assert len(streams[split]) == count
    assert not streams["train"] & streams["test"]


@pytest.mark.parametrize("split", ["train", "test", "open"])
def test_what_is_available_builds_the_same_twice(split: str) -> None:
    for category in available(split):
        first, second = build(category, 3, split), build(category, 3, split)
        assert first.category == category
        assert np.array_equal(first.mesh.vertices, second.mesh.vertices)
        assert all(
            np.array_equal(a.texture, b.texture) for a, b in zip(first.surface.skins, second.surface.skins, strict=True)
        )


@pytest.mark.usefixtures("parametric")
def test_without_assets_every_trained_tabletop_category_builds() -> None:
    assert not assets.installed()
    expected = {c.name for c in CATEGORIES.values() if c.on_table and not c.held_out} - {"table"}
    assert expected <= set(available("train"))
    assert not set(available("train")) & set(HELD_OUT)
    assert set(available("open")) & set(HELD_OUT)


def test_what_cannot_be_built_is_named() -> None:
    with pytest.raises(SegPointError, match="scissors"):
        build("scissors", 0, "train")
    with pytest.raises(SegPointError, match="unicorn"):
        build("unicorn", 0, "test")


@pytest.mark.parametrize("split", ["train", "test", "open"])
def test_recipes_hold_what_their_split_promises(split: str) -> None:
    drawn = [draw_recipe(np.random.default_rng(seed), split).categories for seed in range(300)]
    kinds = set(available(split))
    for categories in drawn:
        assert 1 <= len(categories) <= 12 and set(categories) <= kinds
        strange = [c for c in categories if c in HELD_OUT]
        assert 1 <= len(strange) <= 3 if split == "open" else not strange
    several = np.mean([len(set(c)) < len(c) for c in drawn])
    assert several > 0.4


def test_recipes_come_to_every_category() -> None:
    drawn = {c for seed in range(900) for c in draw_recipe(np.random.default_rng(seed)).categories}
    assert drawn == {n for n in available("train") if CATEGORIES[n].on_table} - {"table"}


@pytest.mark.parametrize(
    "solid",
    [bar([(0, 0, 0, 0.01, 0.02), (0.1, 0.01, 0, 0.02, 0.01)], SOFT), tub(0.3, 0.2, 0.05, 0.004, 1.1, 0.02)],
)
def test_lofts_are_closed_and_face_outwards(solid: Mesh) -> None:
    assert open_edges(solid) == 0
    assert facing(solid) == 0
    corners = solid.vertices[solid.faces].astype(np.float64)
    assert np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0  # volume


def test_a_loft_is_the_same_whichever_way_its_rings_run() -> None:
    angle = np.arange(8) * np.pi / 4
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(8)], 1)
    for rings in (np.stack([ring, ring + (0, 0, 1)]), np.stack([ring + (0, 0, 1), ring]), np.stack([ring, ring + (0, 0,
                  1)])[:, ::-1]):  # fmt: skip
        assert facing(loft(rings)) == 0
        middle = loft(rings).vertices - (0, 0, 0.5)
        assert (np.einsum("ij,ij->i", middle, loft(rings).normals) > 0).all()
