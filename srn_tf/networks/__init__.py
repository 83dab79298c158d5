"""The networks, on Keras alone: they run on its TensorFlow, JAX and PyTorch backends."""
