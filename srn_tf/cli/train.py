"""srn-train: trains a deblurring network."""

import dataclasses
import os

from absl import flags

from srn_tf.cli.command import define_device_flags, require, run, start_jax, start_tensorflow
from srn_tf.networks.configs import MODELS, model_config
from srn_tf.options import DECAYS, LOSSES, PRECISIONS
from srn_tf.training.config import TrainingConfig

SUMMARY = """trains a deblurring network.

On pairs of a data list:
    srn-train --model color --datalist data_lists/gopro_train.txt --data_root GOPRO/train \\
        --run_dir runs/color
On sharp photographs alone, with blur made on the fly:
    srn-train --model color_lstm_residual --sharp_path photos --run_dir runs/photos
On, after an interruption: the same command and --resume.
The curves of runs, as a picture:
    srn-train --plot runs/color runs/photos --output_path curves.png
"""

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainingConfig)}
_DATA = ("datalist", "data_root", "packed", "sharp_path")
_NOT_AUGMENTED = {
    **{"flips": False, "turns": False, "noise": 0.0, "saturation": 0.0, "jpeg": 0},
    "min_blur": 0.0,
    "keep_sharp": 0.0,
}
_LOOP = ("resume", "save_every", "log_every", "max_minutes")
_HELD_OUT = ("val_datalist", "val_packed", "val_sharp_path")
# A flag on the left says something of one on the right: without any of those it is a mistake.
_BELONGS_TO = {
    "data_root": ("datalist",),
    "max_blur": ("sharp_path", "val_sharp_path"),
    "min_blur": ("sharp_path",),
    "magnify": ("sharp_path",),
    "keep_sharp": ("sharp_path",),
    "val_data_root": ("val_datalist",),
    "validate_every": _HELD_OUT,
    "output_path": ("plot",),
}


def define_flags() -> flags.FlagValues:
    """The flags of the command; those of a TrainingConfig field have its name and default."""
    values = flags.FlagValues()

    def define(define_flag, name, text, **options):
        define_flag(name, default=_DEFAULTS.get(name), help=text, flag_values=values, **options)

    string, integer, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
    flags.DEFINE_enum("model", "lstm", list(MODELS), "the network.", flag_values=values)
    define(integer, "kernel_size", "instead of the model's own: 1, 3, 5 or 7.")
    define(integer, "blocks", "blocks a stage, instead of the model's own.")
    flags.DEFINE_boolean(
        "norm", None, "normalise before each block, instead of the model's own.", flag_values=values
    )
    define(string, "datalist", "file of pairs: `sharp blurred` a line.")
    define(string, "data_root", "folder the paths of the data list start from.")
    define(string, "packed", "file of srn-data pack, instead of a data list.")
    define(string, "sharp_path", "folder of sharp photographs, instead of a data list.")
    define(real, "max_blur", "largest extent of the camera's path, in pixels; with --sharp_path.")
    define(real, "min_blur", "smallest extent, in pixels; with --sharp_path.")
    define(real, "magnify", "enlarge half of the photographs by up to this; with --sharp_path.")
    define(real, "keep_sharp", "part of the crops without blur, such as 0.1; with --sharp_path.")
    boolean = flags.DEFINE_boolean
    define(boolean, "flips", "mirror half of the pairs.")
    define(boolean, "turns", "turn the pairs by random right angles.")
    define(real, "noise", "largest deviation of noise on blurred crops, in grey levels of 255.")
    define(real, "saturation", "largest change of the distance from gray, such as 0.5; 0: off.")
    define(integer, "jpeg", "lowest quality of JPEG that half the blurred crops get; 0: off.")
    define(integer, "crop_size", "side of the random crops, in pixels.")
    define(integer, "batch_size", "crops a step.")
    flags.DEFINE_integer(
        "epoch",
        _DEFAULTS["epochs"],
        "length of the run in passes over the data.",
        flag_values=values,
    )
    define(integer, "max_steps", "length of the run in steps; 0: --epoch decides.")
    define(real, "lr", "learning rate at the start.")
    define(real, "end_lr", "learning rate at the end; not with --decay polynomial.")
    define(
        flags.DEFINE_enum,
        "decay",
        "exponential (the paper); polynomial: power 0.3, to 0 (the authors' program); cosine.",
        enum_values=list(DECAYS),
    )
    define(integer, "warmup", "steps in which the rate first rises from 0; with --decay cosine.")
    define(real, "beta_2", "of Adam: 0.999 (the paper) remembers a thousand steps, 0.99 a hundred.")
    define(
        flags.DEFINE_enum,
        "loss",
        "of each scale: l2 (the paper); charbonnier: about the absolute error.",
        enum_values=list(LOSSES),
    )
    define(real, "spectrum", "weight of the error's Fourier transform in the loss; 0: off.")
    define(
        flags.DEFINE_list,
        "scale_weights",
        "what the loss of each scale counts, coarse to fine, as 0.1,0.3,1; default: 1 each.",
    )
    define(real, "clip_norm", "norm to clip the ConvLSTM's gradients to (the paper: 3); 0: off.")
    define(real, "clip_all", "norm to clip all gradients together to, such as 0.05; 0: off.")
    define(integer, "seed", "of weights, order, crops and blur.")
    define(
        flags.DEFINE_enum,
        "precision",
        "to compute in; variables are float32 in any case.",
        enum_values=list(PRECISIONS),
    )
    define(real, "ema", "momentum of moving averages of the weights, such as 0.999; 0: off.")
    define(integer, "accumulate", "parts to compute a batch in, to save memory; same numbers.")
    define(string, "init_from", "checkpoint to start from, as srn-test takes it; to fine-tune.")
    flags.DEFINE_boolean("xla", False, "compile with XLA, for GPUs.", flag_values=values)
    define(string, "val_datalist", "data list of held-out pairs, to validate with.")
    define(string, "val_data_root", "folder its paths start from; default: --data_root.")
    define(string, "val_packed", "file of srn-data pack, instead of it.")
    define(string, "val_sharp_path", "folder of sharp photographs, instead of it.")
    define(string, "run_dir", "folder of the run, for checkpoints and metrics.")
    flags.DEFINE_boolean(
        "resume", False, "go on from the newest checkpoint of --run_dir.", flag_values=values
    )
    positive = {"lower_bound": 1, "flag_values": values}
    flags.DEFINE_integer("save_every", 1000, "steps between checkpoints.", **positive)
    flags.DEFINE_integer("validate_every", 1000, "steps between validations.", **positive)
    flags.DEFINE_integer(
        "log_every", 20, "steps between points in TensorBoard; on JAX between writes.", **positive
    )
    flags.DEFINE_float(
        "max_minutes",
        0.0,
        "save and stop after so many minutes; 0: no bound.",
        lower_bound=0.0,
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "plot", [], "draw the curves of these run folders, and train nothing.", flag_values=values
    )
    define(string, "output_path", "picture to draw them into; default: curves.png.")
    define_device_flags(values)
    return values


