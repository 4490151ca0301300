# %% [markdown]
# # Host fidelity
#
# Two hosts serve "the same open weights". Are their answers the same? Hosts differ in quantization, cache,
# batching and prompt templates, and rarely say so. Here one model file is served by llama.cpp under two
# settings, on this machine: once with the key-value cache in 16 bits, once in 4 bits.
#
# This notebook works in a temporary home folder and never touches your data; leave the `os` line out to use
# your own.

# %%
import os
import tempfile

import pandas as pd
import xllamacpp

import toolkit as tk

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
weights = str(tk.Toolkit().local.models()[0].path)

# %% [markdown]
# ## Two hosts, one file


# %%
def serve(cache_type):
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames, params.port, params.offline = ["127.0.0.1"], 0, True
    params.ui, params.verbosity, params.n_ctx, params.n_parallel = False, 0, 512, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_type_k = params.cache_type_v = cache_type
    return xllamacpp.Server(params)


# %%
kinds = xllamacpp.ggml_type
hosts = {"exact": serve(kinds.GGML_TYPE_F16), "frugal": serve(kinds.GGML_TYPE_Q4_0)}
for name, host in hosts.items():
    tk.providers.add(name, base_url=f"{host.listening_address}/v1", local=True, test=False)

# %% [markdown]
# ## Ask the same
#
# At temperature 0 a host has no choice: the same weights and the same prompt give the same most likely
# tokens. The first host is asked twice, as a control: what differs between its own two rounds is noise.

# %%
QUESTIONS = (
    "Name one river in Europe.",
    "Why is the sky blue?",
    "Translate 'good morning' into French.",
    "Write one sentence about autumn.",
    "Who wrote Faust?",
    "How do bees find flowers?",
)
ROUNDS = (("exact", "exact/weights"), ("control", "exact/weights"), ("frugal", "frugal/weights"))

# %%
rows = []
for number, question in enumerate(QUESTIONS):
    for host, model in ROUNDS:
        reply = tk.complete(model, question, temperature=0, max_tokens=10, logprobs=True)
        sure = [token["logprob"] for token in reply.logprobs]
        score = sum(sure) / len(sure)
        rows.append({"question": number, "host": host, "text": reply.text, "logprob": score})
answers = pd.DataFrame(rows)
texts = answers.pivot(index="question", columns="host", values="text")
texts

# %%
same = texts[["control", "frugal"]].eq(texts["exact"], axis=0)
same.mean().rename("share of identical answers")

# %% [markdown]
# ## Is it equivalent?
#
# "No significant difference" is no proof of sameness: a few questions rarely show one. An equivalence test
# turns the burden around. Say first which difference would not matter (here 0.02 in the mean log-probability
# of the tokens of an answer); the hosts are equivalent when the whole interval of the paired difference lies
# within it.

# %%
from toolkit.stats.comparison import compare_paired

MARGIN = 0.02
scores = {
    host: {str(row.question): [row.logprob] for row in group.itertuples()}
    for host, group in answers.groupby("host")
}


def judge(other):
    found = compare_paired(scores["exact"], scores[other]).difference
    is_equivalent = found.low > -MARGIN and found.high < MARGIN
    return {"difference": found.value, "low": found.low, "high": found.high,
            "equivalent": is_equivalent}  # fmt: skip


# %%
pd.DataFrame({other: judge(other) for other in ("control", "frugal")}).T

# %% [markdown]
# The control is the host itself, so it has to pass; the frugal host is another matter. With hosts in the
# cloud, `serve` is replaced by `tk.providers.add(...)` for each of them, the rest stays. Their logs are in
# the database like all calls:

# %%
tk.sql("SELECT provider, count(*) AS calls, median(duration_ms) AS p50_ms FROM calls GROUP BY ALL")
