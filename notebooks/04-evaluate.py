# %% [markdown]
# # Evaluate
#
# Three prompts, two temperatures, five repeats of some short questions, sent to the built-in model:
# which prompt is better, and how certain is that? No key and no network are needed.
#
# This notebook works in a temporary home folder and never touches your data; leave the two `os` lines out to use your own.

# %%
import os
import tempfile

import pandas as pd

import toolkit as tk
from toolkit.evals.exchange.eval_report import render_report
from toolkit.evals.results.run_results import summarize_sides

os.environ["TOOLKIT_HOME"] = tempfile.mkdtemp(prefix="toolkit-notebook-")
os.chdir(os.environ["TOOLKIT_HOME"])

# %% [markdown]
# ## Data
#
# Forty short questions come with the package. Every eighth is enough to see how it goes, and few enough
# to show how wide an interval then is.

# %%
whole = tk.Dataset.bundled("first-questions")
questions = tk.Dataset([*whole][::8], name="every eighth question")
questions.frame()

# %% [markdown]
# ## Run
#
# A prompt with its parameters is a *variant*. Each variant answers each question five times; every
# answer is an ordinary recorded call with a receipt. The first call starts the model.

# %%
prompts = {
    "plain": "{{ input }}",
    "terse": "{{ input }} Answer with one word only.",
    "teacher": "You are a teacher. A child asks: {{ input }} Say only the answer.",
}
variants = [
    {"name": f"{name}, t={t}", "prompt": prompt, "params": {"temperature": t}}
    for name, prompt in prompts.items()
    for t in (0, 1)
]

# %%
run = tk.evaluate(
    questions,
    "local/smollm2-135m",
    solvers=variants,
    scorers=["contains"],
    epochs=5,
    params={"max_tokens": 8},
    name="three prompts",
)
print(run)

# %% [markdown]
# ## Results
#
# One row per variant. `n` counts questions, not answers: five repeats of a question are averaged first,
# because they are not five questions. `flicker` is the share of questions whose repeats disagree.

# %%
contains = pd.DataFrame(summarize_sides(run.rows()))
contains[["name", "mean", "low", "high", "n", "answers", "flicker", "p50_ms"]].round(2)

# %%
tk.charts.eval_scores(contains, of=run.name)

# %%
tk.charts.eval_tradeoff(contains, "p50_ms", of=run.name)

# %% [markdown]
# ## Compare, in words
#
# Every pair of variants, question by question; p is corrected for the number of pairs (Holm).

# %%
pairs = run.summary["comparisons"]["contains"]
for pair in sorted(pairs, key=lambda pair: pair["p_value"])[:3]:
    print(f"{pair['a']} and {pair['b']}: {pair['sentence']}")
    print(f"    after Holm, {len(pairs)} comparisons: p = {pair['p_adjusted']:.2g}")

# %% [markdown]
# Five questions are far too few to decide anything, however small p is; take all forty for that. A second
# run over the same questions is compared in the same way: `run.compare(other)`.
#
# ## Score again
#
# Answers are stored: other scorers can be applied without another call.

# %%
from toolkit.toolkit import current

before = len(tk.calls())
again = current().evaluation.rescore(run.run_id, ["fuzzy", "chrf"])
assert len(tk.calls()) == before
again.answers().groupby("variant")[["contains", "fuzzy", "chrf"]].mean().round(2)

# %% [markdown]
# ## Share
#
# One file with everything in it: tables, charts, every answer. It loads nothing from anywhere, so it can
# be mailed or kept. The Evals page of the app shows the same run.

# %%
from pathlib import Path

report = Path("three-prompts.html")
report.write_text(render_report(again.facts, again.rows()), encoding="utf-8")
f"{report}: {report.stat().st_size:,} bytes"

# %%
tk.Toolkit().local.stop()  # the model's server would stop by itself after five idle minutes
