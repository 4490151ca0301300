"""One parser for each API style in which providers answer, and what several of them share."""
