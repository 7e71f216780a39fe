"""In which language, and in which script, is this text?

Read in this order: `prose.py` drops what is in no language, `scripts.py` knows which letters a language is written
with, `identifier.py` names the language of a piece, and `share.py` cuts text into pieces and puts them together.
`docs/language-identification.md` has the measurements behind the choices.
"""
