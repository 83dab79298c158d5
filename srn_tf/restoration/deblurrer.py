"""Deblurring: arrays in, arrays out."""

import contextlib
import functools
import logging
import math
import os
import pathlib

import numpy as np
import psutil
import tensorflow as tf
from scipy import fft

from srn_tf import UserError
from srn_tf.checkpoints import presets
from srn_tf.checkpoints.load import load, load_model, locate, stamp
from srn_tf.networks.configs import names_of
from srn_tf.networks.create import constant_weights
from srn_tf.options import PRECISIONS
from srn_tf.restoration.normalize import as_array, restore_any, restore_arrays
from srn_tf.restoration.tiling import SMALLEST_TILE, restore_in_tiles

# What a tile may take of the memory, in bytes, and of what is free. More than two million pixels
# at once are not faster.
TILE_MEMORY = 2 * 2**30
TILE_SHARE_OF_FREE_MEMORY = 0.5
# Measured: 370 to 800 in bfloat16, 510 for `color` in float32.
BYTES_PER_PIXEL = 1000
# Constant weights cost half a second and some twenty times their size in memory, and save ten
# milliseconds each time: oneDNN brings them into its order once, variables again for each picture.
# The numbers are the same.
_BEFORE_CONSTANT = 50
_MOST_CONSTANT = 16 * 2**20  # bytes


