"""What a bundle is made of: every size, radius, switch and limit, each explained where it stands.

A bundle is a folder ``config.json`` + ``model.safetensors`` (+ a model card). ``BundleConfig`` is the whole of
``config.json``; the defaults are those of the small model that ships. Unknown keys and impossible values raise
`SegPointError` naming the key: a bundle may come from anywhere, so no value may stand for terabytes or for ever.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import sys
import typing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError
from segpoint.untrusted import read_json, within

DEFAULT_BUNDLE = "segpoint-tabletop"

_COUNT = (1, 1 << 16)
_METRES = (0.0, 1e6)
LARGEST_TENSOR = 1 << 30  # numbers, 4 GB of float32
_LLAMA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SegPointError(message)


def _check_ranges(settings: Any, where: str, **ranges: tuple[float, float]) -> None:
    """Raise `SegPointError` unless every number in the fields named lies within its range; NaN lies in none."""
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        for number in value if isinstance(value, tuple) else (value,):
            _require(
                number is None or low <= number <= high,
                f"{where}{name}={value!s:.40} must lie between {low} and {high}",
            )


@dataclass(frozen=True)
class CloudConfig:
    """How a sensor's cloud becomes the N points that the network sees (`segpoint.cloud`).

    points: N. Clouds are voxelised to at most this many and padded to exactly this many (fixed shapes).
    min_points: fewer voxels than this is no scene and raises.
    range_m: points nearer or farther than this from the sensor are left out (and never targets); maps have none.
    min_voxel_m: the finest voxel edge; a cloud of few points is not split further than this.
    find_support: look for the dominant plane (table, floor), level the cloud on it, and spend the fine voxels
        on what stands there. Without one (or when switched off) all voxels have one size. Our choice.
    support_tolerance_m: half thickness of that plane at 1 m range; grows with range² like a depth camera's noise.
    support_height_m: what stands higher above the support than this, and than half its extent, is background.
    coarsening: voxel edge of support and background over that of the objects; far background has three and nine times
        that.
    unit_m: network coordinates are metres divided by this, about the scene's middle, so that absolute size keeps
        its meaning; None scales each cloud into the unit sphere instead, as Uni3D's published checkpoints expect.
    """

    points: int = 4096
    min_points: int = 32
    range_m: tuple[float, float] = (0.15, 8.0)
    min_voxel_m: float = 0.004
    find_support: bool = True
    support_tolerance_m: float = 0.008
    support_height_m: float = 0.6
    coarsening: float = 4.0
    unit_m: float | None = 0.2

    def __post_init__(self) -> None:
        _check_ranges(self, "cloud.", points=(4, 1 << 20), range_m=_METRES, min_voxel_m=(1e-4, 1e3),
                      coarsening=(1, 1e3), support_tolerance_m=_METRES, support_height_m=_METRES,
                      unit_m=(1e-3, 1e6))  # fmt: skip
        _require(self.points >= self.min_points >= 4, f"cloud.points={self.points} must be at least min_points ≥ 4")
        _require(0 <= self.range_m[0] < self.range_m[1], f"cloud.range_m={self.range_m} must be an increasing pair")


@dataclass(frozen=True)
class EncoderConfig:
    """The Uni3D point encoder ℰ (`segpoint.network.encoder`).

    tokens, patch: N1 groups (by FPS) of this many nearest points. Uni3D's own: 512 groups of 64.
    width, depth, heads, hidden: of the transformer; depth is a multiple of 4 (four blocks of l layers).
    block: "fused_swiglu" (Uni3D tiny, small), "split_swiglu_norm" (base, large) or "gelu" (giant).
    stem_width, group_channels: of the mini-PointNet that makes one token of a patch (512, 512 as published).
    adaptation: how a pretrained ℰ is adapted: "frozen" (with or without GEM: the paper's), "full", "lora" or "mlp".
        Our own training stage 1 is ℰ's pretraining: it trains all of it, whatever stands here.
    """

    tokens: int = 128
    patch: int = 32
    width: int = 192
    depth: int = 8
    heads: int = 3
    hidden: int = 512
    block: str = "fused_swiglu"
    stem_width: int = 128
    group_channels: int = 192
    adaptation: str = "frozen"

    def __post_init__(self) -> None:
        _check_ranges(self, "encoder.", tokens=_COUNT, patch=_COUNT, width=_COUNT, depth=(4, 256), heads=_COUNT,
                      hidden=_COUNT, stem_width=_COUNT, group_channels=_COUNT)  # fmt: skip
        _require(self.depth % 4 == 0, f"encoder.depth={self.depth} must be a multiple of 4 (four blocks)")
        _require(self.width % self.heads == 0, f"encoder.width={self.width} must be a multiple of heads={self.heads}")
        _require(
            self.adaptation in ("frozen", "full", "lora", "mlp"),
            f"encoder.adaptation={self.adaptation!r} must be frozen, full, lora or mlp",
        )


@dataclass(frozen=True)
class GemConfig:
    """The Geometric Enhancer Module 𝒢 (`segpoint.network.gem`).

    inject: add the geometric features before each encoder block (the paper's GEM on/off). g_f itself is also
        what GFP is guided by, so it is computed whenever either is on.
    neighbours, dilation: each point's table takes every ``dilation``-th of its nearest ``neighbours · dilation``.
    radius_voxels: the kernel's radius in voxel edges; neighbours beyond it do not count.
    kernel_points: of KPConv (15 as published).  widths: of the three layers; the last one is D.
    """

    inject: bool = True
    neighbours: int = 16
    dilation: int = 2
    radius_voxels: float = 3.5
    kernel_points: int = 15
    widths: tuple[int, int, int] = (32, 64, 96)

    def __post_init__(self) -> None:
        _check_ranges(self, "gem.", neighbours=(1, 1024), dilation=(1, 64), radius_voxels=(1e-3, 1e3),
                      kernel_points=(1, 64), widths=_COUNT)  # fmt: skip
        _require(len(self.widths) == 3, f"gem.widths={self.widths} must be three numbers (three KPConv blocks)")


@dataclass(frozen=True)
class GfpConfig:
    """Geometric-guided Feature Propagation 𝒫 (`segpoint.network.gfp`).

    enabled: off is the vanilla baseline's plain PointNet++ upsampling of f_5.
    levels: (N2, N3): f_4 is propagated to N2 points, f_3 to N3; N1 < N2 < N3 < N.
    neighbours: k source points that each target centre attends to.
    width: of f̃ and of the mask features f_P (256 in the paper); also the width of ĥ_seg.
    """

    enabled: bool = True
    levels: tuple[int, int] = (512, 1024)
    neighbours: int = 8
    width: int = 128

    def __post_init__(self) -> None:
        _check_ranges(self, "gfp.", levels=_COUNT, neighbours=(1, 1024), width=(4, 1 << 16))


@dataclass(frozen=True)
class LanguageConfig:
    """The LLM ℱ with LoRA (`segpoint.network.language`).

    backbone: a name under the cache's ``backbones/``: what ``segpoint setup`` puts there, or a folder (or a link to
        one) of any LlamaForCausalLM. A path, with a slash in it (``./llm``), is one within the bundle.
    lora_rank, lora_alpha, lora_dropout, lora_targets: the paper is silent; LISA's values. Rank 0 switches LoRA off.
    max_instruction_tokens, max_answer_tokens: limits; a longer instruction is an error, not a truncation.
    quantization: "int8" or "nf4" hold the backbone's weights in 8 or 4 bits (bitsandbytes, an NVIDIA GPU): LLaMA2-7B
        in 7 or 4 GB instead of 13. "none": in bfloat16, or float32 on a CPU that does not multiply that.
    """

    backbone: str = "smollm2-135m-instruct"
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")
    max_instruction_tokens: int = 96
    max_answer_tokens: int = 24
    quantization: str = "none"

    def __post_init__(self) -> None:
        _check_ranges(self, "language.", lora_rank=(0, 1024), lora_alpha=(0, 1 << 16), lora_dropout=(0.0, 0.99),
                      max_instruction_tokens=(1, 4096), max_answer_tokens=(1, 1024))  # fmt: skip
        _require(
            self.lora_rank == 0 or 0 < len(set(self.lora_targets) & set(_LLAMA_LAYERS)) == len(self.lora_targets),
            f"language.lora_targets={self.lora_targets} must be some of {', '.join(_LLAMA_LAYERS)}",
        )
        _require(
            self.quantization in ("none", "int8", "nf4"),
            f"language.quantization={self.quantization!r} must be none, int8 or nf4",
        )


@dataclass(frozen=True)
class ReaderConfig:
    """The mask reader between γ and the dot product (`segpoint.network.reader`): our departure from the paper.

    layers: 0 is the paper exactly (ĥ_seg = γ(ŷ_seg)). Otherwise ĥ_seg is refined by this many cross-attention
        layers, in which <SEG> and the question's words look at the scene's points. A small LLM needs that help to
        settle "the box behind the mug"; LLaMA2-7B may not.
    heads: of its attention.
    """

    layers: int = 3
    heads: int = 4

    def __post_init__(self) -> None:
        _check_ranges(self, "reader.", layers=(0, 64), heads=_COUNT)


@dataclass(frozen=True)
class BundleConfig:
    """Everything in ``config.json``.

    mask_threshold: a point is a target above this score.
    presence_weight: how much the reader's presence (log-odds) counts when the LLM chooses between a target and
        "There is no mask."; 0 leaves the choice to the LLM alone, as in the paper.
    presence_bias: log-odds added to that, in favour of a target; negative makes the model say no more often.
    cluster_m, cluster_points: targets closer than this are one instance; smaller clusters are dropped.
    weak_target: so are clusters whose mean score is below this share of the best one's: patches of the right colour on
        the wrong thing.
    """

    cloud: CloudConfig = field(default_factory=CloudConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    gem: GemConfig = field(default_factory=GemConfig)
    gfp: GfpConfig = field(default_factory=GfpConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    mask_threshold: float = 0.5
    presence_weight: float = 1.0
    presence_bias: float = 0.0
    cluster_m: float = 0.03
    cluster_points: int = 50
    weak_target: float = 0.8

    def __post_init__(self) -> None:
        _check_ranges(self, "", mask_threshold=(0, 1), weak_target=(0, 1), presence_weight=(0, 1e6),
                      presence_bias=(-1e6, 1e6), cluster_m=(1e-4, 1e6), cluster_points=(1, 1 << 31))  # fmt: skip
        heads, width = self.reader.heads, self.gfp.width
        _require(width % heads == 0, f"reader.heads={heads} must divide gfp.width={width}")
        sizes = (self.encoder.tokens, *self.gfp.levels, self.cloud.points)
        _require(
            all(small < large for small, large in zip(sizes, sizes[1:], strict=False)),
            f"sizes must increase: encoder.tokens < gfp.levels < cloud.points, got {sizes}",
        )
        self._check_memory()

    def _check_memory(self) -> None:
        """The largest tensors of the network, none of which one value alone determines."""
        cloud, encoder, gem, gfp = self.cloud.points, self.encoder, self.gem, self.gfp
        tensors = {
            "encoder.tokens · patch · stem_width": encoder.tokens * encoder.patch * encoder.stem_width,
            "encoder.tokens² · heads": encoder.tokens**2 * encoder.heads,
            "encoder.tokens · cloud.points": encoder.tokens * cloud,
            "cloud.points · gem.neighbours · dilation": cloud * gem.neighbours * gem.dilation,
            "cloud.points · gem.neighbours · widths": cloud * gem.neighbours * max(gem.widths),
            "cloud.points · gem.kernel_points · widths": cloud * gem.kernel_points * max(gem.widths),
            "cloud.points · gfp.neighbours · width": cloud * gfp.neighbours * gfp.width,
        }
        name, numbers = max(tensors.items(), key=lambda item: item[1])
        _require(
            numbers <= LARGEST_TENSOR,
            f"{name} is {numbers:.1e}, which asks for {4e-9 * numbers:,.0f} GB at once: make one of them smaller",
        )

    @property
    def uses_geometry(self) -> bool:
        """Whether g_f is needed at all (not in the vanilla baseline)."""
        return self.gem.inject or self.gfp.enabled

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BundleConfig:
        return build(cls, values, "config")

    def save(self, folder: Path) -> None:
        """Write ``config.json``; a backbone that lies in the folder keeps a path that moves with it."""
        values, backbone = self.to_dict(), Path(self.language.backbone)
        if backbone.is_absolute() and backbone.is_relative_to(folder.resolve()):
            values["language"]["backbone"] = f"./{backbone.relative_to(folder.resolve())}"
        (folder / "config.json").write_text(json.dumps(values, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> BundleConfig:
        """A bundle's ``config.json``; the path of a backbone within the bundle is absolute in what is returned.

        Raises `SegPointError` where there is none, where it cannot be used, or where it leads out of the bundle.
        """
        path = Path(folder) / "config.json"
        if not path.is_file():
            raise SegPointError(
                f"no bundle at {folder}: expected {path}; give a folder with config.json and model.safetensors"
            )
        config = cls.from_dict(read_json(path, "the bundle is damaged, get it again"))
        backbone = _backbone(Path(folder), config.language.backbone)
        return replace(config, language=replace(config.language, backbone=backbone))


def _backbone(bundle: Path, given: str) -> str:
    """A backbone's name as it is, or the absolute path of one that the bundle brings."""
    if re.fullmatch(r"\w[\w.-]*", given):
        return given
    try:
        return str(within(bundle, given))
    except (OSError, ValueError) as error:  # also a name that no file can have
        raise SegPointError(
            f"language.backbone={given!r:.80} in {bundle / 'config.json'} must lie within the bundle; for a model of "
            "your own put a link to its folder into the cache's backbones/ and give the link's name"
        ) from error


def build(kind: type, values: Any, where: str) -> Any:
    """A dataclass from plain JSON or YAML values, nested ones too; unknown keys and wrong types are errors."""
    _require(isinstance(values, dict), f"{where} must be a table of settings, got {type(values).__name__}")
    kinds = _kinds(kind)
    unknown = sorted(set(values) - set(kinds))
    _require(not unknown, f"{where} has unknown settings {unknown!s:.200}; known are {sorted(kinds)}")
    try:
        return kind(**{name: _value(kinds[name], value, f"{where}.{name}") for name, value in values.items()})
    except TypeError as error:  # a setting without a default is missing
        raise SegPointError(f"{where}: {error}") from error


_kinds = functools.cache(typing.get_type_hints)  # some 100 µs, and a record has 100,000 rows


def _value(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return build(kind, value, where)  # type: ignore[arg-type]
    if typing.get_origin(kind) is tuple:
        _require(isinstance(value, list | tuple), f"{where} must be a list, got {value!r:.80}")
        item, *more = typing.get_args(kind)
        _require(
            more == [...] or len(value) == 1 + len(more), f"{where} must be {1 + len(more)} values, got {value!r:.80}"
        )
        items = [item] * len(value) if more == [...] else [item, *more]
        return tuple(_value(kind, v, where) for kind, v in zip(items, value, strict=True))
    if typing.get_origin(kind) is dict:
        _require(isinstance(value, dict), f"{where} must be a table, got {value!r:.80}")
        item = typing.get_args(kind)[1]
        return {name: _value(item, v, f"{where}.{name}") for name, v in value.items()}
    allowed = typing.get_args(kind) or (kind,)
    nested = [one for one in allowed if dataclasses.is_dataclass(one)]
    if nested and value is not None:
        return build(nested[0], value, where)  # type: ignore[arg-type]
    if float in allowed and type(value) is int:
        value = float(value) if abs(value) < 2**63 else math.inf
    _require(type(value) in allowed, f"{where} must be {' or '.join(k.__name__ for k in allowed)}, got {value!r:.80}")
    return value


def default_bundle() -> Path:
    """The folder of the bundle that ships: beside the package in a checkout, under share/ where installed."""
    candidates = [
        Path(__file__).resolve().parent.parent / "models" / DEFAULT_BUNDLE,
        Path(sys.prefix) / "share" / "segpoint_ros" / "models" / DEFAULT_BUNDLE,
    ]
    # A colcon workspace installs to <prefix>/lib/pythonX.Y/site-packages and <prefix>/share.
    candidates += [p / "share" / "segpoint_ros" / "models" / DEFAULT_BUNDLE for p in Path(__file__).resolve().parents]
    for folder in candidates:
        if (folder / "config.json").is_file():
            return folder
    raise SegPointError(
        f"the default bundle {DEFAULT_BUNDLE} is not installed (looked at {candidates[0]} and {candidates[1]}); "
        "install the package again or give a bundle folder"
    )
