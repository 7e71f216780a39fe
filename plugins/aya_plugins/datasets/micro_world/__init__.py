"""A world so small that the whole recipe runs on a laptop: word problems in 23 languages, with a score."""

from aya_plugins.datasets.micro_world.world import Example, examples, score, share_in, vocabulary

__all__ = ["Example", "examples", "score", "share_in", "vocabulary"]