def training_config(values: flags.FlagValues) -> TrainingConfig:
    """The configuration the flags describe.

    Raises:
        ValueError: naming the flag that breaks a rule.
    """
    given = values.flag_values_dict()
    # A run is resumed with the same data, however the paths are written.
    given |= {name: _absolute(given[name]) for name in _DATA}
    if given["datalist"]:
        given["data_root"] = given["data_root"] or os.getcwd()
    if given["init_from"]:
        given["init_from"] = _absolute(given["init_from"])
    try:
        given["scale_weights"] = tuple(map(float, given["scale_weights"]))
    except ValueError:
        words = ",".join(given["scale_weights"])
        raise ValueError(f"scale_weights must be numbers, not {words}") from None
    changes = ("kernel_size", "blocks", "norm")
    network = {name: given[name] for name in changes if given[name] is not None}
    return TrainingConfig(
        **{name: given[name] for name in _DEFAULTS.keys() & given.keys()},
        network=model_config(values.model, **network),
        epochs=values.epoch,
    )


def held_out_config(values: flags.FlagValues, config: TrainingConfig) -> TrainingConfig | None:
    """The configuration of the data to validate with, if there is any: never augmented.

    Raises:
        ValueError: if it is the data to train on, given twice, or its crops are too small to score.
    """
    given = {name: _absolute(values[f"val_{name}"].value) or "" for name in _DATA}
    named = [f"--{name}" for name in _HELD_OUT if values[name].value]
    if not named:
        return None
    if len(named) > 1:
        raise ValueError(f"only one of {' and '.join(named)} can be given")
    if config.crop_size < 11:
        raise ValueError(f"crop_size must be 11 or more to validate, not {config.crop_size}")
    if given["datalist"]:
        given["data_root"] = given["data_root"] or config.data_root
    held_out = dataclasses.replace(config, **given, **_NOT_AUGMENTED)
    if all(getattr(held_out, name) == getattr(config, name) for name in _DATA):
        raise ValueError("the data to validate with is that to train on; hold some pairs out")
    return held_out


def _absolute(path: str | None) -> str | None:
    return path and os.path.abspath(path)


def refuse_contradictions(values: flags.FlagValues) -> None:
    """Refuses flags that make no sense together, which would otherwise be passed over.

    Raises:
        ValueError: naming them.
    """
    given = {name for name in values if values[name].present}
    for name, others in _BELONGS_TO.items():
        if name in given and not given & set(others):
            raise ValueError(f"--{name} needs {' or '.join(f'--{other}' for other in others)}")
    if values.plot and (others := given - {"plot", "output_path"}):
        raise ValueError(f"--plot trains nothing: it goes without --{min(others)}")
    if "end_lr" in given and values.decay == "polynomial":
        raise ValueError("--end_lr cannot go with --decay polynomial, which goes to 0")
    if "epoch" in given and values.max_steps:
        raise ValueError("--epoch and --max_steps both say how long the run is; give one of them")


def execute(values: flags.FlagValues) -> int:
    refuse_contradictions(values)
    if values.plot:
        from srn_tf.training.curves import plot_runs

        plot_runs(values.plot, path := values.output_path or "curves.png")
        print(f"drawn in {path}")
        return 0
    require(values, "run_dir")
    config = training_config(values)
    held_out = held_out_config(values, config)
    options = {name: values[name].value for name in _LOOP}
    if os.environ.get("KERAS_BACKEND") == "jax":
        others = {
            "--val_*": held_out,
            "--xla": values.xla,
            "TF_CONFIG": os.environ.get("TF_CONFIG"),
        }
        if wrong := [name for name, value in others.items() if value]:
            raise ValueError(f"{wrong[0]} cannot go with KERAS_BACKEND=jax; see the README")
        start_jax(values.gpu)
        from srn_tf.training.jax_loop import train

        ended_by = train(config, values.run_dir, processes=values.threads, **options)
    else:
        start_tensorflow(values.gpu, values.threads)
        from srn_tf.training.loop import train

        options |= {"held_out": held_out, "validate_every": values.validate_every}
        ended_by = train(config, values.run_dir, xla=values.xla, **options)
    return 128 + ended_by if ended_by else 0  # as a shell says that a signal ended a program


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-train", SUMMARY, define_flags(), execute, argv, takes_words="plot")
