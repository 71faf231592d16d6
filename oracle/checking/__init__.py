"""Rounding budgets, verdicts, diagnosis, and the black-box checker as a state machine without I/O."""
