"""A stage's curves and pictures for TensorBoard: ``tensorboard --logdir RUN/board``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """TensorBoard events of one stage, in ``folder``.

    enabled: whether this process writes; of several only the first should.   first_step: steps done when the stage
    begins or goes on. What an earlier process had written beyond it, TensorBoard no longer shows, so a resumed run has
    one value a step. Without TensorBoard nothing is written, and that is said once.
    """

    def __init__(self, folder: Path, enabled: bool, first_step: int = 0) -> None:
        self._folder, self._enabled, self._first_step = folder, enabled, first_step
        self._writer: SummaryWriter | None = None

    def scalars(self, step: int, values: Mapping[str, float], prefix: str = "") -> None:
        """One point on each of the curves "prefix/name"."""
        if writer := self._open(step):
            for name, value in values.items():
                writer.add_scalar(f"{prefix}/{name}" if prefix else name, value, step)

    def picture(self, step: int, name: str, picture: Path | np.ndarray) -> None:
        """A picture file, or an (h, w, 3) uint8 array."""
        if writer := self._open(step):
            if isinstance(picture, Path):
                with Image.open(picture) as image:
                    picture = np.asarray(image.convert("RGB"))
            writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, step: int) -> SummaryWriter | None:
        """The writer; its file begins with the first thing written, which is at ``step``."""
        if self._writer is None and self._enabled and _has_tensorboard():
            from torch.utils.tensorboard import SummaryWriter

            # A finished stage that is started again writes the step that it ends at once more.
            self._writer = SummaryWriter(str(self._folder), purge_step=min(step, self._first_step + 1), flush_secs=30)
        return self._writer


@cache  # so that it is said once
def _has_tensorboard() -> bool:
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        tqdm.write(f"no curves for TensorBoard ({error}): pip install tensorboard")
        return False
    return True
