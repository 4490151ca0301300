"""The request and response formats that the gateway speaks, one module each.

Each format turns its body into a `ModelRequest` (OpenAI's chat form, which the whole call path
uses) and writes a `Reply`, or the pieces of a stream, in its own form again.
"""
