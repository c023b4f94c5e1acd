"""Measuring every layer's sensitivity: the order, the journal that survives an interruption, the table."""
