"""HTTP/1.1 on uvloop and httptools: one server side, one upstream side, nothing of LLMs."""
