"""The built-in local model: llama.cpp's own server in a process of its own."""
