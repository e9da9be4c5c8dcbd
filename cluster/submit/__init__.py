"""The same command on a remote cluster, by Ray's Jobs API: what is sent, under which name, how it is followed."""
