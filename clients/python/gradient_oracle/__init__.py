"""The client of gradient-oracle: reference numbers and verdicts for gradients written by hand."""
