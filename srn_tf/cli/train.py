"""srn-train: trains a deblurring network."""

import dataclasses
import os
import re

from absl import flags

from srn_tf import UserError
from srn_tf.atomic import require_writable
from srn_tf.checkpoints import places
from srn_tf.cli.command import (
    Flags,
    require,
    require_checkpoint,
    require_gpu,
    run,
    start_jax,
    start_tensorflow,
)
from srn_tf.data.config import PATHS, DataConfig
from srn_tf.networks.configs import MODELS, model_config
from srn_tf.options import BACKENDS, DECAYS, DEVICE_DATA, LIGHTS, LOSSES, PRECISIONS, TARGETS
from srn_tf.training.config import Feed, TrainingConfig

SUMMARY = """trains a deblurring network.

On pairs of a data list:
    srn-train --model color --datalist data_lists/gopro_train.txt --data_root GOPRO/train \\
        --run_dir runs/color
On sharp photographs alone, with blur made on the fly:
    srn-train --model color_lstm_residual --sharp_path photos --run_dir runs/photos
On, after an interruption: the same command and --resume.
The curves of runs, as a picture: srn-plot.
"""

_DATA_FIELDS = [field.name for field in dataclasses.fields(DataConfig)]
_FIELDS = [*dataclasses.fields(DataConfig), *dataclasses.fields(TrainingConfig)]
_DEFAULTS = {f.name: f.default for f in _FIELDS if f.default is not dataclasses.MISSING}
_LOOP = ("resume", "validate_every", "save_every", "log_every", "max_minutes", "minutes", "xla")
_HELD_OUT = ("val_datalist", "val_packed", "val_sharp_path")
# A flag on the left says something of one on the right: without any of those it is a mistake.
_BELONGS_TO = {
    "data_root": ("datalist",),
    "max_blur": ("sharp_path", "val_sharp_path"),
    "min_blur": ("sharp_path",),
    "magnify": ("sharp_path",),
    "keep_sharp": ("sharp_path",),
    "shallow": ("sharp_path",),
    "target": ("sharp_path",),
    "light": ("sharp_path",),
    "moving_part": ("sharp_path",),
    "camera_noise": ("sharp_path",),
    "highlights": ("sharp_path",),
    "optics": ("sharp_path",),
    "val_data_root": ("val_datalist",),
    "validate_every": _HELD_OUT,
}


def define_flags() -> flags.FlagValues:
    """The flags of the command; those of a field of a configuration have its name and default."""
    define = Flags(_DEFAULTS)
    define.choice("model", MODELS, "the network.", "lstm")
    define.integer("kernel_size", "instead of the model's own: 1, 3, 5 or 7.")
    define.integer("blocks", "blocks a stage, instead of the model's own.")
    define.optional_switch("norm", "normalise before each block, instead of the model's own.")
    define.optional_switch(
        "whitened", "squares of pixels as numbers that vary more alike; default: the model's own."
    )
    _define_data(define)
    _define_learning(define)
    define.string("run_dir", "folder of the run, for checkpoints and metrics.")
    define.switch("resume", "go on from the newest checkpoint of --run_dir.")
    define.integer("save_every", "steps between checkpoints.", 1000, low=1)
    define.integer("validate_every", "steps between validations.", 1000, low=1)
    define.integer("log_every", "steps between looks at the losses, and lines in a log.", 20, low=1)
    define.real("minutes", "make the run as long as it can be in so many minutes.", 0.0, low=0.0)
    define.real("max_minutes", "save and stop after so many minutes; 0: no bound.", 0.0, low=0.0)
    define.choice("backend", BACKENDS, "what to train on; default: KERAS_BACKEND, or tensorflow.")
    define.string("profile", "steps that TensorBoard's profiler looks at, as 100:110.")
    define.switch("xla", "compile with XLA, for GPUs; JAX always does.")
    define.device()
    define.integer("processes", "that make batches, on JAX; 0: as many as cores.", 0, 0, 1024)
    define.choice(
        "device_data", DEVICE_DATA, "whether a store lies in the device's memory, on JAX.", "auto"
    )
    return define.values


