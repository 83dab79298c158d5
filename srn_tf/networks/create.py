"""The networks, on Keras alone: they run on its TensorFlow, JAX and PyTorch backends."""

import keras
from keras import ops

from srn_tf.networks.configs import (
    MSCNNConfig,
    NetworkConfig,
    PSSNSCConfig,
    SRNConfig,
    model_config,
)
from srn_tf.networks.mscnn import MSCNN
from srn_tf.networks.multiscale import MultiScaleNetwork
from srn_tf.networks.pss_nsc import PSSNSC
from srn_tf.networks.pyramid import pad_to_multiple
from srn_tf.networks.srn import ScaleRecurrentNetwork

__all__ = ["constant_weights", "create_model", "create_model_from_config", "restore"]

_NETWORKS = {SRNConfig: ScaleRecurrentNetwork, MSCNNConfig: MSCNN, PSSNSCConfig: PSSNSC}


def create_model(name: str, *, dtype: str = "float32", **overrides) -> MultiScaleNetwork:
    """A named model with fresh weights, ready to call.

    Args:
        name: a key of `srn_tf.MODELS`.
        dtype: Keras dtype policy; "mixed_bfloat16" computes in bfloat16 on float32 variables.
        **overrides: fields of the model's configuration to replace, such as `kernel_size=3`.

    Returns:
        A built Keras model: [batch, height, width, channels] in [0, 1] -> restored pictures,
        float32, coarse to fine.

    Raises:
        UserError: for an unknown name, an unknown field, or a value outside its rule.
    """
    return create_model_from_config(model_config(name, **overrides), dtype=dtype)


def create_model_from_config(config: NetworkConfig, *, dtype: str = "float32") -> MultiScaleNetwork:
    """The same from a configuration."""
    model = _NETWORKS[type(config)](config, dtype=dtype)
    model.build(model.any_picture)
    return model


def constant_weights(model):
    """Opens contexts: what is traced in one has the weights of now as constants, not variables."""
    values = [(variable, variable.numpy()) for variable in model.variables]

    def open_context() -> keras.StatelessScope:
        # Made tensors only there: those from outside would be inputs of the trace.
        return keras.StatelessScope([(v, ops.convert_to_tensor(value)) for v, value in values])

    return open_context


def restore(model, blurred):
    """The restored picture of any size: pads, runs the network, crops its finest output.

    Args:
        model: a network of this package.
        blurred: [batch, height, width, channels] in [0, 1].

    Returns:
        float32 of the same shape, not clipped.
    """
    padded, crop = pad_to_multiple(blurred, model.config.size_multiple)
    return crop(model(padded)[-1])
