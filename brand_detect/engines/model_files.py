"""Resolves names of models to folders, and checks whether a folder's content is safe to load.

Neither names, which come from callers, nor folders, which come from third parties, are trusted: a name must resolve to
a path below one of the deployment's model roots or to a snapshot in the Hugging Face cache, and only safetensors
without code are loaded.
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
"""Largest folder: a model of 32 billion parameters at two bytes each. Larger ones belong on a server."""
MOST_CONFIG_BYTES = 16 << 20
"""Largest JSON config; real ones take kilobytes."""
ROOTS_HINT = "BRAND_DETECT_MODEL_ROOTS lists the folders that models may be loaded from"
ATTENTIONS = ("eager", "sdpa")
"""Attention implementations within torch; any other name may make transformers download and run a kernel."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder of a pretrained model.

    Args:
        name: as requested.
        path: the folder with its files.
        home: all files must be inside this folder, links resolved.
        commit: the revision of a snapshot in the Hugging Face cache; empty for any other folder.
    """

    name: str
    path: Path
    home: Path
    commit: str = ""

    @cached_property
    def revision(self) -> str:
        """The commit, else the hash of all files; reads them completely, at about a second per GB.

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
        """Checks the folder without loading anything.

        Raises:
            Permanent: it is too large, contains special files or links to the outside, or brings code.
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
                raise self._refused(f"has more than {MOST_FILES:,} files", "keep only the model's own files in it")
            try:
                own = file.resolve().is_relative_to(self.home) and file.is_file() and os.access(file, os.R_OK)
            except (OSError, RuntimeError):  # circular links
                own = False
            if not own:
                raise self._refused(
                    "contains an entry that is not a readable file of its own", f"remove {file.name} from it"
                )
            size += file.stat().st_size
            if size > MOST_BYTES:
                hint = "use a smaller one, or run it on a server: docs/guides/escalate.md"
                raise self._refused(f"takes more than {MOST_BYTES >> 30} GiB", hint)
            found.append(file)
        return sorted(found)

    def _walk(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self.path):
            yield from (Path(folder, name) for name in files)
            yield from (link for name in folders if (link := Path(folder, name)).is_symlink())

    def _check_json(self, file: Path, names: set[str]) -> None:
        """Checks one JSON file.

        Raises:
            Permanent: ``file`` is not a config, or refers to code, kernels or weights of another format.
        """

        def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            for key, value in pairs:
                if key == "auto_map" and value:
                    raise self._refused("brings its own code", "use one that transformers supports itself")
                if key == "quantization_config" and value:
                    raise self._refused("is quantised", "use its unquantised weights")
                if "attn_implementation" in key:
                    asked = value.values() if isinstance(value, dict) else [value]
                    if any(isinstance(name, str) and name not in ATTENTIONS for name in asked):
                        hint = f"set {key} in its {file.name} to {' or '.join(ATTENTIONS)}"
                        raise self._refused("selects an attention that is not torch's", hint)
                weights = value.values() if key == "weight_map" and isinstance(value, dict) else [value]
                if key in ("weight_map", "transformers_weights") and not all(map(safe, weights)):
                    raise self._refused("refers to weights that are not its own safetensors", f"fix its {file.name}")
            return dict(pairs)

        def safe(name: Any) -> bool:
            return name is None or (name in names and name.endswith((".safetensors", ".safetensors.index.json")))

        if file.stat().st_size > MOST_CONFIG_BYTES:
            raise self._refused(f"has a {file.name} of more than {MOST_CONFIG_BYTES >> 20} MiB", "it is not a config")
        try:
            content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=check)
        except (ValueError, TypeError, RecursionError) as e:
            raise self._refused(f"has a {file.name} that is not JSON", "download it again") from e
        if not isinstance(content, dict):
            raise self._refused(f"has a {file.name} that is not a config", "download it again")

    def _refused(self, why: str, hint: str) -> Permanent:
        return Permanent(f"The model {self.name} {why}.", hint)


class ModelRoots:
    """Resolves callers' names of models to folders that may be opened.

    A name is looked up below each root, in order; an absolute path must be below one, after links are resolved. If no
    root has it, the name may be the id of a model in the Hugging Face cache.

    Args:
        roots: folders whose content the deployment trusts.
    """

    def __init__(self, roots: Iterable[Path | str]) -> None:
        self._roots = [Path(os.path.abspath(root)) for root in roots]  # noqa: PTH100 keeps links

    def folder(self, name: str) -> ModelFolder:
        """The folder called ``name``, else the snapshot of the model with that id; downloads nothing.

        Raises:
            BadInput: it points outside the roots, whether or not it exists.
            Permanent: there is no such model on this machine.
        """
        for path, root in self._below(name):
            if path.is_dir():
                return ModelFolder(name, path, root)
        return _snapshot(name)

    def _below(self, name: str) -> list[tuple[Path, Path]]:
        """The paths below the roots that ``name`` may refer to, each with its root.

        Raises:
            BadInput: there is no such path.
        """
        found = []
        for root in self._roots:
            path = root / name  # an absolute name stays as it is
            if ".." in path.parts or not path.is_relative_to(root):
                continue  # never touches the file system outside
            try:
                path, home = path.resolve(), root.resolve()
                path.exists()  # raises if too long
            except (OSError, ValueError, RuntimeError):  # or contains a null byte, or a circular link
                continue
            if path.is_relative_to(home):
                found.append((path, home))
        if not found:
            raise BadInput(f"{name} is outside all model roots.", ROOTS_HINT)
        return found


def any_folder(name: str) -> ModelFolder:
    """Resolves a name from the command line: a folder anywhere on this machine, or a model's id.

    Raises:
        Permanent: there is no such model on this machine.
    """
    path = Path(name).resolve()
    return ModelFolder(name, path, path) if path.is_dir() else _snapshot(name)


def _snapshot(name: str) -> ModelFolder:
    """The snapshot of a model in the Hugging Face cache.

    Raises:
        Permanent: ``name`` is not a model's id, or the cache lacks it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        path = Path(snapshot_download(name, local_files_only=True)).resolve()
    except HFValidationError as e:
        raise Permanent(f"There is no model folder {name}.", ROOTS_HINT) from e
    except (OSError, ValueError) as e:
        raise Permanent(f"The model {name} is not on this machine.", fetch(name)) from e
    return ModelFolder(name, path, path.parents[1], path.name)


def fetch(name: str) -> str:
    """A hint with the command that downloads a model to the Hugging Face cache."""
    return f"download it: hf download {name}"


def reason_of(error: Exception) -> str:
    """A library's error message on one line, truncated."""
    return " ".join(str(error).split())[:200] or type(error).__name__
