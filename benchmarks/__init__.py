"""The benchmarks: what a translation costs and how fast its result is, beside torch and other ways to run a model in JAX."""
