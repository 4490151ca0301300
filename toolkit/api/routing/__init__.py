"""What the gateway does around a call: cache, sticky sessions, hedging, shadow traffic.

Each is off unless a setting, a token or a request header asks for it.
"""
