"""What the benchmarks share; run the scripts beside this folder."""
