"""The document's functions, their exact derivatives, and verdicts on the gradients of others."""
