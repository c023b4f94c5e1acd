"""Which resolution a request gets: pure decisions, shared by the server and the simulator."""
