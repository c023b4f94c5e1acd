"""The server's queue in simulated time: discrete events, seeded."""
