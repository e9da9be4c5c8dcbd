"""Networks, one a file; plain torch modules that know nothing of tasks."""
