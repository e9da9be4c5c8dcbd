"""Many videos in one run: looked at ahead, admitted in order, each on its own journey over shared cells."""
