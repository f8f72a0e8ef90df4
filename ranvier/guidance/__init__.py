"""What people are told who call something by the name or the arguments of another library.

`calls.py` and `names.py` catch what does not fit, `words.py` and `arguments.py` know what it is
called here. The tables are read only when an error is shown, so that they cost nothing before.
"""