def _define_data(define: Flags) -> None:
    define.string("datalist", "file of pairs: `sharp blurred` a line.")
    define.string("data_root", "folder the paths of the data list start from.")
    define.string("packed", "file of srn-data pack, instead of a data list.")
    define.string("sharp_path", "folder of sharp photographs, instead of a data list.")
    define.real("max_blur", "largest extent of the camera's path, in pixels; with --sharp_path.")
    define.real("min_blur", "smallest extent, in pixels; with --sharp_path.")
    define.real("magnify", "enlarge half of the photographs by up to this; with --sharp_path.")
    define.real("keep_sharp", "part of the crops without blur, such as 0.1; with --sharp_path.")
    define.real("shallow", "part with parts out of focus, which stay so; with --sharp_path.")
    define.choice("target", TARGETS, "where the sharp picture lies on the path; with --sharp_path.")
    define.choice("light", LIGHTS, "what blur averages: light, values or either; --sharp_path.")
    define.real("moving_part", "part where something moves on its own; with --sharp_path.")
    define.real("camera_noise", "factor on a sensor's noise, such as 1; with --sharp_path.")
    define.real("highlights", "part with lights brighter than white; with --sharp_path.")
    define.real("optics", "part out of focus, and as much sharpened; with --sharp_path.")
    define.switch("flips", "mirror half of the pairs.")
    define.switch("turns", "turn the pairs by random right angles.")
    define.real("noise", "largest deviation of noise on blurred crops, in grey levels of 255.")
    define.real("saturation", "largest change of the distance from gray, such as 0.5; 0: off.")
    define.integer("jpeg", "lowest quality of JPEG that half the blurred crops get; 0: off.")
    define.integer("crop_size", "side of the random crops, in pixels.")
    define.string("val_datalist", "data list of held-out pairs, to validate with.")
    define.string("val_data_root", "folder its paths start from; default: --data_root.")
    define.string("val_packed", "file of srn-data pack, instead of it.")
    define.string("val_sharp_path", "folder of sharp photographs, instead of it.")


def _define_learning(define: Flags) -> None:
    define.integer("batch_size", "crops a step.")
    define.integer("epoch", "length of the run in passes over the data.", _DEFAULTS["epochs"])
    define.integer("max_steps", "length of the run in steps; 0: --epoch decides.")
    define.real("lr", "learning rate at the start.")
    define.real("end_lr", "learning rate at the end; not with --decay polynomial.")
    define.choice(
        "decay",
        DECAYS,
        "exponential (the paper); polynomial: power 0.3, to 0 (the authors' program); cosine.",
    )
    define.integer("warmup", "steps in which the rate rises from 0 first; with --decay cosine.")
    define.real("beta_2", "of Adam: 0.999 (the paper) remembers a thousand steps, 0.99 a hundred.")
    define.choice("loss", LOSSES, "of each scale: l2 (the paper), or about the absolute error.")
    define.real("spectrum", "weight of the error's Fourier transform in the loss; 0: off.")
    define.list(
        "scale_weights",
        "what the loss of each scale counts, coarse to fine, as 0.1,0.3,1; default: 1 each.",
    )
    define.real("clip_norm", "norm to clip the ConvLSTM's gradients to (the paper: 3); 0: off.")
    define.real("clip_all", "norm to clip all gradients together to, such as 0.05; 0: off.")
    define.integer("seed", "of weights, order, crops and blur.")
    define.choice("precision", PRECISIONS, "to compute in; variables are float32 in any case.")
    define.real("ema", "momentum of moving averages of the weights, such as 0.999; 0: off.")
    define.integer("accumulate", "parts to compute a batch in, to save memory; same numbers.")
    define.string("init_from", "checkpoint to start from, as srn-test takes it; to fine-tune.")


def training_config(values: flags.FlagValues) -> TrainingConfig:
    """The configuration the flags describe.

    Raises:
        UserError: naming the flag that breaks a rule.
    """
    given = values.flag_values_dict()
    # A run is resumed with the same data, however the paths are written.
    given |= {name: _absolute(given[name]) for name in (*PATHS, "init_from")}
    if given["datalist"]:
        given["data_root"] = given["data_root"] or os.getcwd()
    try:
        given["scale_weights"] = tuple(map(float, given["scale_weights"]))
    except ValueError:
        words = ",".join(given["scale_weights"])
        raise UserError(f"scale_weights must be numbers, not {words}") from None
    changes = ("kernel_size", "blocks", "norm", "whitened")
    network = {name: given[name] for name in changes if given[name] is not None}
    data = DataConfig(**{name: given[name] for name in _DATA_FIELDS})
    own = _DEFAULTS.keys() & given.keys() - {*_DATA_FIELDS}
    return TrainingConfig(
        **{name: given[name] for name in own},
        network=model_config(given["model"], **network),
        model=given["model"],
        data=data,
        validation=_held_out(values, data),
        epochs=values.epoch,
    )


