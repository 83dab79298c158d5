"""srn-train: trains a deblurring network."""

import dataclasses
import os

from absl import flags

from srn_tf.cli.command import INTERRUPTED, define_device_flags, require, run, start_tensorflow
from srn_tf.config import DECAYS, MODELS, PRECISIONS, TrainingConfig, model_config

SUMMARY = """trains a deblurring network.

On pairs of a data list:
    srn-train --model color --datalist data_lists/gopro_train.txt --data_root GOPRO/train \\
        --run_dir runs/color
On sharp photographs alone, with blur made on the fly:
    srn-train --model color_lstm_residual --sharp_path photos --run_dir runs/photos
On, after an interruption: the same command and --resume.
"""

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainingConfig)}


def define_flags() -> flags.FlagValues:
    """The flags of the command; those of a TrainingConfig field have its name and default."""
    values = flags.FlagValues()

    def define(define_flag, name, text, **options):
        define_flag(name, default=_DEFAULTS.get(name), help=text, flag_values=values, **options)

    string, integer, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
    flags.DEFINE_enum("model", "lstm", list(MODELS), "the network.", flag_values=values)
    define(integer, "kernel_size", "instead of the model's own: 1, 3, 5 or 7.")
    define(integer, "blocks", "blocks a stage, instead of the model's own.")
    define(string, "datalist", "file of pairs: `sharp blurred` a line.")
    define(string, "data_root", "folder the paths of the data list start from.")
    define(string, "sharp_path", "folder of sharp photographs, instead of a data list.")
    define(real, "max_blur", "largest extent of the camera's path, in pixels; with --sharp_path.")
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
    define(real, "end_lr", "learning rate at the end; with --decay exponential.")
    define(
        flags.DEFINE_enum,
        "decay",
        "exponential (the paper), or polynomial: power 0.3, to 0 (the authors' program).",
        enum_values=list(DECAYS),
    )
    define(real, "clip_norm", "norm to clip the ConvLSTM's gradients to (the paper: 3); 0: off.")
    define(integer, "seed", "of weights, order, crops and blur.")
    define(
        flags.DEFINE_enum,
        "precision",
        "to compute in; variables are float32 in any case.",
        enum_values=list(PRECISIONS),
    )
    define(string, "run_dir", "folder of the run, for checkpoints and metrics.")
    flags.DEFINE_boolean(
        "resume", False, "go on from the newest checkpoint of --run_dir.", flag_values=values
    )
    positive = {"lower_bound": 1, "flag_values": values}
    flags.DEFINE_integer("save_every", 1000, "steps between checkpoints.", **positive)
    flags.DEFINE_integer("log_every", 20, "steps between lines of metrics.", **positive)
    flags.DEFINE_float(
        "max_minutes",
        0.0,
        "save and stop after so many minutes; 0: no bound.",
        lower_bound=0.0,
        flag_values=values,
    )
    define_device_flags(values)
    return values


def training_config(values: flags.FlagValues) -> TrainingConfig:
    """The configuration the flags describe.

    Raises:
        ValueError: naming the flag that breaks a rule.
    """
    given = values.flag_values_dict()
    # A run is resumed with the same data, however the paths are written.
    for name in ("datalist", "data_root", "sharp_path"):
        given[name] = given[name] and os.path.abspath(given[name])
    network = {name: given[name] for name in ("kernel_size", "blocks") if given[name] is not None}
    return TrainingConfig(
        **{name: given[name] for name in _DEFAULTS.keys() & given.keys()},
        network=model_config(values.model, **network),
        epochs=values.epoch,
    )


def execute(values: flags.FlagValues) -> int:
    require(values, "run_dir")
    config = training_config(values)
    start_tensorflow(values.gpu, values.threads)
    from srn_tf.training import train

    finished = train(
        config,
        values.run_dir,
        resume=values.resume,
        save_every=values.save_every,
        log_every=values.log_every,
        max_minutes=values.max_minutes,
    )
    return 0 if finished else INTERRUPTED


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-train", SUMMARY, define_flags(), execute, argv)
