"""The document's networks and losses, as graphs of operators."""
