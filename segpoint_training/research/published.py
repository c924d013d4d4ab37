"""What others published on the research data sets, in percent: the rows that our figures stand below.

Figures of a method are those its source reports on the data set's validation split (S3DIS: Area 5); where a paper
reports less than we measure, the place stays empty. Acc of Instruct3D is the share of sentences with IoU > 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

# The measures that a data set's table has, in its order, by the names they have in our records.
MEASURES = {
    "instruct3d": ("acc50", "miou"),
    "scanrefer": ("miou", "acc25", "acc50"),
    "nr3d": ("miou", "acc25", "acc50"),
    "sr3d": ("miou", "acc25", "acc50"),
    "multi3drefer": ("miou", "f1_25", "f1_50"),
    "own": ("miou", "acc25", "acc50"),
    "scannet": ("miou",),
    "scannet200": ("miou", "head", "common", "tail"),
    "s3dis": ("miou",),
    "scannetpp": ("miou",),
}
HEADS = {
    "miou": "mIoU",
    "acc25": "Acc@0.25",
    "acc50": "Acc@0.5",
    "f1_25": "F1@0.25",
    "f1_50": "F1@0.5",
    "head": "head",
    "common": "common",
    "tail": "tail",
}


@dataclass(frozen=True)
class Published:
    """A method's figures on one data set: percent by the names in HEADS.   source: where they were read."""

    method: str
    source: str
    figures: dict[str, float]


SEGPOINT = "SegPoint, ECCV 2024"
_M3DREF, _REFMASK, _LLAVA = "Multi3DRefer, ICCV 2023", "RefMask3D, ACM MM 2024", "3D-LLaVA, CVPR 2025"
_CFNET, _MORE = "CFNet's repository", "MORE-STEM's authors"

# The paper's own tables: what it compares with, then itself.
COMPARED: dict[str, tuple[Published, ...]] = {
    "instruct3d": (
        Published("ScanRefer (two stages)", SEGPOINT, {"acc50": 12.0, "miou": 6.9}),
        Published("M3DRef-CLIP (two stages)", SEGPOINT, {"acc50": 18.1, "miou": 12.8}),
        Published("BUTD-DETR*", SEGPOINT, {"acc50": 16.3, "miou": 10.9}),
        Published("EDA*", SEGPOINT, {"acc50": 16.6, "miou": 12.1}),
        Published("SegPoint† (vanilla)", SEGPOINT, {"acc50": 21.8, "miou": 16.1}),
        Published("SegPoint", SEGPOINT, {"acc50": 31.6, "miou": 27.5}),
    ),
    "scanrefer": (
        Published("M3DRef-CLIP", SEGPOINT, {"miou": 35.7}),
        Published("3D-STMN", SEGPOINT, {"miou": 39.5}),
        Published("SegPoint", SEGPOINT, {"miou": 41.7}),
    ),
    "nr3d": (
        Published("M3DRef-CLIP", SEGPOINT, {"miou": 27.0}),
        Published("SegPoint", SEGPOINT, {"miou": 32.2}),
    ),
    "multi3drefer": (
        Published("M3DRef-CLIP", SEGPOINT, {"miou": 32.6}),
        Published("M3DRef-CLIP (boxes)", _M3DREF, {"f1_25": 42.8, "f1_50": 38.4}),
        Published("SegPoint", SEGPOINT, {"miou": 36.1}),
    ),
    "scannet": (
        Published("PTv2", SEGPOINT, {"miou": 75.4}),
        Published("OctFormer", SEGPOINT, {"miou": 75.7}),
        Published("Swin3D", SEGPOINT, {"miou": 75.5}),
        Published("SegPoint", SEGPOINT, {"miou": 74.1}),
    ),
    "scannet200": (
        Published("PTv2", SEGPOINT, {"miou": 30.2}),
        Published("OctFormer", SEGPOINT, {"miou": 32.6}),
        Published("SegPoint", SEGPOINT, {"miou": 35.3}),
    ),
    "s3dis": (
        Published("PTv2", SEGPOINT, {"miou": 71.6}),
        Published("Swin3D", SEGPOINT, {"miou": 72.5}),
        Published("SegPoint", SEGPOINT, {"miou": 72.4}),
    ),
    "scannetpp": (
        Published("KPConv (supervised)", SEGPOINT, {"miou": 30.0}),
        Published("SegPoint (open vocabulary)", SEGPOINT, {"miou": 19.3}),
    ),
}

# What the paper takes away or replaces, and what that leaves of its mIoU on Instruct3D and on ScanRefer.
_PARTS = (
    ("no GEM, no GFP", 16.1, 30.3),
    ("no GFP", 21.4, 35.8),
    ("no GEM", 23.2, 38.1),
    ("encoder tuned, no GEM", 26.2, 39.1),
    ("LoRA in the encoder, no GEM", 24.8, 38.5),
    ("MLP adapters, no GEM", 23.1, 36.8),
)
ABLATED: dict[str, tuple[Published, ...]] = {
    "instruct3d": tuple(Published(method, SEGPOINT, {"miou": miou}) for method, miou, _ in _PARTS),
    "scanrefer": tuple(Published(method, SEGPOINT, {"miou": miou}) for method, _, miou in _PARTS),
}

LATER: dict[str, tuple[Published, ...]] = {
    "instruct3d": (Published("MORE-STEM", _MORE, {"acc50": 35.9, "miou": 31.4}),),
    "scanrefer": (
        Published("RefMask3D", _REFMASK, {"miou": 44.8}),
        Published("CFNet", _CFNET, {"miou": 51.4, "acc25": 61.6, "acc50": 56.7}),
        Published("MORE-STEM", _MORE, {"miou": 52.7}),
    ),
    "multi3drefer": (Published("3D-LLaVA", _LLAVA, {"miou": 42.7}),),
}


def benchmark_of(name: str) -> str:
    """The data set whose table a data set's figures belong into: Pointcept's files are the same scenes."""
    return name.removeprefix("pointcept-")


def published_on(name: str) -> tuple[tuple[Published, ...], ...]:
    """What is known of the data set called ``name``, in sections: the paper's table, its ablation, later work."""
    return tuple(rows[name] for rows in (COMPARED, ABLATED, LATER) if name in rows)
