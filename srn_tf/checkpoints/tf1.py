"""The authors' TensorFlow 1 checkpoints (Tao et al. 2018; Gao et al. 2019).

Such a checkpoint is named by a prefix, as in `deblur.model-523000`, of the files `.index` and
`.data-00000-of-00001`. TensorFlow's own reader reads it. Names map one to one:

    here                                           in the checkpoint
    srn/g_net/encoder/enc1_2/conv1/kernel          g_net/enc1_2/conv1/weights
    srn/g_net/convLSTM/LSTM_conv/bias              g_net/convLSTM/LSTM_conv/biases
    srn/g_net/decoder/dec1_0/kernel                g_net/dec1_0/weights
    pss_nsc/enc1_1_0/kernel                        g_net/enc1_1_0/weights

Shapes agree: kernels are [height, width, in, out], those of transposed convolutions
[height, width, out, in].
"""

import pathlib
import re

from srn_tf import UserError

# The models whose weights come so.
NAMES = ("lstm", "gray", "color", "pss_nsc")
_GROUPS = {"g_net", "encoder", "decoder"}
_LAST = {"kernel": "weights", "bias": "biases"}
# Adam's slots and powers, and the step counter, under whatever scope; TensorFlow numbers doubles.
_TRAINING_STATE = re.compile(r"(.*/)?(Adam|beta1_power|beta2_power|global_step|Variable)(_\d+)?")


def variables_by_stored_name(model) -> dict:
    """The variables of a network of the authors', by their name in the authors' checkpoints."""
    named = {}
    for variable in model.variables:
        _, *parts, last = variable.path.split("/")
        layers = [part for part in parts if part not in _GROUPS]
        named["/".join(["g_net", *layers, _LAST[last]])] = variable
    return named


def find(path) -> pathlib.Path | None:
    """The prefix of the TensorFlow 1 checkpoint that `path` names; None if it names none.

    `path` may be the prefix, or one of the checkpoint's files.
    """
    match = re.fullmatch(r"(.+?)(\.index|\.meta|\.data-\d{5}-of-\d{5})?", str(path), re.DOTALL)
    return pathlib.Path(match[1]) if pathlib.Path(f"{match[1]}.index").is_file() else None


def read(prefix) -> dict:
    """The weights in a checkpoint, by stored name, without the state of the training.

    Raises:
        UserError: if a file of the checkpoint is missing or damaged.
    """
    try:
        import tensorflow as tf
    except ImportError:
        raise UserError(f"{prefix}: a TensorFlow checkpoint, and TensorFlow is not there") from None
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        names = [
            name
            for name in reader.get_variable_to_shape_map()
            if not _TRAINING_STATE.fullmatch(name)
        ]
        return {name: reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{prefix}: not a whole TensorFlow checkpoint ({reason})") from error
