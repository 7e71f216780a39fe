"""A trainer that leaves checkpoints along its run."""

import json

from aya_core.api import Field, TrainerStrategy, hookimpl


class Along(TrainerStrategy):
    """Leave checkpoints that say how far off they are: by as much as steps are left."""

    reads = "any"
    steps: int = Field(9, description="Steps.")
    at: tuple[int, ...] = Field((2, 4), description="The steps after which one is left.")
    ends: int = Field(9, description="The step after which the run ends in truth.")

    @property
    def checkpoint_steps(self):
        return self.at

    def build(self):
        return self

    def train(self, job):
        (job.out / "model.json").write_text('{"off": 0}')
        for step in self.at:
            if step <= self.ends:
                (job.out / f"checkpoint-{step}").mkdir()
                (job.out / f"checkpoint-{step}" / "model.json").write_text(json.dumps({"off": self.steps - step}))
        return {"steps": float(self.ends)}


@hookimpl
def aya_trainers():
    return {"along": Along}
