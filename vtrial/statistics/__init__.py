"""Formulas of trial statistics: pure functions of arrays."""
