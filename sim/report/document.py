"""The frame of a page: one file that loads nothing, in the style of all reports."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Final

_DOCUMENT: Final = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{css}</style>
</head>
<body{attributes}>
{body}
</body>
</html>
"""


def asset(name: str) -> str:
    """A file that belongs to the pages."""
    return (files("sim.report") / name).read_text(encoding="utf-8")


def document(title: str, body: str, policy: str, more_css: str = "", attributes: str = "") -> str:
    """A whole page; ``attributes`` of its body, with a space before."""
    css = asset("report.css") + more_css
    return _DOCUMENT.format(policy=policy, title=escape(title), css=css, body=body, attributes=attributes)
