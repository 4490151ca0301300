"""Models x prompts x data, with statistics one can defend."""
