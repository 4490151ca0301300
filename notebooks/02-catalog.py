# %% [markdown]
# # The catalog
#
# Every model of every provider, what it can do, what it costs, and what changed since last time. To stay
# offline, this notebook serves a listing of its own; a real provider is added in the same way.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import os
import tempfile

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

STATUS = [200]
MODELS = [
    {"id": "small-1", "object": "model", "context_length": 8192},
    {"id": "large-1", "object": "model", "context_length": 32768},
]

# %%
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Listing(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"object": "list", "data": MODELS}).encode()
        self.send_response(STATUS[0])
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# %%
server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
tk.providers.add("acme", base_url=url, local=True, test=False)

# %% [markdown]
# ## Sync
#
# All providers are listed at once; one that fails keeps its models as they were.

# %%
tk.catalog.sync("acme")
tk.models(provider="acme")[["model", "context_window", "is_enabled", "synced_at"]]

# %% [markdown]
# ## What changed
#
# One model disappears, another is new, and a third gets a larger context window.

# %%
MODELS[:] = [
    {"id": "small-2", "object": "model", "context_length": 16384},
    {"id": "large-1", "object": "model", "context_length": 65536},
]
tk.catalog.sync("acme")
tk.catalog.changes()[["changed_at", "model_id", "kind", "words"]]

# %% [markdown]
# Models that disappeared are marked and never deleted, so old calls keep their model.

# %%
tk.models(provider="acme")[["model", "context_window", "gone_at"]]

# %% [markdown]
# ## Your own facts
#
# An override takes precedence over every other source, and the other values stay visible.

# %%
tk.catalog.override("acme/large-1", {"context_window_tokens": 60_000})
tk.models(provider="acme")[["model", "context_window"]]

# %%
server.shutdown()
