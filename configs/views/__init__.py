"""Pipeline configs as people read them: with defaults, in words, the schedule as a plot."""
