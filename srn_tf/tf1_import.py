"""The authors' names of the variables, for their TensorFlow 1 checkpoints.

The layers carry the authors' names, so only these parts of a path differ:

    here                                      in the authors' checkpoints
    g_net/encoder/enc1_2/conv1/kernel         g_net/enc1_2/conv1/weights
    g_net/convLSTM/LSTM_conv/bias             g_net/convLSTM/LSTM_conv/biases
    g_net/decoder/dec1_0/kernel               g_net/dec1_0/weights

Shapes agree: kernels are [height, width, in, out], those of transposed convolutions
[height, width, out, in].
"""

_RENAMED = {"encoder": None, "decoder": None, "kernel": "weights", "bias": "biases"}


def variables_by_stored_name(model) -> dict:
    """The variables of a network of the authors', by their name in the authors' checkpoints."""
    named = {}
    for variable in model.variables:
        _, *parts = variable.path.split("/")
        renamed = (_RENAMED.get(part, part) for part in parts)
        named["/".join(part for part in renamed if part)] = variable
    return named
