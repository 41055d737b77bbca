"""Importers of what people have: one module a family of formats, found and named by ``registry``.

    reading    packed files, CSV in batches, exact numbers from text
    request    what the user asked for, and the instruments that may be used
    running    instruments and their parts, one after the other into the lake
    assembly   blocks in receive order to recordings: the path that all of them share
    registry   the formats: name, recogniser, importer; what the command and the docs are made from
    tardis ... a family each

How to add one: docs/formats.md.
"""
