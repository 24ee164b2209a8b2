"""Exact ways over an interval for linear models: closed forms, and a ladder of matrix exponentials for the rest."""
