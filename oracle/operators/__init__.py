"""What is known of functions: one module for each operator, and the table of them."""
