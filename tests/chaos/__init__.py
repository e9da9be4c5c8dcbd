"""A batch under fire: a real cluster and store, workers, nodes, drivers and the store itself failing; `make chaos`."""
