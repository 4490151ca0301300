"""The HTTP API: provider management and the OpenAI-compatible gateway."""
