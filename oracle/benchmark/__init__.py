"""What this project costs, beside what a user would use instead, measured in one run."""
