"""What is wrong with a gradient: hypotheses, each tested inside the rounding budget."""
