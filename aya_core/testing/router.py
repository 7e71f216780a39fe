"""What a router must do."""

from __future__ import annotations

from collections.abc import Sequence

from aya_core.contract.kinds import Pool, Router, RouterStrategy
from aya_core.contract.records import Prompt
from aya_core.testing.samples import sample_prompts
from aya_core.testing.strategy import Rules, check_strategy


def check_router(
    strategy: RouterStrategy,
    *,
    teachers: Sequence[str] = ("ana", "bo", "cem"),
    prompts: Sequence[Prompt] | None = None,
) -> None:
    """Check a router on a few prompts. Raises AssertionError that says which rule is broken.

    teachers: the pool, all asked in every language unless it is a Pool that says otherwise; a router that names certain
    teachers needs them in it.
    """
    check_strategy(strategy, "router")
    expect = Rules(strategy)
    prompts = sample_prompts() if prompts is None else prompts
    teachers = teachers if isinstance(teachers, Pool) else Pool(dict.fromkeys(teachers))
    router = strategy.build()
    routes = _routes(router, prompts, teachers)
    expect(len(routes) == len(prompts), f"route() answered {len(routes)} of {len(prompts)} prompts")
    for prompt, names in zip(prompts, router.route(prompts, teachers, 0), strict=True):
        expect(not isinstance(names, str), f"route() gave the text {names!r}; expected a list of names")
        unknown = sorted(set(names) - set(teachers))
        expect(not unknown, f"route() named {unknown} for '{prompt.id}', who are not in the pool")
        expect(len(set(names)) == len(names), f"route() named a teacher of '{prompt.id}' twice")
    expect(_routes(router, prompts, teachers) == routes, "the same call must give the same routes")
    alone = [_routes(router, [prompt], teachers)[0] for prompt in prompts]
    expect(alone == routes, "a route must not depend on which other prompts are asked about with it")
    backwards = _routes(strategy.build(), prompts[::-1], teachers)[::-1]
    expect(backwards == routes, "a route must not depend on the prompts that came before")


def _routes(router: Router, prompts: Sequence[Prompt], teachers: Pool) -> list[tuple[str, ...]]:
    return [tuple(names) for names in router.route(prompts, teachers, 0)]
