"""How the databases and the fuzzer compile what they compare: many programs, each run once."""

# Compiling takes the most time, and is no part of what is checked. Between narrow ops XLA would keep more bits than they have.
COMPILING = {"xla_backend_optimization_level": 0, "xla_allow_excess_precision": False}
