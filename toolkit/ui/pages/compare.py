"""Compare: one prompt, two to eight models, side by side while they answer."""

import streamlit as st

from toolkit.toolkit import current
from toolkit.ui.compare.panes import PaneActions, draw_panes, error_card
from toolkit.ui.compare.session import answer_names, compare_state
from toolkit.ui.compare.vote_panel import draw_verdict
from toolkit.ui.components.model_picker import draw_choices
from toolkit.ui.home.first_use import ask_two_models

POLL_EVERY_S = 0.25
MIN_MODELS = 2

toolkit = current()
state = compare_state()


def run() -> None:
    """Ask all chosen models the prompt."""
    prompt = st.session_state.get("compare-prompt") or ""
    state.ask(toolkit, prompt, is_blind=bool(st.session_state.get("compare-blind")))


def stop() -> None:
    """Stop every pane that still streams."""
    if state.running is not None:
        state.running.stop()


def panes_now() -> None:
    """Draw the panes as they are now; draw the whole page once they are over."""
    running = state.running
    if running is None:
        return
    panes = running.panes
    names = answer_names(panes, hidden=state.hides_names)
    draw_panes(panes, names, "pane", PaneActions(stop=running.stop, retry=running.retry))


@st.fragment(run_every=POLL_EVERY_S)  # type: ignore[untyped-decorator]
def panes_live() -> None:
    """The same, over and over, until every pane is over."""
    panes_now()
    if not state.is_running:
        st.rerun(scope="app")


st.title("Compare")
if state.next_prompt is not None:
    st.session_state["compare-prompt"], state.next_prompt = state.next_prompt, None
st.text_area(
    "Prompt",
    key="compare-prompt",
    height=110,
    placeholder="What should every model answer?",
    persist_state="session",
)
draw_choices(toolkit, state)

with st.container(horizontal=True, vertical_alignment="center"):
    st.button(
        "Run",
        type="primary",
        icon=":material/play_arrow:",
        on_click=run,
        disabled=state.is_running or len(state.choices) < MIN_MODELS,
        help="Asks every model at once. Cloud models cost what their price says.",
    )
    st.button(
        "Stop",
        icon=":material/stop:",
        on_click=stop,
        disabled=not state.is_running,
    )
    st.toggle(
        "Blind",
        key="compare-blind",
        disabled=state.is_running,
        help="Hides the models' names and shuffles them until you have voted.",
    )

if state.trouble is not None:
    error_card(state.trouble)
if state.running is None:
    st.caption("The same question to several models: what each says, how fast, for how much.")
    ask_two_models(toolkit, state)
elif state.is_running:
    panes_live()
else:
    panes_now()
    draw_verdict(state)
