# %% [markdown]
# # What did it cost, and what would it have cost elsewhere?
#
# Receipts, sums, the same calls at another model's prices, and the cost of a request before it is sent. No key and no
# network are needed: the provider is a small server in this notebook, and the prices are your own.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import json
import os
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

# %%
MODELS = [{"id": name, "object": "model"} for name in ("large-1", "small-1")]


def answer(model):
    length = 400 if model == "large-1" else 150
    message = {"role": "assistant", "content": "word " * length}
    usage = {"prompt_tokens": 1000, "completion_tokens": length, "total_tokens": 1000 + length}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


# %%
class JsonServer(BaseHTTPRequestHandler):
    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


# %%
class Model(JsonServer):
    def do_GET(self):
        self.reply({"object": "list", "data": MODELS})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(answer(request["model"]))


# %%
server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
tk.providers.add("acme", base_url=url, local=True, test=False)
tk.catalog.sync("acme")

# %% [markdown]
# ## Prices
#
# Prices of well-known models come with the package. This provider is unknown to everyone, so the prices are set by hand, in
# USD per million tokens.

# %%
tk.catalog.override("acme/large-1", {"price:input": "2.50", "price:output": "10"})
tk.catalog.override("acme/small-1", {"price:input": "0.15", "price:output": "0.60"})

# %% [markdown]
# ## A receipt
#
# The arithmetic is on the reply: tokens by class, the price of each, the sum.

# %%
tk.complete("acme/large-1", "Summarize the report.", tags={"team": "search"})

# %%
for team, model in (("search", "large-1"), ("ads", "small-1"), ("ads", "large-1")):
    for i in range(5):
        tk.complete(f"acme/{model}", f"Summarize report {i}.", tags={"team": team})

# %% [markdown]
# ## Sums
#
# Sums are exact decimals. A call without a price is counted as such and never as 0.

# %%
tk.spend("model")

# %%
tk.spend("tag")

# %% [markdown]
# ## Elsewhere
#
# The same tokens at the prices of another model. Nothing is rewritten and nothing is sent. This says nothing of whether the
# other model would have answered as well, or as briefly: [an evaluation](04-evaluate.ipynb) does.

# %%
tk.catalog.reprice(as_="acme/small-1")

# %% [markdown]
# ## Before a request is sent
#
# An estimate takes the lengths of recorded answers where there are enough of them, and the limit of the request as the most
# that it may cost.

# %%
tk.estimate("acme/large-1", "Summarize the report. " * 100, max_tokens=500)

# %%
server.shutdown()
