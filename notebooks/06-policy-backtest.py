# %% [markdown]
# # Policy backtest
#
# What if a slow request had been given up after a while and sent to another provider, or sent twice? Attempts that
# were recorded anyway answer that, without another call.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import contextlib
import json
import os
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

# %% [markdown]
# ## Two providers
#
# To stay offline, both are a small server in this notebook. `swift` is fast, but one answer in eight is slow and some
# fail. `steady` is slower and has no such answers.

# %%
rng = np.random.default_rng(5)


def answer(model):
    is_slow = model == "swift" and rng.random() < 0.125
    time.sleep(0.3 if is_slow else 0.02 if model == "swift" else 0.06)
    if model == "swift" and rng.random() < 0.04:
        return 503, {"error": {"message": "overloaded"}}
    message = {"role": "assistant", "content": "Yes."}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return 200, {"object": "chat.completion", "choices": [choice], "usage": usage}


# %%
class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = answer(request["model"])
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


# %%
server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
for name in ("swift", "steady"):
    tk.providers.add(name, base_url=url, local=True, test=False)

# %% [markdown]
# ## Record
#
# Ordinary calls; each attempt is a row. Without retries a failure is an error here.

# %%
for i in range(60):
    with contextlib.suppress(tk.errors.ToolkitError):
        tk.complete("swift/swift", f"Question {i}", max_retries=0)
for i in range(25):
    tk.complete("steady/steady", f"Question {i}")
calls = tk.calls()
calls.groupby("model")["duration_ms"].describe()[["count", "50%", "max"]].round(0)

# %%
tk.charts.ecdf(calls, "duration_ms")

# %% [markdown]
# ## Play them again
#
# One policy per line: the model alone, with a time-out and a fallback, and hedged (a second attempt beside the first one,
# once that takes longer than nine in ten).

# %%
found = tk.backtest(
    [
        tk.Policy(model="swift/swift"),
        tk.Policy(model="swift/swift", timeout_s=0.15, fallback="steady/steady"),
        tk.Policy(model="swift/swift", hedge_after_s="p85", fallback="steady/steady"),
        tk.Policy(model="steady/steady"),
    ],
    calls,
)
found

# %% [markdown]
# The figures in brackets are 95 % intervals. A fallback removes the slowest answers and the errors; a hedge does the same
# sooner and pays for both attempts.
#
# ## How sure is that?
#
# Fewer attempts, wider intervals. With 20 of them a 95th percentile rests on a single attempt, and a note says so.

# %%
policy = tk.Policy(model="swift/swift", timeout_s=0.15, fallback="steady/steady")
few = calls.groupby("model").head(20)
columns = ["attempts", "p95_s", "p95_s_low", "p95_s_high"]
tables = [tk.backtest(policy, rows).frame()[columns] for rows in (calls, few)]
[table.round(3).iloc[0].to_dict() for table in tables]

# %% [markdown]
# ## What the records cannot say
#
# Attempts that had been given up after 0.1 s say nothing of what would have come later. They are not taken for failures
# of a longer time-out in silence: the share of such requests is given.

# %%
limited = calls.assign(duration_ms=calls.duration_ms.clip(upper=100))
limited.loc[calls.duration_ms > 100, ["status", "error_code"]] = ["error", "TIMEOUT"]
unknown = tk.backtest(tk.Policy(model="swift/swift", timeout_s=0.3), limited)
unknown.notes

# %%
server.shutdown()
