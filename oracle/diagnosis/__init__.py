"""The shortest account of an error: what a gradient that failed holds, and the bug behind it."""
