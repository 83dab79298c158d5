"""The network and its training step as compiled functions of Keras' backends.

Imports Keras alone, and the backend when asked: so it runs where there is no TensorFlow. Each
function takes nothing, works on data that are on the device already, and returns when the device
has finished.
"""

import functools

import keras
import numpy as np
from keras import ops

from srn_tf.training.losses import multi_scale_l2

_OPENVINO = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def forward(model, pictures: np.ndarray):
    """A function that restores the pictures.

    Args:
        model: a network of this package.
        pictures: float32 [batch, height, width, channels] in [0, 1].
    """
    backend = keras.backend.backend()
    if backend == "openvino":
        import openvino

        # Left alone, OpenVINO computes float32 in bfloat16 where the processor has it.
        hint = {"INFERENCE_PRECISION_HINT": getattr(openvino.Type, _OPENVINO[model.compute_dtype])}
        openvino.compile_model = functools.partial(openvino.compile_model, config=hint)
        return lambda: model.predict_on_batch(pictures)
    x = ops.convert_to_tensor(pictures)
    if backend == "tensorflow":
        import tensorflow as tf

        from srn_tf.networks.create import constant_weights

        constants = constant_weights(model)  # as Deblurrer has them after some pictures

        @tf.function(autograph=False)
        def run(x):
            with constants():
                return model(x)

        return lambda: run(x)[-1].numpy()
    if backend == "jax":
        import jax

        run = jax.jit(lambda weights, x: model.stateless_call(weights, [], x)[0])
        weights = [variable.value for variable in model.trainable_variables]
        return lambda: jax.block_until_ready(run(weights, x))
    import torch

    def run():
        with torch.inference_mode():
            outputs = model(x)
        _wait_for_torch()
        return outputs

    return run


def training_step(model, optimizer, blurred: np.ndarray, sharp: np.ndarray):
    """A function that takes a step of the optimizer, on JAX or PyTorch, and gives the loss.

    Args:
        model: a network of this package.
        optimizer: a Keras optimizer.
        blurred, sharp: float32 [batch, height, width, channels] in [0, 1].
    """
    optimizer.build(model.trainable_variables)
    blurred, sharp = ops.convert_to_tensor(blurred), ops.convert_to_tensor(sharp)
    if keras.backend.backend() == "jax":
        from srn_tf.training.jax_trainer import JaxTrainer

        trainer = JaxTrainer(model, optimizer)
        return lambda: trainer.step(blurred, sharp)["loss"].block_until_ready()
    import torch

    def step():
        model.zero_grad()
        loss = multi_scale_l2(sharp, model(blurred, training=True))
        loss.backward()
        gradients = [variable.value.grad for variable in model.trainable_variables]
        with torch.no_grad():
            optimizer.apply(gradients, model.trainable_variables)
        _wait_for_torch()
        return loss

    return step


def matmul(side: int, dtype: str):
    """A function that multiplies two square matrices: what the device can reach."""
    x = ops.cast(keras.random.normal((side, side)), dtype)
    # One number of the product is fetched, when all of it is there.
    return lambda: ops.convert_to_numpy(ops.cast(ops.matmul(x, x)[0, 0], "float32"))


def use_precision(precision: str) -> str:
    """Sets how float32 is multiplied from here on: exactly, or as "tf32" on tensor cores.

    Returns:
        The Keras dtype policy.
    """
    if keras.backend.backend() == "jax":
        import jax

        names = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": None}
        jax.config.update("jax_default_matmul_precision", names[precision])
    else:
        import torch

        exact = precision == "float32"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
        torch.backends.cudnn.benchmark = True  # sizes stay the same
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def device() -> str:
    """The device in words; "cpu" where there is no GPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _wait_for_torch() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
