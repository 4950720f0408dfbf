"""Ports by hand from other packages, as `torch2eqx bench run --ports benchmarks/ports` takes them. They need equimo 1.1.0 (README)."""
