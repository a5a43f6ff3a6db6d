"""The studio: a page that shows a trained language model at work, for `jaxrnn studio`.

`model.py` computes what the page asks for, and `requests.py` says what it may ask.  `app.py` serves
the page and the answers, one computation at a time (`computations.py`), behind the checks of
`guard.py`; `server.py` runs it.  The page itself is in `page/`: plain HTML, CSS and JavaScript
modules, as a browser reads them, without a build step and without anything from elsewhere.
"""
