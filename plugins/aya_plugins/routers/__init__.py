"""The bundled routers."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import RouterStrategy, hookimpl
from aya_plugins.routers.all_teachers import AllTeachers
from aya_plugins.routers.fixed import Fixed
from aya_plugins.routers.learned import Learned
from aya_plugins.routers.random_teachers import RandomTeachers
from aya_plugins.routers.single import Single


@hookimpl
def aya_routers() -> Mapping[str, type[RouterStrategy]]:
    """Offer the bundled routers."""
    return {"all": AllTeachers, "single": Single, "random": RandomTeachers, "fixed": Fixed, "learned": Learned}
