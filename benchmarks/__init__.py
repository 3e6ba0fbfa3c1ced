"""Benchmarks against PyTorch: equal weights, data, noise and threads, parity first, then time and memory."""
