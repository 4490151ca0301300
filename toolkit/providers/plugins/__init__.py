"""Providers that are classes: what a plugin's author imports from here is public."""

from toolkit.providers.plugins.plugin import Piece, Plugin, PluginRequest, make_plugin

__all__ = ["Piece", "Plugin", "PluginRequest", "make_plugin"]
