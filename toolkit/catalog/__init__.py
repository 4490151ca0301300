"""Every model that the providers list, with facts, prices and history."""
