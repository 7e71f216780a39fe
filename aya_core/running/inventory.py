"""The inventory: what of a plan stands in a run folder, by the fingerprints of its nodes."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from aya_core.contract import artifacts, durable
from aya_core.contract.artifacts import Artifact, content_of, stable_hash
from aya_core.contract.errors import AyaError
from aya_core.contract.hashes import Hashes
from aya_core.planning.hub import commit_of, fetch, hub_model
from aya_core.planning.plan import Node, Plan
from aya_core.running.record import RUN, stop_reason
from aya_core.running.run_folder import Run

HASHES = "hashes.jsonl"
"""Hashes of files that are read often, so that they are not."""

ASKED_AGAIN = ".before"
"""Ends the name of an artifact that is asked for again."""


class Inventory:
    """What of a plan stands in a run folder already. Looks, and remembers what it hashed; changes nothing else.

    check: compare files with their manifests, and read those whose size or time of change is another. known: what another inventory of
    the run has found. What a hub id means is looked up once. unresolved: why it cannot be, by id.
    """

    def __init__(self, run: Run, *, check: bool = False, known: Inventory | None = None) -> None:
        self.run = run
        self.check = check
        self.standing: dict[str, Artifact] = {} if known is None else dict(known.standing)
        self._external: dict[str, str] = {} if known is None else known._external
        self.unresolved: dict[str, str] = {} if known is None else known.unresolved

    @cached_property
    def hashes(self) -> Hashes:
        """What is known of files; kept in the run folder, once there is one."""
        return Hashes(self.run.folder / HASHES if (self.run.folder / RUN).is_file() else None)

    def contents(self, node: Node) -> dict[str, str] | None:
        """Content hashes of a node's inputs by role; None while it is not the node's turn, or where it has nothing to do.

        None, too, where a model of the hub is not known.
        """
        if not node.after <= set(self.standing) or self.substitute(node) is not None:
            return None
        known = self.known_contents(node)
        return known if node.external.keys() <= known.keys() else None

    def known_contents(self, node: Node) -> dict[str, str]:
        """Content hashes of those of a node's inputs that stand, by role; of a model of the hub its commit."""
        standing = {role: self.standing[id] for role, id in node.inputs.items() if id in self.standing}
        inside = {role: self._inside(artifact, node.subpaths.get(role)) for role, artifact in standing.items()}
        outside = {role: self.content_outside(path) for role, path in node.external.items()}
        return {**inside, **{role: content for role, content in outside.items() if content is not None}}

    def paths(self, node: Node) -> dict[str, Path]:
        """Where a node's inputs lie, by role, once all of them stand."""
        inside = {role: self.standing[id].payload / node.subpaths.get(role, "") for role, id in node.inputs.items()}
        return inside | {role: self.path_outside(path) for role, path in node.external.items()}

    def path_outside(self, path: str) -> Path:
        """Where a file, folder or model of the user's lies; one of the hub may not be downloaded yet."""
        model = hub_model(path)
        return Path(path) if model is None else model.snapshot(self._external[path])

    def fingerprint(self, node: Node, contents: Mapping[str, str]) -> str:
        """What makes a node's artifact what it is: action, settings, seed, code, and the content of its inputs."""
        made_of = {
            "format": artifacts.FORMAT, "action": node.action, "kind": node.kind, "settings": node.identity,
            "seed": node.seed, "code": node.code, "inputs": contents,
        }  # fmt: skip
        return stable_hash(made_of)

    def substitute(self, node: Node) -> str | None:
        """The node whose artifact is this one's as well; None where it makes its own, or where its guard has not said yet."""
        if node.guard is None or node.guard not in self.standing:
            return None
        return node.fallback if self.stop_reason(node) is not None else node.alias_of

    def stop_reason(self, node: Node) -> str | None:
        """Why a node is not done; None where it is, or where its guard has not said yet."""
        return stop_reason(self.standing.get(node.guard or ""))

    def look(self, node: Node) -> Artifact | None:
        """Find a node's artifact, or the one that stands in for it, and remember it. Raises ArtifactError for a damaged one."""
        if node.id in self.standing:
            return self.standing[node.id]
        other = self.substitute(node)
        if other is not None:
            if other in self.standing:
                self.standing[node.id] = self.standing[other]
            return self.standing.get(other)
        contents = self.contents(node)
        if contents is None:
            return None
        folder = self.run.place(node, self.fingerprint(node, contents))
        if not folder.exists():
            return None
        artifact = artifacts.load(
            folder, node=node.id, kind=node.kind, seed=node.seed, fingerprint=self.fingerprint(node, contents)
        )
        if self.check:
            artifacts.verify(artifact, self.hashes)
        self.standing[node.id] = artifact
        return artifact

    def set_aside(self, artifact: Artifact) -> None:
        """Let a node be done again: what its artifact holds is taken over, what it lacks is asked for."""
        aside = artifact.folder.with_name(artifact.folder.name + ASKED_AGAIN)
        shutil.rmtree(aside, ignore_errors=True)
        durable.rename(artifact.folder, aside)
        del self.standing[artifact.node]

    def find_all(self, plan: Plan) -> dict[str, Artifact]:
        """Find every artifact of a plan that stands, by node id."""
        found = {id: self.look(node) for id, node in plan.nodes.items()}
        return {id: artifact for id, artifact in found.items() if artifact is not None}

    def _inside(self, artifact: Artifact, subpath: str | None) -> str:
        if subpath is None:
            return artifact.content
        if subpath in artifact.files:
            return str(artifact.files[subpath]["sha256"])
        return stable_hash(
            {name: file["sha256"] for name, file in artifact.files.items() if name.startswith(f"{subpath}/")}
        )

    def fetched(self, path: str) -> Path:
        """Where a file, folder or model of the user's lies; one of the hub is downloaded. Raises AyaError where it cannot be."""
        model = hub_model(path)
        if model is None:
            return Path(path)
        commit = self.content_outside(path)
        if commit is None:
            raise AyaError(self.unresolved[path])
        return fetch(model, commit)

    def content_outside(self, path: str) -> str | None:
        """The content hash of a file or folder of the user's, or the commit of a model of the hub; None where that is not known."""
        if path in self.unresolved:
            return None
        model = hub_model(path)
        if path not in self._external and model is not None:
            try:
                self._external[path] = commit_of(model)
            except AyaError as error:
                self.unresolved[path] = str(error)
                return None
        if path not in self._external:
            files = [Path(path)] if Path(path).exists() else sorted(map(Path, glob.glob(path, recursive=True)))
            self._external[path] = stable_hash(
                [[file.name if file.is_file() else "", content_of(file, self.hashes.of)] for file in files]
            )
        return self._external[path]
