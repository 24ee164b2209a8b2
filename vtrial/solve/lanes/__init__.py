"""Compiled lane kernels: one person's solve as a scalar program, many persons in the lanes of a SIMD register."""

from vtrial.solve.lanes.solver import Lanes

__all__ = ["Lanes"]
