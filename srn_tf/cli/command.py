"""What all commands share: common flags, help and version at once, errors as one line."""

import contextlib
import difflib
import functools
import importlib.util
import os
import re
import signal
import sys
import tempfile
import threading
import warnings

from absl import flags

from srn_tf import UserError, __version__
from srn_tf.progress import quiet_stderr

USAGE_ERROR = 2
FAILURE = 1
# What a shell gives for a program that Ctrl-C, or SIGTERM, ended.
INTERRUPTED, TERMINATED = 130, 143
# Flags that name files or folders.
_PATHS = re.compile(r".*(_path|_dir|_root|datalist|packed)|root|output|checkpoint|init_from")


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which unwinds as Ctrl-C does: temporary files go."""


class Flags:
    """The flags of a command, a line each. Without a default a flag has the value None.

    Args:
        defaults: of flags that are fields of a configuration, by name.

    Attributes:
        values: what they are defined in, to be parsed.
    """

    def __init__(self, defaults: dict | None = None):
        self.values = flags.FlagValues()
        self._defaults = defaults or {}

    def _define(self, define, name: str, text: str, default, **rules) -> None:
        default = self._defaults.get(name) if default is None else default
        define(name, default=default, help=text, flag_values=self.values, **rules)

    def string(self, name: str, text: str, default: str | None = None, short=None) -> None:
        self._define(flags.DEFINE_string, name, text, default, short_name=short)

    def integer(self, name: str, text: str, default=None, low=None, high=None) -> None:
        bounds = {"lower_bound": low, "upper_bound": high}
        self._define(flags.DEFINE_integer, name, text, default, **bounds)

    def real(self, name: str, text: str, default=None, low=None, high=None) -> None:
        bounds = {"lower_bound": low, "upper_bound": high}
        self._define(flags.DEFINE_float, name, text, default, **bounds)

    def choice(self, name: str, choices, text: str, default: str | None = None) -> None:
        self._define(flags.DEFINE_enum, name, text, default, enum_values=list(choices))

    def switch(self, name: str, text: str) -> None:
        self._define(flags.DEFINE_boolean, name, text, self._defaults.get(name, False))

    def optional_switch(self, name: str, text: str) -> None:
        """None where it is not given."""
        self._define(flags.DEFINE_boolean, name, text, None)

    def list(self, name: str, text: str) -> None:
        self._define(flags.DEFINE_list, name, text, None)

    def of_field(self, config, name: str, text: str) -> None:
        """A flag for a field of a configuration, with its kind and default."""
        default = config.__dataclass_fields__[name].default
        kinds = {str: self.string, int: self.integer, float: self.real}
        kinds[type(default)](name, text, default)

    def device(self) -> None:
        """Those of every command that runs a network."""
        self.string(
            "gpu",
            "GPU to use, as CUDA numbers them, such as 0 or 0,1; -1 uses the processor. "
            "Default: all.",
        )
        self.integer("threads", "processor threads; 0: as many as cores.", 0, low=0, high=1024)

    def checkpoint(self, models, more: str = "") -> None:
        """Those of every command that uses a trained network; `more` is said of the models."""
        self.string(
            "checkpoint",
            "run folder (its newest checkpoint), hub folder, checkpoint file (.npz, .keras, "
            ".weights.h5), or prefix of a checkpoint of the authors'; default: the weights that "
            "come with srn_tf, the best or those of --model.",
        )
        self.choice(
            "model",
            models,
            f"whose weights to take, or what the checkpoint must be{more}; default: the best that "
            "comes with srn_tf, or what the checkpoint says.",
        )


def run(
    program: str,
    summary: str,
    values: flags.FlagValues,
    execute,
    argv=None,
    words: str = "",
) -> int:
    """Parses the flags and calls `execute(values)`.

    Args:
        program: name of the command.
        summary: what it does and examples, for --help.
        values: the flags of the command.
        execute: does the work, gives the exit status; UserError, OSError, FloatingPointError and
            MemoryError are told to the user in one line, or raised with --traceback.
        argv: the arguments without the program's name; those of the process by default.
        words: what the words are that belong to no flag, such as "run folders"; the command has
            them as `values.words`. By default there may be none.

    Returns:
        The exit status: 2 for flags that cannot be understood.
    """
    define = functools.partial(flags.DEFINE_boolean, flag_values=values)
    define("help", False, "show this help.", short_name="h")
    define("version", False, "show the version.")
    shown = os.environ.get("SRN_TF_TRACEBACK", "0") not in ("", "0")
    define("traceback", shown, "show where an error came up; so does SRN_TF_TRACEBACK=1.")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file name need not be text that can be shown; a log should have each line at once.
        stream.reconfigure(errors="replace", line_buffering=True)
    try:
        _parse(program, values, sys.argv[1:] if argv is None else argv, words)
    except flags.Error as error:
        return _fail(program, error, USAGE_ERROR)
    try:
        if values.version:
            print(f"{program} {__version__}")
            return 0
        if values.help:
            print(f"{program} {summary}{values.get_help()}", flush=True)
            return 0
        # OpenCV and Pillow would tell of damaged files in words of their own.
        warnings.filterwarnings("ignore", module="PIL")
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        _name_a_temporary_folder()
        with _sigterm_unwinds():
            return execute(values)
    except BrokenPipeError:
        # The reader has seen enough, as `head` does. Nothing can be flushed to it at exit either.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return FAILURE
    except (UserError, OSError, FloatingPointError, MemoryError) as error:
        if values.traceback:
            raise
        return _fail(program, error, FAILURE)
    except _Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parse(program: str, values: flags.FlagValues, argv, words: str) -> None:
    """Fills the flags, wherever they stand, and `values.words`, if there may be `words`.

    Raises:
        flags.Error: for what is no flag, with the nearest one, and for nan.
    """
    values.set_gnu_getopt(True)
    dash = "\0"  # a lone dash, standard input, would be taken for a flag without a name
    try:
        _, *rest = values([program, *(dash if word == "-" else word for word in argv)])
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), 1, 0)
        raise flags.Error(
            f"Unknown command line flag {error.flagname!r}; the nearest is --{near[0]}"
        ) from None
    for name in values:
        if values[name].present and isinstance(value := values[name].value, str):
            value = value.replace(dash, "-")
            values[name].value = expanded(value) if _PATHS.fullmatch(name) else value
    if words:
        rest = [expanded(word.replace(dash, "-")) for word in rest]
        flags.DEFINE_multi_string("words", rest, words, flag_values=values)
    elif rest:
        raise flags.Error(f"{rest[0].replace(dash, '-')!r} is not a flag; see {program} --help")
    for name in values:
        if values[name].value != values[name].value:  # no bound refuses nan
            raise flags.Error(f"--{name} must be a number, not nan")


def expanded(path: str) -> str:
    """A path with its `~` and `$HOME`, which a shell leaves in `--root=~/photos`."""
    return path if os.path.lexists(path) else os.path.expandvars(os.path.expanduser(path))


def say(text, file=None) -> None:
    """Prints a line; what a terminal would obey, as in the name of a file, is shown as text.

    A line break is one only before two spaces, as lists of problems have it.
    """
    from srn_tf.progress import printable

    lines = re.split(r"\n(?=  )", str(text))
    print("\n".join(map(printable, lines)), file=file or sys.stdout)


def _open_closed_streams() -> None:
    """Where standard streams are closed, what is printed goes nowhere.

    The next file that is opened would get their numbers, and what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def _name_a_temporary_folder() -> None:
    """Where there is none TensorFlow asks for its name all the same, and needs nothing in it."""
    try:
        tempfile.gettempdir()
    except OSError:
        tempfile.tempdir = os.curdir


