"""The package `toolkit.replay.server.replay_server`."""
