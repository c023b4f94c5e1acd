"""Load tests of a server: open loop, from a schedule made before."""
