"""One layer quantized at a time, in torch: what comes before it is replayed, what follows is computed."""
