"""Models by name: which files a name may stand for, and whether a folder's content may be loaded.

Names come from callers and folders from others, so neither opens what it likes: a name leads below one of the
deployment's model roots or to a snapshot in the Hugging Face cache, and only safetensors, without code, are loaded.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brand_detect.domain.errors import BadInput, Permanent

MOST_FILES = 1_000
MOST_BYTES = 64 << 30
"""Of a folder: a model of 32 billion parameters in two bytes each. Larger ones belong on a server of their own."""
MOST_CONFIG_BYTES = 16 << 20
"""Of one JSON file that tells how a model is built; real ones take kilobytes."""
ROOTS_HINT = "BRAND_DETECT_MODEL_ROOTS names the folders that models may lie in"
ATTENTIONS = ("eager", "sdpa")
"""What is computed by torch alone; any other name may be that of a kernel, which transformers fetches and runs."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder of a pretrained model.

    Args:
        name: as it was asked for.
        path: where its files lie.
        home: none of its files may lie outside this folder, links followed.
        commit: the revision of a snapshot in the Hugging Face cache; empty for any other folder.
    """

    name: str
    path: Path
    home: Path
    commit: str = ""

    @cached_property
    def revision(self) -> str:
        """The commit, or the hash of all files, which are read from end to end, about a second for each GB.

        Raises:
            Permanent: as ``check``.
        """
        files = self._files()
        if self.commit:
            return self.commit
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.relative_to(self.path).as_posix().encode())
            with file.open("rb") as opened:
                while block := opened.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def check(self) -> None:
        """Look into the folder without loading anything.

        Raises:
            Permanent: it is too large, holds what is no plain file or lies elsewhere, or brings what would be run.
        """
        files = self._files()
        names = {file.relative_to(self.path).as_posix() for file in files}
        if "adapter_config.json" in names:
            raise self._refused("is an adapter to another model", "merge the two and save the result")
        for file in files:
            if file.name.endswith(("config.json", ".index.json")):
                self._check_json(file, names)

    def _files(self) -> list[Path]:
        found, size = [], 0
        for file in self._walk():
            if len(found) == MOST_FILES:
                raise self._refused(f"holds more than {MOST_FILES:,} files", "keep the model's own files in it alone")
            try:
                own = file.resolve().is_relative_to(self.home) and file.is_file() and os.access(file, os.R_OK)
            except (OSError, RuntimeError):  # links in a circle
                own = False
            if not own:
                raise self._refused("holds what is no readable file of its own", f"remove {file.name} from it")
            size += file.stat().st_size
            if size > MOST_BYTES:
                hint = "take a smaller one, or put it on a server: docs/guides/escalate.md"
                raise self._refused(f"takes more than {MOST_BYTES >> 30} GiB", hint)
            found.append(file)
        return sorted(found)

    def _walk(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self.path):
            yield from (Path(folder, name) for name in files)
            yield from (link for name in folders if (link := Path(folder, name)).is_symlink())

    def _check_json(self, file: Path, names: set[str]) -> None:
        """
        Raises:
            Permanent: ``file`` is none of a model's configs, or asks for code, kernels or weights of another kind.
        """

        def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            for key, value in pairs:
                if key == "auto_map" and value:
                    raise self._refused("brings code of its own", "take one that transformers knows by itself")
                if key == "quantization_config" and value:
                    raise self._refused("is quantised", "take its unquantised weights")
                if "attn_implementation" in key:
                    asked = value.values() if isinstance(value, dict) else [value]
                    if any(isinstance(name, str) and name not in ATTENTIONS for name in asked):
                        hint = f"set {key} in its {file.name} to {' or '.join(ATTENTIONS)}"
                        raise self._refused("asks for an attention that is not torch's", hint)
                weights = value.values() if key == "weight_map" and isinstance(value, dict) else [value]
                if key in ("weight_map", "transformers_weights") and not all(map(safe, weights)):
                    raise self._refused("names weights that are no safetensors of its own", f"mend its {file.name}")
            return dict(pairs)

        def safe(name: Any) -> bool:
            return name is None or (name in names and name.endswith((".safetensors", ".safetensors.index.json")))

        if file.stat().st_size > MOST_CONFIG_BYTES:
            raise self._refused(f"has a {file.name} of more than {MOST_CONFIG_BYTES >> 20} MiB", "it is none")
        try:
            content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=check)
        except (ValueError, TypeError, RecursionError) as e:
            raise self._refused(f"has a {file.name} that is no JSON", "fetch it again") from e
        if not isinstance(content, dict):
            raise self._refused(f"has a {file.name} that is none", "fetch it again")

    def _refused(self, why: str, hint: str) -> Permanent:
        return Permanent(f"The model {self.name} {why}.", hint)


class ModelRoots:
    """Turns callers' names of models into folders that may be opened.

    A name is looked for below each root, in their order; an absolute path must lie below one. Links are followed
    before that is judged. What no root holds may be the id of a model in the Hugging Face cache.

    Args:
        roots: folders; the files in them are the deployment's own choice.
    """

    def __init__(self, roots: Iterable[Path | str]) -> None:
        self._roots = [Path(os.path.abspath(root)) for root in roots]  # noqa: PTH100 links in it stay

    def folder(self, name: str) -> ModelFolder:
        """The folder that ``name`` stands for, or the snapshot of the model of that id; nothing is fetched.

        Raises:
            BadInput: it leads out of the roots, whether or not there is something.
            Permanent: there is no such model on this machine.
        """
        for path, root in self._below(name):
            if path.is_dir():
                return ModelFolder(name, path, root)
        return _snapshot(name)

    def _below(self, name: str) -> list[tuple[Path, Path]]:
        """The places below the roots that ``name`` may stand for, each with its root.

        Raises:
            BadInput: there is none.
        """
        found = []
        for root in self._roots:
            path = root / name  # an absolute name stays itself
            if ".." in path.parts or not path.is_relative_to(root):
                continue  # nothing outside is so much as looked at
            try:
                path, home = path.resolve(), root.resolve()
                path.exists()  # refuses what is too long
            except (OSError, ValueError, RuntimeError):  # or holds a zero, or leads in a circle
                continue
            if path.is_relative_to(home):
                found.append((path, home))
        if not found:
            raise BadInput(f"{name} lies in no model root.", ROOTS_HINT)
        return found


def any_folder(name: str) -> ModelFolder:
    """What a person at the command line means by ``name``: a folder anywhere on this machine, or a model's id.

    Raises:
        Permanent: there is no such model on this machine.
    """
    path = Path(name).resolve()
    return ModelFolder(name, path, path) if path.is_dir() else _snapshot(name)


def _snapshot(name: str) -> ModelFolder:
    """
    Raises:
        Permanent: ``name`` is no model's id, or the Hugging Face cache does not hold it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        path = Path(snapshot_download(name, local_files_only=True)).resolve()
    except HFValidationError as e:
        raise Permanent(f"There is no folder {name} for a model.", ROOTS_HINT) from e
    except (OSError, ValueError) as e:
        raise Permanent(f"The model {name} is not on this machine.", fetch(name)) from e
    return ModelFolder(name, path, path.parents[1], path.name)


def fetch(name: str) -> str:
    """The command that puts a model into the Hugging Face cache, for a hint."""
    return f"fetch it: hf download {name}"


def said_by(error: Exception) -> str:
    """What a library says of a file that makes no sense to it, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
