"""The check of a function that stays with its caller: pure, fed with values, answering with probes."""
