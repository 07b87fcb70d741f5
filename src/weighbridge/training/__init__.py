"""Training of small specialists: a lane's generator, a Llama-shaped network, and our own conversion to GGUF."""
