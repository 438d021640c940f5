"""The verb watch: a study as it goes, from its storage alone."""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from raytune_app.cli.interrupt import INTERRUPTED
from raytune_app.cli.output import result, say
from raytune_app.cli.place import STUDY_HELP, open_soon

if TYPE_CHECKING:
    from rich.console import Console

    from raytune_app.display.watching import Watching
    from raytune_app.tuning.view import Event


def add(subparsers: Any) -> None:
    """Add the verb."""
    watch = subparsers.add_parser("watch", help="follow a study from any machine, live, until it ends")
    watch.add_argument("study", help=STUDY_HELP)
    watch.add_argument("-v", "--verbose", action="store_true", help="tell every event in a line too")
    watch.set_defaults(run=_watch)


def _watch(args: argparse.Namespace) -> int:
    from rich.console import Console

    from raytune_app.display.watching import Watching

    watching = Watching(open_soon(args))
    console = Console(stderr=args.json)
    try:
        _follow(args, watching, console)
    except KeyboardInterrupt:
        say(f"no longer watching; study {watching.folder.study} goes on as it was")
        return INTERRUPTED
    return _conclude(args, watching)


def _follow(args: argparse.Namespace, watching: Watching, console: Console) -> None:
    """Until it is over, by a live picture on a terminal, else by lines."""
    from rich.live import Live

    teller = _Teller(watching, console, verbose=args.verbose)
    on_terminal = console.is_terminal
    live = Live(console=console, auto_refresh=False) if on_terminal else None
    with live or nullcontext():
        while True:
            watching.poll(teller.tell)
            teller.tell_state()
            if live:
                live.update(watching.frame, refresh=True)
            if watching.is_over:
                return
            time.sleep(watching.every_s)


class _Teller:
    """The lines beside, or in the place of, the picture: what is new in the state, and each trial that ended."""

    def __init__(self, watching: Watching, console: Console, *, verbose: bool) -> None:
        from raytune_app.display.lines import Narrator

        self._watching, self._console, self._verbose = watching, console, verbose
        self._narrator = Narrator(watching.experiment)
        self._said = ""

    def tell(self, event: Event) -> None:
        from raytune_app.display.lines import ended_line

        watching = self._watching
        if self._verbose:
            self._say("\n".join(self._narrator.lines(event)))
        elif event.get("details"):
            self._say(event["details"])
        if event["event"] == "trial_ended" and not self._console.is_terminal:
            self._say(ended_line(watching.account, watching.experiment, event["trial"]))

    def tell_state(self) -> None:
        """Where there is no picture that shows it, and no last word that will."""
        watching = self._watching
        if self._console.is_terminal or watching.is_over:
            return
        state = watching.headline.partition(" for ")[0]  # how long it runs is new each time
        said = f"study {watching.folder.study}: {watching.alarm or state}"
        if said != self._said:
            self._say(said)
        self._said = said

    def _say(self, text: str) -> None:
        from raytune_app.display.text import printable

        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def _conclude(args: argparse.Namespace, watching: Watching) -> int:
    from raytune_app.display.frame import best_text
    from raytune_app.tuning.view import StudyState

    study, is_finished = watching.folder.study, watching.state is StudyState.FINISHED
    text = f"{study}: {watching.alarm or watching.headline}; {best_text(watching.account)}"
    then = [f"raytune show {study}"]
    if not is_finished:
        then.insert(0, f"raytune resume {study}")
    result(args, text, watching.to_dict(), then)
    return 0 if is_finished else 1
