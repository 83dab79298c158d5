"""srn_tf: single-image motion deblurring with the scale-recurrent network.

    import srn_tf
    network = srn_tf.create_model("color")        # a Keras model; outputs coarse to fine
    srn_tf.MODELS["color"]                        # its configuration

Importing this package imports neither Keras nor TensorFlow; each public name brings what it needs.

Reference: X. Tao, H. Gao, X. Shen, J. Wang, J. Jia, "Scale-recurrent Network for Deep Image
Deblurring", CVPR 2018.
"""

import contextlib
import importlib
import os
import sys
import typing

if typing.TYPE_CHECKING:  # what __getattr__ gives, for editors and type checkers
    from srn_tf.checkpoints.load import load_model
    from srn_tf.data.sharp_pairs import SharpPairs
    from srn_tf.evaluation import keras_metrics as metrics
    from srn_tf.networks.configs import MODELS
    from srn_tf.networks.configs import SRNConfig as ModelConfig
    from srn_tf.networks.create import create_model
    from srn_tf.restoration.blind import BlindDeblurrer
    from srn_tf.restoration.deblurrer import Deblurrer
    from srn_tf.training import losses

__version__ = "0.1.0"

# TensorFlow and what it loads would print how they start, unless a user has said what they shall.
_quiet = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class UserError(ValueError):
    """What a user did wrong or gave us wrong: one line that names the file or value and the rule.

    Commands print it alone; any other ValueError is a mistake of this package, and they show where.
    """


# Module and attribute; None for the module itself.
_HOMES = {
    "MODELS": ("srn_tf.networks.configs", "MODELS"),
    "ModelConfig": ("srn_tf.networks.configs", "SRNConfig"),
    "create_model": ("srn_tf.networks.create", "create_model"),
    "load_model": ("srn_tf.checkpoints.load", "load_model"),
    "BlindDeblurrer": ("srn_tf.restoration.blind", "BlindDeblurrer"),
    "Deblurrer": ("srn_tf.restoration.deblurrer", "Deblurrer"),
    "SharpPairs": ("srn_tf.data.sharp_pairs", "SharpPairs"),
    "losses": ("srn_tf.training.losses", None),
    "metrics": ("srn_tf.evaluation.keras_metrics", None),
}

__all__ = [
    "MODELS",
    "BlindDeblurrer",
    "Deblurrer",
    "ModelConfig",
    "SharpPairs",
    "UserError",
    "create_model",
    "load_model",
    "losses",
    "metrics",
]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'srn_tf' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    hold = _quiet and "tensorflow" not in sys.modules
    from srn_tf.progress import quiet_stderr

    with quiet_stderr() if hold else contextlib.nullcontext():
        home = importlib.import_module(module)
    return getattr(home, attribute) if attribute else home


def __dir__():
    return sorted([*globals(), *_HOMES])
