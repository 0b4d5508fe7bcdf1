"""Data sets as AnnData, samples x features: one module a study, and the readers they share."""
