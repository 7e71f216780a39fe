"""Translations scored by xCOMET or COMET, in an environment of their own.

unbabel-comet cannot be installed beside us: it needs numpy below 2, and transformers and protobuf below 5. `environment.py`
makes it an environment, `worker.py` runs in there, `process.py` talks to it, and `scoring.py` keeps what it said.

Source: Guerreiro et al. 2024, xCOMET (TACL 12, arXiv 2310.10482); Rei et al. 2020, COMET (arXiv 2009.09025).
"""
