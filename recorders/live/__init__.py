"""The recorder: connections to venues, and everything they say into a raw recording.

transport.py  websockets and REST over aiohttp, behind a small protocol      sink.py      the queue to the writer
clocks.py     clock offsets to the venues, steps of our own clock            status.py    rates, lags, what is shown
recorder.py   drives sessions (``venues/sessions.py``) and writes it all down
feed.py       the records as market data for a run, window by window             market.py    one instrument of it
windows.py    small windows, made fast            warmup.py     delay and clock offset of a session
recorded.py   a recording as the feed of a run
"""
