"""One quick test for each feature that the toolkit promises, at its public interfaces."""
