"""Win rates from verdicts that stand: reading them, counting them, and what they say of each model."""
