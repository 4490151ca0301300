"""Parts that several pages share: head, tables, panels, charts, states, errors."""
