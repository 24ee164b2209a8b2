"""Runs a scalar program in ordinary JAX: nothing of the compiler is in it."""

from vtrial.solve.lanes.program import Program
from vtrial.solve.lanes.traced import Traced


def run(program: Program, fixed, tables: tuple, samples: int):
    """Return a person's samples [samples, columns] and finals [finals], as the compiled kernel does."""
    return Traced(program)(fixed, *tables, samples=samples)
