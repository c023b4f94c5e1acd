"""What a plan does and why: its layers, protection, bits, bytes and operations, in tables and plots."""