class Deblurrer:
    """Restores pictures of any size with a trained network.

    Args:
        checkpoint_or_model: a checkpoint file, a run folder (its newest checkpoint), or a network;
            by default the weights that come with this package, of `name` or the best ones.
        precision: float32, bfloat16, float16, or auto, which is bfloat16 on a GPU or
            processor that computes in it and float32 elsewhere, the same each time on a machine; of
            a checkpoint alone, as a network has its own.
        tile: longest side in pixels of what the network sees at once; larger pictures are restored
            in tiles, in bounded memory. By default as large as the memory allows.
        name: the model a checkpoint must be; by default what it says, or what fits it. Not for a
            network.

    Attributes:
        model: the network; shared by all that have the same file and precision.
        precision: the one in use.
        tile: in pixels; becomes smaller where a GPU runs out of memory.

    Raises:
        UserError: if the checkpoint cannot be used, the precision or tile is outside its rule, or a
            network is given with a precision or name.
    """

    def __init__(
        self,
        checkpoint_or_model=None,
        precision: str = "auto",
        tile: int | None = None,
        name: str | None = None,
    ):
        if precision not in ("auto", *PRECISIONS):
            names = ", ".join(("auto", *PRECISIONS))
            raise UserError(f"precision must be one of {names}, not {precision!r}")
        if tile is not None and tile < SMALLEST_TILE:
            raise UserError(f"tile must be at least {SMALLEST_TILE} pixels, not {tile}")
        self._path, self._name, self._faster, self._restored = None, name, None, 0
        if isinstance(checkpoint_or_model, str | pathlib.Path | None):
            precision = fastest_precision() if precision == "auto" else precision
            # Weights that do not learn can be stored as they are used: the same numbers, and no
            # casts with each picture, as a "mixed" policy has.
            self._path = path = locate(checkpoint_or_model, name)
            self.model, self._steps, self._faster = _load(path, stamp(path), precision, name)
        elif precision != "auto" or name is not None:
            what = "name" if name is not None else "precision"
            raise UserError(f"{what} is of a checkpoint; a network that is given has its own")
        else:
            self.model = checkpoint_or_model
            self._steps = _compile_steps(self.model)
        self.precision = self.model.dtype_policy.compute_dtype
        self.tile = tile or _tile_for_memory()

    @classmethod
    def from_preset(cls, preset, **options) -> "Deblurrer":
        """One with weights that have a name, which are fetched if they must be.

        Args:
            preset: a name of the registry, such as "fast"; `hf://user/name`; or a folder of
                `save_to_preset`, or whatever else `Deblurrer` takes as a checkpoint.
            **options: as for `Deblurrer`.

        Raises:
            UserError: if there is no such preset, it cannot be fetched, or as `Deblurrer`.
        """
        return cls(presets.locate(preset), **options)

    def save_to_preset(self, folder) -> None:
        """Writes a folder for a hub of models (see `checkpoints.hub`), in float32.

        Raises:
            UserError: if the folder exists.
        """
        from srn_tf.export import export, model_card

        # A checkpoint is read anew: what is in use may have been rounded to bfloat16.
        model, name, origin = self.model, names_of(self.model.config)[0], {}
        if self._path:
            name, model, origin = load(self._path, "float32", self._name)
        export(model, folder, "hub", model_card(name, model, origin))

    def deblur(self, image):
        """The restored picture.

        A one-channel model restores R, G and B as a batch of three, as the authors' program does.
        For a colour model gray is repeated, and the mean of its channels taken.

        Args:
            image: an array, or what NumPy makes one of, such as a tensor: uint8, uint16 or
                floating-point in [0, 1], [height, width] or [height, width, channels] with 1
                (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGB and alpha) channels. Or a picture of
                Pillow's of such a kind; palettes become colours. Or the path of a file, a str or a
                pathlib.Path.

        Returns:
            An array of the same shape and dtype, integers rounded; alpha as it was. For a picture
            of Pillow's one, with its `info`; for a path the array of its pixels.

        Raises:
            UserError: for a picture of another kind, or a file that cannot be read.
            OSError: if a file cannot be opened.
            MemoryError: if even small tiles do not fit into the memory.
        """
        return restore_any(image, self.deblur_batch)

    def deblur_batch(self, images, on_tile=lambda done, total: None) -> np.ndarray:
        """The same for pictures of equal size, [batch, height, width] or with channels behind.

        `on_tile` is called after each tile with how many are done, and how many there are, over all
        scales; of a batch that is restored in parts, for each anew.
        """
        config = self.model.config
        restore = functools.partial(self._restore, on_tile=on_tile)
        return restore_arrays(as_array(images), config.channels, restore, config.input_channels)

    def _restore(self, blurred: np.ndarray, peak, on_tile) -> np.ndarray:
        """float32 [batch, height, width, channels] in [0, 1] from integers up to `peak`."""
        config = self.model.config
        if config.candidates and blurred.shape[-1] == config.channels:
            return self._choose(blurred.astype(np.float32) / np.float32(peak), on_tile)
        height, width = blurred.shape[1:3]
        multiple = config.size_multiple
        self._restored += 1
        if self._faster and self._restored == _BEFORE_CONSTANT:
            self._steps = self._faster()
        margins = [(0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)]
        padded = np.pad(blurred, margins, mode="edge")
        while True:
            at_once = max(1, self.tile**2 // (height * width))
            parts = [padded[i : i + at_once] for i in range(0, len(padded), at_once)]
            try:
                restored = [
                    restore_in_tiles(self._steps, part, peak, config, self.tile, on_tile)
                    for part in parts
                ]
                break
            except tf.errors.ResourceExhaustedError:
                self._use_smaller_tiles(padded.shape)
        whole = restored[0] if len(restored) == 1 else np.concatenate(restored)
        return whole[:, :height, :width]

    def _choose(self, pictures: np.ndarray, on_tile) -> np.ndarray:
        """The same by a network that is given what deconvolution makes of the pictures, which are
        float32 [batch, height, width, channels] in [0, 1]."""
        from srn_tf.deconvolution.candidates import candidates

        with fft.set_workers(len(os.sched_getaffinity(0))):
            found = [candidates(picture) for picture in pictures]
        stacks = [
            np.concatenate([picture, *made.pictures], axis=-1, dtype=np.float32)
            for picture, made in zip(pictures, found, strict=True)
        ]
        chosen = self._restore(np.stack(stacks), 1, on_tile)
        return np.stack([made.improve(p) for made, p in zip(found, chosen, strict=True)])

    def _use_smaller_tiles(self, shape) -> None:
        """Halves the tile, from what of it these pictures filled.

        Raises:
            MemoryError: if it is as small as it can be.
        """
        count, height, width, _ = shape
        filled = min(self.tile, max(height, width, math.isqrt(count * height * width)))
        if filled <= SMALLEST_TILE:
            raise MemoryError(f"not enough memory, not even for tiles of {filled} pixels")
        smaller = max(SMALLEST_TILE, filled // 2)
        logging.getLogger("srn_tf").warning(
            "out of memory with tiles of %d pixels; going on with %d", self.tile, smaller
        )
        self.tile = smaller


@functools.lru_cache(maxsize=2)  # of the size of a network each
def _load(path: pathlib.Path, stamp, precision: str, name: str | None) -> tuple:
    """The network of a checkpoint, its compiled steps, and what compiles them with its weights as
    constants, or None for large ones; `stamp` tells what was written anew."""
    model = load_model(path, precision, name)
    small = sum(variable.numpy().nbytes for variable in model.variables) <= _MOST_CONSTANT
    faster = functools.cache(lambda: _compile_steps(model, constant=True)) if small else None
    return model, _compile_steps(model), faster


def _compile_steps(model, constant: bool = False) -> list:
    """For each scale the function that `restore_in_tiles` needs; one trace each for all sizes."""
    channels, last = model.config.channels, model.config.scales - 1
    blurred = tf.TensorSpec((None, None, None, model.config.input_channels), tf.float32)
    picture = tf.TensorSpec((None, None, None, channels), tf.float32)
    steps, state = [], None
    weights = constant_weights(model) if constant else contextlib.nullcontext

    def step_of(scale, blurred, *before):
        with weights():
            if not before:
                return model.step(scale, blurred, blurred[..., :channels], None)
            estimate, state = model.step(scale, blurred, *model.enlarge(scale, *before))
            return estimate, state if scale < last else ()

    # With variables shared between scales, all but the coarsest compute the same.
    alike = getattr(model.config, "shared", False)
    for scale in range(model.config.scales):
        if alike and scale > 1:
            steps.append(functools.partial(_first_of, steps[1]) if scale == last else steps[1])
            continue
        step = tf.function(functools.partial(step_of, scale), autograph=False)
        before = (picture, state) if scale else ()
        step = step.get_concrete_function(blurred, *before)
        _, state = step.structured_outputs
        state = tuple(tf.TensorSpec(part.shape, part.dtype) for part in state)
        steps.append(step)
    return steps


def _first_of(step, *inputs) -> tuple:
    """The estimate of a step, without the state that no further one needs."""
    return step(*inputs)[0], ()


def _tile_for_memory() -> int:
    """The side in pixels of the largest tile that the memory at hand allows."""
    free = psutil.virtual_memory().available
    pixels = min(TILE_MEMORY, free * TILE_SHARE_OF_FREE_MEMORY) / BYTES_PER_PIXEL
    return max(SMALLEST_TILE, int(pixels**0.5) // 64 * 64)


@functools.cache
def fastest_precision() -> str:
    """bfloat16 or float32: what `auto` stands for here, the same each time.

    A GPU decides, if there is one, else the processor. Nothing is measured: other programs would
    have a say in it.
    """
    if gpus := tf.config.get_visible_devices("GPU"):
        details = map(tf.config.experimental.get_device_details, gpus)
        # Those before 8.0 compute bfloat16 in float32. Others than NVIDIA's do not say.
        oldest = min(each.get("compute_capability", (8, 0)) for each in details)
        return "bfloat16" if oldest >= (8, 0) else "float32"
    return precision_of_processor(_processor_flags())


def batch_size_here() -> int:
    """How many pictures of equal size the devices here gain from getting at once."""
    return 8 if tf.config.get_visible_devices("GPU") else 1


def precision_of_processor(has: set[str]) -> str:
    """The same of a processor with these features, as Linux names them.

    AMX multiplies whole matrices. With AVX512_BF16 alone the forward pass of `color` takes half the
    time of float32 on an AMD EPYC, 1.9 times as long on an Intel Xeon.
    """
    fast = "amx_bf16" in has or {"avx512_bf16", "AuthenticAMD"} <= has
    return "bfloat16" if fast else "float32"


_SAID = ("vendor_id", "flags")


def _processor_flags() -> set[str]:
    """Vendor and features of the first processor; none where the system is not Linux on x86."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    found = (next((line for line in lines if line.startswith(key)), "") for key in _SAID)
    return set(" ".join(found).split())
