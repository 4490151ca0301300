# %% [markdown]
# # A leaderboard from your own votes
#
# Which of three models answers your prompts best, by your own judgement, and how certain is the ranking? No key and no
# network are needed: the provider is a small server in this notebook.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import itertools
import json
import os
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

# %%
LENGTHS = {"brief": 4, "middling": 9, "chatty": 30}


def events(model):
    for _ in range(LENGTHS[model]):
        yield {"choices": [{"index": 0, "delta": {"content": f"{model} "}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


# %%
class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in events(request["model"]):
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


# %%
server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
tk.providers.add("acme", base_url=url, local=True, test=False)

# %% [markdown]
# ## Compare and vote
#
# A board puts the answers side by side. `vote` takes the index of the better pane, `"tie"` or `"both_bad"`.

# %%
board = tk.compare("What is a hash table?", ["acme/brief", "acme/chatty"])
board

# %%
board.vote(0, note="says what it is and stops")

# %% [markdown]
# A person would look at each board. Here a rule votes: the shorter answer is better in three of four cases.

# %%
rng = np.random.default_rng(3)
for a, b in [*itertools.combinations(LENGTHS, 2)] * 8:
    board = tk.compare("What is a hash table?", [f"acme/{a}", f"acme/{b}"])
    shorter = 0 if LENGTHS[a] < LENGTHS[b] else 1
    board.vote(shorter if rng.random() < 0.75 else 1 - shorter)

# %% [markdown]
# ## Rank
#
# Bradley-Terry ratings on the scale of chess with 95 % intervals. Models whose intervals overlap share a rank: the votes do
# not tell them apart.

# %%
from toolkit.compare.ranking import leaderboard

votes = tk.sql("SELECT * FROM votes")
leaderboard(votes.to_dict("records")).round(0)

# %% [markdown]
# The Compare page of the app and `toolkit board leaderboard` show the same ranking. The votes are rows like everything else:

# %%
tk.sql("""
    SELECT model_a, model_b, outcome, count(*) AS votes
    FROM votes GROUP BY ALL ORDER BY votes DESC, model_a
""")

# %%
server.shutdown()
