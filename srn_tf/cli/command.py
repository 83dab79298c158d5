"""What all commands share: common flags, help and version at once, errors as one line."""

import contextlib
import os
import sys
import tempfile
import warnings

from absl import flags

from srn_tf import __version__

USAGE_ERROR = 2
FAILURE = 1
INTERRUPTED = 130  # what a shell gives for a program that Ctrl-C ended


def define_device_flags(values: flags.FlagValues) -> None:
    """The flags of every command that runs a network."""
    flags.DEFINE_string(
        "gpu",
        None,
        "GPU to use, as CUDA numbers them, such as 0 or 0,1; -1 uses the processor. Default: all.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "threads",
        0,
        "processor threads to compute with, or processes that make batches; 0: as many as cores.",
        lower_bound=0,
        upper_bound=1024,
        flag_values=values,
    )


def define_checkpoint_flags(values: flags.FlagValues, models) -> None:
    """The flags of every command that uses a trained network."""
    flags.DEFINE_string(
        "checkpoint",
        None,
        "run folder (its newest checkpoint), checkpoint file, or prefix of a checkpoint of the "
        "authors'; default: the weights that come with srn_tf.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "model",
        None,
        models,
        "the model the checkpoint must be; default: what it says, or what fits it.",
        flag_values=values,
    )


def run(
    program: str,
    summary: str,
    values: flags.FlagValues,
    execute,
    argv=None,
    takes_words: str | None = None,
) -> int:
    """Parses the flags and calls `execute(values)`.

    Args:
        program: name of the command.
        summary: what it does and examples, for --help.
        values: the flags of the command.
        execute: does the work, gives the exit status; ValueError, OSError and FloatingPointError
            are told to the user in one line.
        argv: the arguments without the program's name; those of the process by default.
        takes_words: a flag with a list of values that, where it is given, takes the words that
            belong to no flag, as in `--plot runs/*`.

    Returns:
        The exit status: 2 for flags that cannot be understood.
    """
    flags.DEFINE_boolean("help", False, "show this help.", short_name="h", flag_values=values)
    flags.DEFINE_boolean("version", False, "show the version.", flag_values=values)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # A file name need not be text that can be shown; a log should have each line at once.
        stream.reconfigure(errors="replace", line_buffering=True)
    try:
        _, *rest = values([program, *(sys.argv[1:] if argv is None else argv)])
        if takes_words and values[takes_words].present:
            values[takes_words].value += rest
        elif rest:
            raise flags.Error(f"{rest[0]!r} is not a flag; see {program} --help")
        for name in values:
            if values[name].value != values[name].value:  # no bound refuses nan
                raise flags.Error(f"--{name} must be a number, not nan")
    except flags.Error as error:
        return _fail(program, error, USAGE_ERROR)
    try:
        if values.version:
            print(f"{program} {__version__}")
            return 0
        if values.help:
            print(f"{program} {summary}{values.get_help()}", flush=True)
            return 0
        # OpenCV, its FFmpeg and Pillow would tell of damaged files in words of their own.
        warnings.filterwarnings("ignore", module="PIL")
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        return execute(values)
    except BrokenPipeError:
        # The reader has seen enough, as `head` does. Nothing can be flushed to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        return _fail(program, error, FAILURE)
    except KeyboardInterrupt:
        return INTERRUPTED


def require(values: flags.FlagValues, *names: str) -> None:
    """Refuses to go on without these flags.

    Raises:
        ValueError: naming the first that is missing.
    """
    for name in names:
        if values[name].value in (None, ""):
            raise ValueError(f"--{name} is needed: {values[name].help}")


def _fail(program: str, error: Exception, status: int) -> int:
    print(f"{program}: {error}", file=sys.stderr)
    return status


def start_tensorflow(gpu: str | None, threads: int) -> None:
    """Imports TensorFlow without its start-up chatter and sets it up as the flags say.

    GPU memory is taken as it is needed.

    Raises:
        ValueError: if `gpu` names none that is there.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # inference and export are TensorFlow
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    with _quiet_stderr():
        import tensorflow as tf
    devices = tf.config.list_physical_devices("GPU")
    if gpu is not None and not gpu.startswith("-") and not devices:
        raise ValueError(f"--gpu {gpu}: no such GPU, or TensorFlow cannot use it (--gpu -1: none)")
    for device in devices:
        tf.config.experimental.set_memory_growth(device, True)
    if threads:
        import cv2

        cv2.setNumThreads(threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def start_jax(gpu: str | None) -> None:
    """Imports JAX and sets it up as the flag says.

    Raises:
        ValueError: if JAX is not installed, cannot start, or `gpu` names none that is there.
    """
    on_processor = gpu is not None and gpu.startswith("-")
    if on_processor:
        os.environ["JAX_PLATFORMS"] = "cpu"
    elif gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        import jax

        device = jax.default_backend()
    except ImportError:
        raise ValueError("KERAS_BACKEND=jax, but JAX is not installed: pip install jax") from None
    except RuntimeError as error:
        raise ValueError(f"JAX cannot start: {str(error).splitlines()[0]}") from None
    if gpu is not None and not on_processor and device == "cpu":
        raise ValueError(f"--gpu {gpu}: no such GPU, or JAX cannot use it (--gpu -1: none)")


@contextlib.contextmanager
def _quiet_stderr():
    """Holds back what C++ libraries print while they load; shows it if loading fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
