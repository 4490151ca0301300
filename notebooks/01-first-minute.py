# %% [markdown]
# # The first minute
#
# Call a model, compare two side by side, inspect what was recorded, and draw it. No key and no network are
# needed: the model is SmolLM2-135M-Instruct, run by llama.cpp on this machine.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import os
import tempfile

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

# %% [markdown]
# ## Call a model
#
# The first call starts the built-in model, which takes a few seconds.

# %%
reply = tk.complete(
    "local/smollm2-135m",
    "Name three rivers in Europe.",
    temperature=0,
    max_tokens=60,
)
reply

# %% [markdown]
# The name of each number contains its unit; unknown numbers are `None`. `ttft_ms` is the time from the
# request being sent to the first non-empty chunk of an answer, so a call that was not streamed has none.

# %%
reply.usage, reply.finish_reason, reply.receipt.cost_usd

# %%
with tk.stream("local/smollm2-135m", "Count from one to ten.", max_tokens=60) as pieces:
    for piece in pieces:
        print(piece, end="")
pieces.reply.timing.ttft_ms, pieces.reply.timing.tpot_ms

# %% [markdown]
# ## Compare
#
# Two panes with the same model and different temperatures. They run concurrently.

# %%
board = tk.compare(
    "Explain in one sentence what a hash table is.",
    ["local/smollm2-135m", "local/smollm2-135m"],
    panes=[{"temperature": 0.0}, {"temperature": 1.2}],
    max_tokens=80,
)
board.frame()

# %%
board.figure()

# %% [markdown]
# ## Inspect
#
# Every attempt is one row, failed ones included.

# %%
try:
    tk.complete("local/no-such-model", "Hello")
except tk.errors.ToolkitError as error:
    print(error)

# %%
calls = tk.calls()
calls[["started_at", "model", "origin", "status", "ttft_ms", "duration_ms", "output_tokens"]]

# %% [markdown]
# The same database answers SQL, here, in the shell and in the app.

# %%
tk.sql("""
    SELECT model, origin, count(*) AS calls,
           quantile_cont(ttft_ms, 0.5) AS ttft_p50_ms,
           sum(output_tokens) AS output_tokens
    FROM calls
    WHERE source = 'live'
    GROUP BY ALL
    ORDER BY calls DESC
""")

# %% [markdown]
# ## Draw

# %%
tk.charts.ecdf(calls)

# %%
tk.Toolkit().local.stop()  # the model's server would stop by itself after five idle minutes
