"""How tests compile what they compare: many programs, each run once, so that compiling takes the most time and is no part of what is checked."""

QUICKLY = {"xla_backend_optimization_level": 0}

# What the databases and the fuzzer compare: between narrow ops XLA would keep more bits than they have.
COMPILING = {**QUICKLY, "xla_allow_excess_precision": False}
