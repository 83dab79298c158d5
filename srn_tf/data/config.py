"""What determines pairs: which, what blur, how they are changed, and how frames become some."""

import dataclasses

from srn_tf import UserError
from srn_tf.options import LIGHTS, TARGETS, check_rules


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Training pairs.

    Attributes:
        datalist: file of pairs, `sharp blurred` a line; one of this, `packed` and `sharp_path`.
        data_root: folder the paths of the list start from.
        packed: the pairs of a list in one file, as `packed.pack` writes it.
        sharp_path: folder of sharp photographs to make blur from.
        min_blur, max_blur: extent of the synthesized camera path, in pixels.
        magnify, keep_sharp, shallow: see `photographs.SyntheticSource`.
        target, light, moving_part: see `camera_shake.shake`.
        camera_noise, highlights, optics: see `camera.Camera`.
        flips, turns, noise, saturation, jpeg: see `augmentation.AugmentedSource`; not in the paper.
        crop_size: side of the square crops, in pixels.
    """

    datalist: str = ""
    data_root: str = ""
    packed: str = ""
    sharp_path: str = ""
    min_blur: float = 0.0
    max_blur: float = 16.0
    magnify: float = 1.0
    keep_sharp: float = 0.0
    shallow: float = 0.0
    target: str = "middle"
    light: str = "mixed"
    moving_part: float = 0.3
    camera_noise: float = 0.0
    highlights: float = 0.0
    optics: float = 0.0
    flips: bool = False
    turns: bool = False
    noise: float = 0.0
    saturation: float = 0.0
    jpeg: int = 0
    crop_size: int = 256

    def __post_init__(self):
        if sum(map(bool, (self.datalist, self.packed, self.sharp_path))) != 1:
            raise UserError("--packed, --datalist or --sharp_path is needed, and only one of them")
        rules = [
            ("max_blur", 0 <= self.max_blur <= 256, "0 to 256 pixels"),
            ("min_blur", 0 <= self.min_blur <= self.max_blur, "0 to max_blur pixels"),
            ("magnify", 1 <= self.magnify <= 4, "1 (off) to 4"),
            ("keep_sharp", 0 <= self.keep_sharp < 1, "0 (off) or more, below 1"),
            ("shallow", 0 <= self.shallow <= 1, "0 (off) to 1"),
            ("target", self.target in TARGETS, f"one of {', '.join(TARGETS)}"),
            ("light", self.light in LIGHTS, f"one of {', '.join(LIGHTS)}"),
            ("moving_part", 0 <= self.moving_part <= 1, "0 to 1"),
            ("camera_noise", 0 <= self.camera_noise <= 100, "0 (off) to 100"),
            ("highlights", 0 <= self.highlights <= 1, "0 (off) to 1"),
            ("optics", 0 <= self.optics <= 0.5, "0 (off) to 0.5"),
            ("noise", 0 <= self.noise <= 255, "0 (off) to 255 grey levels"),
            ("saturation", 0 <= self.saturation <= 1, "0 (off) to 1"),
            ("jpeg", 0 <= self.jpeg <= 100, "0 (off) to 100"),
            ("crop_size", self.crop_size >= 1, "1 or more"),
        ]
        check_rules(self, rules)

    def without_paths(self) -> dict:
        """What must be the same on all workers, which may keep their data in different places."""
        values = dataclasses.asdict(self)
        return {name: values[name] for name in values.keys() - set(PATHS)}


# The fields that say where the pairs are.
PATHS = ("datalist", "data_root", "packed", "sharp_path")


@dataclasses.dataclass(frozen=True)
class FrameRules:
    """How frames become pairs.

    Attributes:
        min_frames, max_frames: odd; each pair is of an odd number of frames between them.
        linear_light: average light (gamma 2.2) instead of stored values.
        min_motion: mean length of the optical flow from the first frame to the last, in pixels,
            under which frames count as static.
        max_change: mean difference between thumbnails of two frames, in grey levels of 255, above
            which they belong to different scenes.
        seed: of the numbers of frames.
    """

    min_frames: int = 7
    max_frames: int = 13
    linear_light: bool = False
    min_motion: float = 1.0
    max_change: float = 20.0
    seed: int = 0

    def __post_init__(self):
        for name in ("min_frames", "max_frames"):
            if getattr(self, name) % 2 == 0 or getattr(self, name) < 3:
                raise UserError(f"{name} must be odd, 3 or more, not {getattr(self, name)}")
        if self.min_frames > self.max_frames:
            raise UserError(f"min_frames {self.min_frames} is above max_frames {self.max_frames}")
