"""The check of a function that stays with its caller: fed with values, it answers with probes."""
