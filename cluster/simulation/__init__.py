"""A cluster that is only a clock: the scheduler of real runs, driven by events that a model of costs makes up."""
