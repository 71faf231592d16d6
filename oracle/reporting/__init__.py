"""A report as text, as JSON and as HTML."""
