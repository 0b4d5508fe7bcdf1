"""One run of the plan: a pair and a row of the methods sheet give a fit."""
