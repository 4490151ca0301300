"""Who can be called: the registry of providers, their addresses, and where their keys are."""
