"""Weights of the PyTorch program of Nah et al. 2017, for the network `mscnn`.

Their names map one to one; their scale 0 is the finest, ours the coarsest:

    here                            in the state dict, for three scales
    mscnn/body_2/first/kernel       body_models.0.body.0.weight
    mscnn/body_2/block_1/conv1      body_models.0.body.1.body.0
    mscnn/body_2/block_1/conv2      body_models.0.body.1.body.2
    mscnn/body_2/last               body_models.0.body.20
    mscnn/enlarge_1/conv            conv_end_models.2.uppath.0
"""

import pathlib

import numpy as np

from srn_tf import UserError

# The models whose weights come so.
NAMES = ("mscnn",)
_LAST = {"kernel": "weight", "bias": "bias"}


def variables_by_stored_name(model) -> dict:
    """The variables of an mscnn, by their name in the PyTorch program's state dict."""
    scales, blocks = model.config.scales, model.config.blocks
    named = {}
    for variable in model.variables:
        _, part, *layers, last = variable.path.split("/")
        kind, _, scale = part.rpartition("_")
        if kind == "enlarge":
            layer = f"conv_end_models.{scales - int(scale)}.uppath.0"
        else:
            layer = f"body_models.{scales - 1 - int(scale)}.body."
            if layers[0].startswith("block_"):
                layer += layers[0].removeprefix("block_")
                layer += {"conv1": ".body.0", "conv2": ".body.2"}[layers[1]]
            else:
                layer += {"first": "0", "last": str(blocks + 1)}[layers[0]]
        named[f"{layer}.{_LAST[last]}"] = variable
    return named


def find(path) -> pathlib.Path | None:
    """The path, if its extension is that of a PyTorch file."""
    path = pathlib.Path(path)
    return path if path.suffix in (".pt", ".pth") and path.is_file() else None


def from_torch(arrays: dict) -> dict[str, np.ndarray]:
    """Arrays of a state dict, in the layout of Keras.

    PyTorch stores the kernel of a convolution as [out, in, height, width], so that one output's
    weights lie together; Keras stores [height, width, in, out]. Biases are the same.
    """
    return {
        name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        for name, array in arrays.items()
    }


def read(path) -> dict[str, np.ndarray]:
    """The arrays of a state dict, in the layout of Keras, by stored name.

    Args:
        path: a PyTorch file (.pt, .pth), read as weights only, so that it cannot run code.

    Raises:
        UserError: if PyTorch is missing or too old, or the file is no state dict of arrays.
    """
    try:
        import torch
    except ImportError:
        raise UserError(f"{path}: reading a PyTorch file needs the package torch") from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 10):
        raise UserError(f"{path}: PyTorch 2.10 or newer is needed to read it safely")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return from_torch({name: tensor.numpy() for name, tensor in state.items()})
    except OSError:
        raise
    except Exception as error:  # torch raises what it likes for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not a PyTorch state dict of arrays ({reason})") from error
