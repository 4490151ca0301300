"""Everything put together, once, for the face, the pages, the routes and the commands."""
