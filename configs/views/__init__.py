"""Pipeline configs as people read them: with defaults, in words, the nearest recipe, the schedule as a plot."""
