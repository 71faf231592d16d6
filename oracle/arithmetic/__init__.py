"""Numbers: one set of primitives, in float64, in balls, and in numbers that know their rounding."""
