"""Files from the registry: fetched once, checked, kept."""