@contextlib.contextmanager
def _sigterm_unwinds():
    """SIGTERM raises inside, unless it is ignored or handled already."""

    def end(number, frame):
        raise _Terminated

    # Python handles signals in the main thread alone.
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def require(values: flags.FlagValues, *names: str) -> None:
    """Refuses to go on without these flags.

    Raises:
        UserError: naming the first that is missing.
    """
    for name in names:
        if values[name].value in (None, ""):
            raise UserError(f"--{name} is needed: {values[name].help}")


def _fail(program: str, error: Exception, status: int) -> int:
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    with contextlib.suppress(OSError):  # nobody listens
        say(f"{program}: {text}", sys.stderr)
    return status


def require_gpu(gpu: str | None) -> None:
    """Refuses, before anything is loaded, GPUs that cannot be there.

    Raises:
        UserError: for what is no number, and for numbers beyond NVIDIA's devices.
    """
    if gpu is None or gpu.startswith("-"):
        return
    words = gpu.split(",")
    if not all(word.strip().isdecimal() or re.match("GPU-|MIG-", word) for word in words):
        raise UserError(f"--gpu {gpu}: must be numbers such as 0 or 0,1, or -1 for none")
    # Elsewhere than on Linux, and in its guest on Windows, devices are not files.
    if sys.platform != "linux" or os.path.exists("/dev/dxg"):
        return
    there = len([name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)])
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    if not there or max(numbers, default=0) >= there:
        raise UserError(f"--gpu {gpu}: no such GPU (--gpu -1: none)")


