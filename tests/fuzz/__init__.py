"""Fuzzing: what comes from outside, in every shape that a mutator can think of."""
