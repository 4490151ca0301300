# %% [markdown]
# # Cassettes
#
# Record HTTP traffic once and replay it as often as you like: no key, no network, no cost, the same
# answer. The model here is the built-in one, so the recording needs no key either.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import os
import tempfile

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

QUESTION = "Name one river in Europe."


def ask():
    return tk.complete("local/smollm2-135m", QUESTION, temperature=0, max_tokens=20)


# %% [markdown]
# ## Record, then play
#
# The first time the model is called, and the traffic is stored in `cassettes/rivers/one.yaml`, scrubbed of
# keys. The second time nothing is sent.

# %%
with tk.cassette("rivers/one"):
    recorded = ask()
recorded.text

# %%
with tk.cassette("rivers/one", mode="replay"):
    played = ask()
assert played.text == recorded.text
played.text

# %% [markdown]
# The column `source` tells them apart; replayed rows never enter latency, health or cost statistics.

# %%
tk.calls()[["started_at", "model", "source", "status", "output_tokens"]]

# %% [markdown]
# ## Requests that were not recorded
#
# A replay never goes live. A request that was not recorded is an error that shows how it differs from the
# nearest recorded one.

# %%
try:
    with tk.cassette("rivers/one", mode="replay"):
        tk.complete("local/smollm2-135m", "Name one lake.", temperature=0, max_tokens=20)
except tk.errors.CassetteMissing as error:
    print(error)

# %% [markdown]
# ## The file
#
# It is vcrpy's own format, readable and fit for review.

# %%
from pathlib import Path

text = Path("cassettes/rivers/one.yaml").read_text(encoding="utf-8")
print(text[:600])

# %%
tk.Toolkit().local.stop()  # the model's server would stop by itself after five idle minutes
