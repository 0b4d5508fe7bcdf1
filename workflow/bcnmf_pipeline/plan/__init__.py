"""What a configuration asks for, as a list of runs."""
