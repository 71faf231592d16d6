"""The shortest account of an error: what a gradient that failed holds, and which bug makes it so."""
