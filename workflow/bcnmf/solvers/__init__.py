"""How the factors are found: the published multiplicative updates, and a safeguarded descent."""
