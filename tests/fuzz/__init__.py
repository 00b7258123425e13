"""A fuzzer of our own: every reader of strangers' bytes, with deterministic damage.

python -m fuzz (in tests/) runs as many files as wanted; test_fuzz.py some thousand.
"""
