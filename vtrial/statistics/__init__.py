"""Formulas of trial statistics: pure functions of arrays that know nothing of patients, designs or studies."""
