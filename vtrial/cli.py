"""The command line: compose a study with Hydra, check it, build it, run it. Everything heavy is imported after that."""

import contextlib
import gc
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtrial import __version__
from vtrial._resources import directory
from vtrial.choices import settled, studies, told
from vtrial.command import check_asked, check_grid, check_words
from vtrial.errors import UserError, within
from vtrial.mistakes import own_folders, sentence
from vtrial.overrides import Grid, Variants, composed, conduct_variants, grid, plain
from vtrial.runtime import apply, compile_clock, interruptible

if TYPE_CHECKING:
    from omegaconf import DictConfig

_START = time.perf_counter()
_HELP = """\
vtrial: from real patient data to a virtual trial and a decision

  vtrial                               list the studies
  vtrial -cn STUDY                     run a study
  vtrial -cn STUDY key=value ...       ... with other settings, e.g. design.per_arm=80 solver=general
  vtrial -cn STUDY directory=DIR       ... in this directory; a directory with an unfinished run is resumed
  vtrial -cn STUDY -m key=a,b,c        ... once for each value
  vtrial -cn STUDY -cd FOLDER          a study (and model) of your own, in FOLDER
  vtrial -cn STUDY --cfg job           show the composed configuration and stop
  vtrial sweep -cn STUDY a=1,2 b=x,y   conduct the trials of every combination; what they share is done once
  vtrial calibrate -cn STUDY ...       find a size or threshold, e.g. calibrate.vary=design.per_arm
                                       calibrate.between=[20,200] calibrate.target='{power: 0.8}'
  vtrial sbc -cn STUDY ...             check its inference on data simulated from its prior, e.g. sbc.replicates=500
  vtrial recover -cn STUDY ...         find known parameters again in simulated data, e.g. recover.at='{CL: 3}'
  vtrial optimise -cn STUDY optimise=dose ... find doses, or sampling times, by gradients (conf/optimise)
  vtrial compare RUN RUN ...           compare models of the same data, fitted in these directories, by leave-one-out
  vtrial compare RUN RUN directory=DIR ... and keep the table in DIR, as a page and CSV
  vtrial average RUN RUN directory=DIR ... and conduct their trials over all models, by stacking weight

Every key and its default is in conf/ and studies/. HYDRA_FULL_ERROR=1 shows tracebacks; --hydra-help Hydra's options;
--version the version of vtrial.
"""
_REHEARSALS = ("sbc", "recover")
"""Subcommands that take a study and its settings under a key of their own name."""
_VARIANTS = ("sweep", "calibrate")
"""Subcommands that conduct the trials of several variants of a study."""
_OPTIMISE = "optimise"  # subcommand and key of a search
_RUNTIME = ("runtime", "directory", "calibrate", *_REHEARSALS, _OPTIMISE)
"""Keys that say how and where to run, not what: no part of a study's identity."""


def main() -> None:
    """Run the command; a user's mistake ends it with one sentence and exit code 2."""
    arguments = sys.argv[1:]
    named = any(a.startswith(("-cn", "--config-name")) for a in arguments)
    if not arguments:
        print(_listing())
    elif "--version" in arguments:
        print(f"vtrial {__version__}")
    elif {"--help", "-h"} & set(arguments) and not named:
        print(_HELP, end="")
    elif arguments[0] in ("compare", "average"):
        sys.exit(_several(arguments[0], arguments[1:]))
    else:
        # Hydra reads the rest from there.
        _task.command = sys.argv.pop(1) if arguments[0] in (*_REHEARSALS, *_VARIANTS, _OPTIMISE) else ""
        sys.exit(_hydra(sys.argv[1:]))


def _several(command: str, arguments: list[str]) -> int:
    """Compare finished runs, print the table, and keep it if a directory is given; average their trials if asked to."""
    runs = [a for a in arguments if not a.startswith("directory=")]
    places = [Path(a.partition("=")[2]) for a in arguments if a.startswith("directory=")]
    try:
        if unknown := [a for a in runs if a.startswith("-") or ("=" in a and not Path(a).exists())]:
            raise UserError(f"'{unknown[0]}' is no run; say: vtrial {command} RUN RUN ... directory=DIR")
        if command == "average" and not places:
            raise UserError("Averaged trials need a place: vtrial average RUN RUN ... directory=DIR")
        apply({})
        from vtrial.report.comparison import as_page, as_text, compare_runs, keep, open_run

        found, table, remarks = compare_runs([Path(r) for r in runs])
        print(as_text(table, remarks))
        for place in places:
            keep(place, found, table, remarks)
            if command == "average":
                from omegaconf import OmegaConf

                from vtrial.average import average, write

                trees = {r: open_run(Path(r)) for r in runs}
                averaged = average(build(OmegaConf.create(str(trees[runs[0]].attrs["config"]))), trees)  # pyright: ignore[reportArgumentType]
                write(averaged, place, as_page(table, remarks, averaged))
                print(f"Averaged trials are in {place}")
    except UserError as error:
        return _say(str(error), 2)
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}; give another directory, or permit writing there.", 2)
    return 0


