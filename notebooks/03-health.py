# %% [markdown]
# # Health
#
# Which providers work, judged by your calls first and by free probes where there are none. To stay offline,
# the provider is a small server in this notebook that can be made to fail.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import os
import tempfile

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

STATUS = [200]
MODELS = [{"id": "small-1", "object": "model"}]

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
# ## Check
#
# A check reads the free listing of models and costs nothing.

# %%
tk.health.check("acme")
tk.health.frame()[["provider", "state", "reason", "uptime", "uptime_n"]]

# %% [markdown]
# ## It fails
#
# One failure is not an outage: a provider is `down` after three failures in a row.

# %%
STATUS[0] = 503
for _ in range(3):
    tk.health.check("acme")
tk.health.frame()[["provider", "state", "reason", "uptime", "uptime_n"]]

# %% [markdown]
# Each probe is one row, with its outcome and duration.

# %%
tk.probes()[["probed_at", "provider", "outcome", "http_status", "latency_ms"]]

# %% [markdown]
# ## A pause
#
# A paused provider is not probed, and its state says so; it can still be called.

# %%
tk.health.pause("acme")
paused = tk.health.frame()
tk.health.resume("acme")
paused[["provider", "state", "reason"]]

# %% [markdown]
# ## What it cost
#
# Nothing, unless a budget for probes is set.

# %%
tk.health.budget()

# %%
server.shutdown()
