"""Custom providers as Python classes; the names exported here are public."""

from toolkit.providers.plugins.plugin import Piece, Plugin, PluginRequest, make_plugin

__all__ = ["Piece", "Plugin", "PluginRequest", "make_plugin"]