def require_checkpoint(path: str | None, model: str | None) -> None:
    """Refuses, before anything is loaded, a checkpoint that cannot be used.

    Raises:
        UserError: if there is none, it is of something else, or not of this `model`.
        OSError: if it cannot be opened.
    """
    from srn_tf.checkpoints import archive, keras_files, places, pytorch, tf1

    if path and (tf1.find(path) or pytorch.find(path)):
        return
    path = places.find(path or places.shipped(model))
    if keras_files.is_one(path):
        keras_files.configuration(path, model)
        return
    header = archive.read_header(path)
    if model is not None and model != header["model"]:
        raise UserError(f"{path}: holds a model {header['model']}, not {model}")


def start_tensorflow(gpu: str | None, threads: int) -> None:
    """Imports TensorFlow without its start-up chatter and sets it up as the flags say.

    GPU memory is taken as it is needed.

    Raises:
        UserError: if `gpu` names none that is there.
    """
    require_gpu(gpu)
    require_packages("TensorFlow", {"tensorflow": "tensorflow"})
    os.environ["KERAS_BACKEND"] = "tensorflow"  # inference and export are TensorFlow
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    tf = import_tensorflow()
    devices = tf.config.list_physical_devices("GPU")
    if gpu is not None and not gpu.startswith("-") and not devices:
        raise UserError(f"--gpu {gpu}: no such GPU, or TensorFlow cannot use it (--gpu -1: none)")
    for device in devices:
        tf.config.experimental.set_memory_growth(device, True)
    if threads:
        import cv2

        cv2.setNumThreads(threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def import_tensorflow():
    """The module, without its start-up chatter.

    It and Keras import other packages where they are installed, which takes up to half of the
    time, for parts of theirs that nothing here uses; those they do not find.
    """
    with quiet_stderr(), _hidden("jax", "matplotlib", "pandas", "sklearn"):
        import tensorflow
    return tensorflow


@contextlib.contextmanager
def _hidden(*modules: str):
    """What is imported in it finds these modules missing, where they are not imported yet."""
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


# What training on JAX takes, as modules and as packages.
_FOR_JAX = {
    **{name: name for name in ("jax", "keras", "numpy", "simplejpeg", "tifffile", "rich")},
    **{"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image"},
    "filelock": "filelock",
}


def require_packages(what: str, packages: dict[str, str]) -> None:
    """Raises UserError naming all packages that are not installed."""
    missing = [name for module, name in packages.items() if not importlib.util.find_spec(module)]
    if missing:
        raise UserError(f"{what} needs packages that are missing: pip install {' '.join(missing)}")


def start_jax(gpu: str | None) -> None:
    """Imports JAX and sets it up as the flag says.

    Raises:
        UserError: if JAX is not installed, cannot start, or `gpu` names none that is there.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    require_packages("--backend jax", _FOR_JAX)
    on_processor = gpu is not None and gpu.startswith("-")
    if on_processor:
        os.environ["JAX_PLATFORMS"] = "cpu"
    elif gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        import jax

        device = jax.default_backend()
    except RuntimeError as error:
        raise UserError(f"JAX cannot start: {str(error).splitlines()[0]}") from None
    if gpu is not None and not on_processor and device == "cpu":
        raise UserError(f"--gpu {gpu}: no such GPU, or JAX cannot use it (--gpu -1: none)")
