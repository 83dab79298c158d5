"""The authors' reference numbers, and the weights they were computed with.

`golden/` holds inputs, and what the authors' programs computed from them with weights that a seed
and a recipe give. Needs Keras alone, so that benchmarks can check a GPU with them, too.
"""

import ast
import pathlib

import numpy as np

import srn_tf
from srn_tf.checkpoints import archive, pytorch, tf1

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"


def variables_by_stored_name(model) -> dict:
    """The variables of a model by the names in its authors' files."""
    source = pytorch if model.name == "mscnn" else tf1
    return source.variables_by_stored_name(model)


def recipe_weights(name: str) -> tuple[dict, dict]:
    """The reference numbers of a model, and the weights they were computed with.

    The recipe: standard normal numbers drawn in the order of the sorted names, kernels scaled by
    0.7 / sqrt(product of all dimensions but the output's), biases by 0.05. The output's dimension
    counts as the last one in TensorFlow's files, as the first in PyTorch's.
    """
    reference = dict(np.load(GOLDEN / f"{name}.npz"))
    names = [str(stored) for stored in reference["names"]]
    if "shapes" in reference:
        stored_shapes = zip(names, reference["shapes"], strict=True)
        shapes = {stored: ast.literal_eval(shape) for stored, shape in stored_shapes}
    else:
        variables = variables_by_stored_name(srn_tf.create_model(name))
        shapes = {stored: tuple(variable.shape) for stored, variable in variables.items()}
    rng = np.random.RandomState(int(reference["seed"]))
    weights = {}
    for stored in sorted(names):
        shape = shapes[stored]
        values = rng.standard_normal(shape)
        if stored.endswith("weights"):
            values *= 0.7 / np.sqrt(np.prod(shape[:-1]))
        elif stored.endswith("weight"):
            values *= 0.7 / np.sqrt(np.prod(shape[1:]))
        else:
            values *= 0.05
        weights[stored] = values.astype(np.float32)
    return reference, weights


def golden(name: str):
    """A model with the weights of the recipe, and the reference numbers."""
    reference, weights = recipe_weights(name)
    model = srn_tf.create_model(name)
    arrays = pytorch.from_torch(weights) if name == "mscnn" else weights
    archive.assign(variables_by_stored_name(model), arrays, name)
    return model, reference
