"""What a plan does and why: its layers, groups, protection, bits, bytes and operations, in tables and plots."""
