"""Programs that use other people's clients; `tests.api.compatibility` runs them."""
