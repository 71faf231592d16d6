"""The document's functions: pure NumPy, no state, inputs never modified."""
