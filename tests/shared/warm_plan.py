"""Plan the bundled recipe, so that a process that is forked finds read and checked what every command reads and checks."""

from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.planning.registry import Registry

make_plan(load_recipe(Registry().recipes["micro"], ()))
