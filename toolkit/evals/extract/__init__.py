"""What an answer says: a number, a letter, a verdict, JSON. Read strictly or not at all."""
