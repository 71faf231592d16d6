"""`python -m tests.benchmarks` is `gradient-oracle bench`."""

from oracle.commands.bench import command

if __name__ == "__main__":
    command()
