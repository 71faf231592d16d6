"""NumPy values to messages and back, shared by server and client."""
