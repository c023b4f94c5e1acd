"""Plans x resolutions x back ends: one process a cell, one table, and a performance model of it."""
