"""Choices that flags offer by name, and how what cannot be used is refused.

Nothing but the standard library is imported here, so that a command shows its help at once.
"""

import dataclasses
import typing

from srn_tf import UserError

# What a network can be trained on.
BACKENDS = ("tensorflow", "jax")
# Of synthesized blur; see `data.camera_shake`.
TARGETS = ("middle", "centroid")
LIGHTS = ("mixed", "linear", "stored")
DEVICE_DATA = ("auto", "on", "off")
LOSSES = ("l2", "charbonnier")
DECAYS = ("exponential", "polynomial", "cosine")
# Deconvolutions to compare with; see `classical`.
CLASSICAL = ("wiener", "richardson_lucy")
# The best there is: the weights that come with the package, unless others are asked for.
AUTO = "auto"
# Deconvolution that finds the blur itself; see `blind`.
BLIND = "blind"
# What results can be asked to be, by extension; HEIC where its package is installed.
PICTURE_FORMATS = ("png", "jpg", "webp", "bmp", "tiff", "avif", "heic")
# The user's word for a precision, and Keras' dtype policy.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
# What a network is exported to, and the ending of the file; "" stands for a folder.
EXPORT_FORMATS = {
    **{"saved_model": "", "onnx": ".onnx", "openvino": "", "litert": ".tflite"},
    "hub": "",  # Keras' own
}
# What weights may be stored in, whatever they are used in.
STORAGE = ("float32", "float16")
_SHOWN = 10  # of many problems


def check_rules(config, rules) -> None:
    """Raises UserError for the first rule that a configuration breaks.

    Args:
        config: what has the fields.
        rules: (name of a field, whether its rule holds, the rule in words).
    """
    for field, holds, rule in rules:
        if not holds:
            raise UserError(f"{field} must be {rule}, not {getattr(config, field)!r}")


def refuse(heading: str, problems: list[str]) -> None:
    """Raises UserError if there are problems, with the first ten below the heading."""
    if problems:
        rest = len(problems) - _SHOWN
        more = [f"and {rest} more"] if rest > 0 else []
        raise UserError("\n  ".join([heading, *problems[:_SHOWN], *more]))


def check_types(config) -> None:
    """Raises UserError for the first field of a configuration that is not of its type.

    Types are int, float, bool and str, and tuples of one of these.
    """
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), field.type
        one = (typing.get_args(kind) or (kind,))[0]
        values = value if typing.get_args(kind) and isinstance(value, tuple) else (value,)
        if not all(type(single) is one for single in values):
            raise UserError(f"{field.name} must be {getattr(one, '__name__', one)}, not {value!r}")
