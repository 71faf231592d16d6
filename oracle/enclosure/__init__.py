"""The document's functions and their derivatives in ball arithmetic: proven enclosures."""
