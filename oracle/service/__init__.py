"""Servicers, the one map from exceptions to statuses, the server and its limits."""
