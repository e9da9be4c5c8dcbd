"""The cells of a cluster as it is: started, watched, given work; knows Ray through `cluster.transport` alone."""