def _listing() -> str:
    lines = ["Studies:", ""]
    for name, question in studies():
        lines += [f"  {name}", f"      {question}", ""]
    return "\n".join([*lines, "Run one with `vtrial -cn NAME`; `vtrial --help` says more."])


def _hydra(arguments: list[str]) -> int:
    """Hand over to Hydra, and turn what goes wrong into a sentence and an exit code."""
    import hydra
    from hydra.core.plugins import Plugins

    # ArviZ tells which plotting library it found, as soon as it is imported.
    logging.getLogger("arviz").setLevel(logging.WARNING)

    before = interruptible()
    asked = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then lets exceptions through, and they are told here.
    Plugins.instance().register(_studies_path())
    _task.directory, _task.grid = None, Grid([], [], {})
    try:
        own = [f.stem for folder in own_folders(arguments) for f in folder.glob("*.yaml")]
        check_words(_task.command, arguments, [*own, *(name for name, _ in studies())])
        if _task.command in _VARIANTS:
            _task.grid = grid(arguments, _RUNTIME)
            check_grid(_task.command, _task.grid)
            sys.argv[1:] = _task.grid.first()
        elif {"-m", "--multirun"} & set(arguments):
            _task.grid = _jobs(arguments)
        hydra.main(version_base="1.3", config_path=str(directory("conf")), config_name=None)(_task)()
    except KeyboardInterrupt:
        return _say(f"Interrupted; complete stages are kept. {_resume(arguments)}".strip(), 130)
    except (_Failed, Exception) as failure:
        error = failure.error if isinstance(failure, _Failed) else failure
        said = sentence(error, arguments)
        if said is None or asked not in (None, "", "0"):
            raise error from error.__cause__
        if not any(a.startswith(("directory=", "hydra.")) for a in arguments):
            _remove_if_empty()
        return _say(said, 2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.environ.pop("HYDRA_FULL_ERROR")
        if asked is not None:
            os.environ["HYDRA_FULL_ERROR"] = asked
    return 0


def _jobs(arguments: list[str]) -> Grid:
    """Return the jobs of a multirun, to check them all first; none where a sweeper of the user's own makes them."""
    try:
        return grid(arguments, ())
    except UserError:
        return Grid([], [], {})


@cache
def _studies_path() -> type:
    """Return the plugin that lets Hydra find studies as primary configurations beside conf/."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class StudiesPath(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            search_path.append("vtrial", f"file://{directory('studies')}")

    return StudiesPath


class _Failed(BaseException):
    """Carries a failure of the run past Hydra, which would print a line of its own for an `Exception`."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error


def _remove_if_empty() -> None:
    """Remove the directory of a run that ended before it began: it holds a log, nothing else."""
    folder = _task.directory
    if folder is not None and folder.is_dir() and {f.name for f in folder.iterdir()} <= {"vtrial.log", ".lock"}:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # the study's folder, if that was its only run
            folder.parent.rmdir()


def _say(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return code


def _resume(arguments: list[str]) -> str:
    """Say how to go on with the run that was interrupted, if it had begun and is none of a sweep."""
    if _task.directory is None or {"-m", "--multirun"} & set(arguments):
        return ""
    kept = [a for a in arguments if not a.startswith("directory=")]
    command = [_task.command] if _task.command else []
    return f"Go on with: vtrial {shlex.join([*command, *kept, f'directory={_task.directory}'])}"


class _Task:
    """What Hydra calls with the composed configuration; it remembers the directory of the run."""

    __name__ = "vtrial"
    directory: Path | None = None
    command: str = ""  # a rehearsal or several variants instead of a run
    grid: Grid = Grid([], [], {})
    _began: float = _START

    def __call__(self, config: "DictConfig") -> None:
        """Run one study."""
        try:
            self._run(config)
        except Exception as error:
            raise _Failed(error) from error

    def _run(self, config: "DictConfig") -> None:
        """Check, build and run."""
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        job = HydraConfig.get()
        self.directory = Path(job.runtime.output_dir)
        log = logging.getLogger("vtrial")
        every: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        check_asked(self.command, every)
        apply(every.get("runtime"))
        begin = time.perf_counter()
        timing, self._began = {"start": begin - self._began}, begin
        folder = _own_folder(job)
        name = job.job.config_name or "study"
        said: Any = OmegaConf.to_container(job.overrides.task, resolve=False)
        config, gone = settled(config, name, said, folder)
        if gone and self.command not in _VARIANTS:
            log.warning("%s", told(gone))
        every = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        study = build(config, folder)
        if self.grid.axes and self.command not in _VARIANTS and job.job.num == 0:
            self._build_jobs(name, folder)
        from vtrial.run import run

        gc.freeze()  # what was imported stays: to look through it again and again takes a tenth of a short run
        timing["import and build"] = time.perf_counter() - begin
        described = {k: v for k, v in every.items() if k not in _RUNTIME}
        text = OmegaConf.to_yaml(OmegaConf.create(described))
        log.info("study %s in %s", name, self.directory)
        if self.command in _VARIANTS:
            given = Variants(name, self.grid, _RUNTIME, lambda c: build(c, folder), folder)
            part = partial(_part, "calibrate", every.get("calibrate"), folder=folder)
            print(conduct_variants(self.command, given, part, self.directory))
            return
        if self.command == _OPTIMISE:
            print(_search(every.get(_OPTIMISE), folder, study, self.directory, {"study": name, "config": text}))
            return
        if self.command:
            from vtrial.rehearsal import SETTINGS, rehearse

            settings = _part(self.command, every.get(self.command), SETTINGS[self.command], folder)
            print(rehearse(settings, study, self.directory, {"study": name, "config": text}))
            return
        run(study, self.directory, name=name, config=text, timing=timing, compiled=compile_clock())
        log.info("Done. Report: %s", self.directory / "report.html")
        print(f"Everything is in {self.directory}", flush=True)
        self._began = time.perf_counter()

    def _build_jobs(self, name: str, folder: Path | None) -> None:
        """Build the study of every job of a multirun, so that none is refused after others have run."""
        for changed in self.grid.cells()[1:]:
            with within(", ".join(changed.values())):
                config, _ = composed(name, [*self.grid.fixed, *changed.values()], folder)
                build(config, folder)


_task = _Task()


def _own_folder(job: Any) -> Path | None:
    """Return the user's folder given with -cd, and make its modules importable."""
    for source in job.runtime.config_sources:
        if source.provider == "command-line":
            folder = Path(source.path).resolve()
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return folder
    return None


def build(config: "DictConfig", folder: Path | None = None) -> Any:
    """Return the study a composed configuration describes.

    Raises:
        UserError: naming the key that is wrong.
    """
    from vtrial.config import check, locate
    from vtrial.study import Study

    found = plain(config, _RUNTIME)
    check(found, Study, folder=folder)
    locate(found["data"], folder, "data.path")
    locate(found["cohort"], folder, "cohort.covariates, path")
    return _built(found)


def _search(node: Any, folder: Path | None, study: Any, place: Path, about: dict[str, str]) -> str:
    """Search for what the study, or the command line, says; return what to tell."""
    from vtrial.optimise import AbstractSearch
    from vtrial.optimum import optimise

    return optimise(_part(_OPTIMISE, node, AbstractSearch, folder), study, place, about)


def _part(key: str, node: Any, kind: type, folder: Path | None) -> Any:
    """Return the object that a key beside the study describes."""
    from vtrial.config import check

    check(node, kind, key, folder)
    return _built(node)


def _built(plain: Any) -> Any:
    """Instantiate what has been checked; a mistake that its constructor finds is told with its key."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(plain, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        while cause is not None and not isinstance(cause, UserError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if not isinstance(cause, UserError | TypeError):
            raise
        key = re.search(r"full_key: (\S+)", str(error))
        raise UserError(f"{key.group(1)}: {cause}" if key and key.group(1) not in str(cause) else str(cause)) from error
