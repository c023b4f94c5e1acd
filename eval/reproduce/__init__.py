"""The tables and figures of the paper and of the earlier report, as whole recipes."""
