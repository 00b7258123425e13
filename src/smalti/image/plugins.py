"""Pillow's formats that it does not know from the start; it would import all forty plugins for them."""

from importlib import import_module

_PLUGINS = {"WEBP": "WebPImagePlugin", "AVIF": "AvifImagePlugin", "TIFF": "TiffImagePlugin"}


def register(kind: str) -> None:
    """Import the plugin of a format, as Pillow names it; nothing for those that it always knows."""
    if kind in _PLUGINS:
        import_module(f"PIL.{_PLUGINS[kind]}")
