"""Target and background of a study, selected and checked."""
