"""Deblurring without training: blind deconvolution, in NumPy, SciPy and OpenCV alone."""
