"""Networks as lists of nodes, evaluated and differentiated in any arithmetic."""
