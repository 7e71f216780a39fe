"""Data arbitrage: ask a pool of teachers, judge, pick."""
