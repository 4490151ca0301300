# %% [markdown]
# # Which model is fastest, and why?
#
# "Fast" is several things: the wait for the first token, the pace after it, and the time of the whole answer. Two models differ
# in each, and their timelines show where the time goes. No key and no network are needed.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import json
import os
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

# %% [markdown]
# ## Two models
#
# A small server in this notebook streams both. `eager` answers at once and writes slowly, `pensive` waits and then writes fast.

# %%
WAITS = {"eager": (0.02, 0.012), "pensive": (0.15, 0.003)}


def events(model):
    first_s, next_s = WAITS[model]
    for i in range(40):
        time.sleep(first_s if i == 0 else next_s)
        yield {"choices": [{"index": 0, "delta": {"content": f"word{i} "}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52}
    yield {"choices": [], "usage": usage}


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
# ## Measure
#
# TTFT is the time from the request being sent to the first token, TPOT the time per token after it. One call says little, so
# each model is called eight times, in turns: what disturbs one disturbs the other.

# %%
for i in range(8):
    for model in WAITS:
        with tk.stream(f"acme/{model}", f"Question {i}") as pieces:
            text = "".join(pieces)
pieces.reply

# %%
calls = tk.calls(status="ok")
measures = ["ttft_ms", "tpot_ms", "duration_ms", "output_tps"]
calls.groupby("model")[measures].median().round(1)

# %% [markdown]
# `eager` is first with the first token, `pensive` with the whole answer. Which is faster depends on whether somebody reads
# along.
#
# ## How certain is that?
#
# The whole distribution, and the difference of the medians with a bootstrap interval.

# %%
tk.charts.ecdf(calls, "duration_ms")

# %%
from toolkit.stats.comparison import compare_paired

sides = {
    name: {str(i): [ms] for i, ms in enumerate(rows["duration_ms"])}
    for name, rows in calls.sort_values("started_at").groupby("model")
}
result = compare_paired(sides["acme/eager"], sides["acme/pensive"])
result.difference, result.p_value

# %% [markdown]
# ## Why?
#
# The parts of a call, from its row: waiting for the first token, then writing.

# %%
tk.charts.waterfall(calls.groupby("model").head(1))

# %%
server.shutdown()
