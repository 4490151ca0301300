"""One prompt, several panes, and the votes over them."""
