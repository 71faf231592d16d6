"""Rounding budgets, verdicts, diagnosis, and the black-box checker: no I/O anywhere."""
