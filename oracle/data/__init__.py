"""The handwritten digits of the demonstration."""