def _held_out(values: flags.FlagValues, data: DataConfig) -> DataConfig | None:
    """The data to validate with, if there are any: never augmented.

    Raises:
        UserError: if they are those to train on, given twice, or too small to score.
    """
    named = [f"--{name}" for name in _HELD_OUT if values[name].value]
    if not named:
        return None
    if len(named) > 1:
        raise UserError(f"only one of {' and '.join(named)} can be given")
    if data.crop_size < 11:
        raise UserError(f"crop_size must be 11 or more to validate, not {data.crop_size}")
    paths = {name: _absolute(values[f"val_{name}"].value) or "" for name in PATHS}
    if paths["datalist"]:
        paths["data_root"] = paths["data_root"] or data.data_root
    if all(paths[name] == getattr(data, name) for name in PATHS):
        raise UserError("the data to validate with is that to train on; hold some pairs out")
    same = {name: getattr(data, name) for name in ("crop_size", "max_blur", "magnify")}
    return DataConfig(**paths, **same)


def _absolute(path: str | None) -> str | None:
    return path and os.path.abspath(path)


def _refuse_contradictions(values: flags.FlagValues) -> None:
    """Raises UserError for flags that make no sense together, and would be passed over."""
    given = {name for name in values if values[name].present}
    for name, others in _BELONGS_TO.items():
        if name in given and not given & set(others):
            raise UserError(f"--{name} needs {' or '.join(f'--{other}' for other in others)}")
    if "end_lr" in given and values.decay == "polynomial":
        raise UserError("--end_lr cannot go with --decay polynomial, which goes to 0")
    length = [f"--{name}" for name in ("epoch", "max_steps", "minutes") if name in given]
    if len(length) > 1:
        raise UserError(f"{' and '.join(length)} both say how long the run is; give one of them")


def _backend(values: flags.FlagValues) -> str:
    """tensorflow or jax.

    Raises:
        UserError: if the environment names another, or a flag cannot go with it.
    """
    backend = values.backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise UserError(f"KERAS_BACKEND must be {' or '.join(BACKENDS)} to train, not {backend!r}")
    on_jax = {"--xla": values.xla, "--threads": values.threads}
    on_jax |= {"TF_CONFIG": os.environ.get("TF_CONFIG")}
    on_tensorflow = {
        "--processes": values.processes,
        "--device_data on": values.device_data == "on",
    }
    others = on_jax if backend == "jax" else on_tensorflow
    for name, value in others.items():
        if value:
            raise UserError(f"{name} cannot go with --backend {backend}")
    return backend


def _require_run_folder(values: flags.FlagValues) -> None:
    """Refuses, before anything is loaded, a folder that the run could not begin in.

    Raises:
        UserError, OSError: as `training.run_folder.RunFolder`.
    """
    if os.environ.get("TF_CONFIG"):  # the chief of a cluster has it, and other processes see it
        return
    require_gpu(values.gpu)
    if values.init_from:
        name = places.name_to_begin_with(values.init_from, values.model)
        require_checkpoint(values.init_from, name)
    require_writable(values.run_dir)
    if os.path.exists(os.path.join(values.run_dir, places.LOCK)):
        places.lock(values.run_dir).release()
    if not values.resume:
        places.require_new(values.run_dir)


def _profiled_steps(text: str | None) -> tuple[int, int] | None:
    """The first and the last step of START:END.

    Raises:
        UserError: for what is no such pair.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,10}):(\d{1,10})", text, re.ASCII)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise UserError(f"--profile {text}: must be two steps, as 100:110")
    return first, last


def execute(values: flags.FlagValues) -> int:
    _refuse_contradictions(values)
    require(values, "run_dir")
    config = training_config(values)
    profile = _profiled_steps(values.profile)
    _require_run_folder(values)
    if _backend(values) == "jax":
        start_jax(values.gpu)
    else:
        start_tensorflow(values.gpu, values.threads)
    from srn_tf.training.loop import train

    options = {name: values[name].value for name in _LOOP} | {"profile": profile}
    feed = Feed(values.processes, values.device_data)
    ended_by = train(config, values.run_dir, feed=feed, **options)
    return 128 + ended_by if ended_by else 0  # as a shell says that a signal ended a program


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-train", SUMMARY, define_flags(), execute, argv)
