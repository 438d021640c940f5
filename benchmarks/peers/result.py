"""What benchmarks/serving_peers.py prints: a table for each load, what failed, and the claims."""

from __future__ import annotations

import statistics
import sys
from typing import Any

from benchmarks.peers.contenders import BARE, FASTEST, OURS
from benchmarks.serving_speed import mean_and_spread

Row = dict[str, Any]
Cells = dict[tuple[str, int, str], Row]
MAX_P50_RATIO, MAX_P99_MS = 1.5, 2.0
ALONE, BUSY = "closed 1", "closed 64"
COLUMNS = (
    ("requests_per_s", "req/s", 0),
    ("images_per_s", "images/s", 0),
    ("p50_ms", "p50 ms", 2),
    ("p99_ms", "p99 ms", 2),
    ("unanswered", "unanswered", 0),
    ("errors", "errors", 0),
    ("client_late_p99_ms", "client late p99 ms", 2),
    ("pss_mb", "PSS MB", 0),
    ("largest_pss_mb", "largest process MB", 0),
    ("rss_mb", "RSS MB", 0),
    ("processes", "processes", 0),
    ("seconds", "seconds", 1),
)
"""Key of a number, its heading, its digits."""
HIDDEN = {"closed": ("images_per_s",), "open": ("images_per_s",)}


def line(row: Row) -> str:
    """One measurement while the benchmark runs."""
    place = f"round {row['round'] + 1}  {row['server']:<10} workers={row['workers']}  {row['load']:<10}"
    if "error" in row:
        return f"{place} FAILED: {row['error']}"
    return place + "  ".join(f"{title} {row[key]:,.{digits}f}" for key, title, digits in _columns(row["load"], [row]))


def summary(rows: list[Row]) -> list[Row]:
    """Mean and standard deviation over the rounds of each server, number of workers and load; errors as they are."""
    found = dict[tuple[str, int, str], list[Row]]()
    for row in rows:
        found.setdefault((row["server"], row["workers"], row["load"]), []).append(row)
    result = []
    for (server, workers, load), same in found.items():
        good = [row for row in same if "error" not in row]
        entry: Row = {"server": server, "workers": workers, "load": load, "n": len(good)}
        for key, _, _ in COLUMNS:
            if values := [row[key] for row in good if row.get(key) is not None]:
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                entry[key] = {"mean": statistics.mean(values), "sd": spread}
        if good and "payload" in good[0]:
            entry["payload"] = good[0]["payload"]
        if errors := sorted({row["error"] for row in same if "error" in row}):
            entry["errors_seen"] = errors
        result.append(entry)
    return result


def show(report: Row) -> int:
    """Print everything; 1 if a claim does not hold."""
    settings = report["settings"]
    print(f"{report['host']}; {settings['rounds']} rounds of {settings['seconds']} s; mean (standard deviation)")
    for name, versions in report["versions"].items():
        print(f"  {name:<10} {versions}")
    entries = report["summary"]
    for load, workers in dict.fromkeys((each["load"], each["workers"]) for each in entries):
        _table(load, workers, [each for each in entries if (each["load"], each["workers"]) == (load, workers)])
    _failures(entries)
    cells = {(each["server"], each["workers"], each["load"]): each for each in entries if each["n"]}
    if OURS in settings["only"] and not any(server == OURS for server, _, _ in cells):
        print("\nthe endpoint itself was not measured")
        return 1
    claims = [*_alone(cells), *_busy(cells)]
    return 0 if all(claims) else 1


def _table(load: str, workers: int, entries: list[Row]) -> None:
    entries = [each for each in entries if each["n"]]
    if not entries:
        return
    columns = _columns(load, entries)
    print(f"\n{load}, {workers} worker{'s' if workers > 1 else ''}")
    print(f"{'server':<11}" + "".join(f"{title:>20}" for _, title, _ in columns) + f"{'n':>4}  payload")
    for each in sorted(entries, key=_order):
        values = [mean_and_spread(each[key], digits) if key in each else "-" for key, _, digits in columns]
        print(f"{each['server']:<11}" + "".join(f"{v:>20}" for v in values) + f"{each['n']:>4}  {_payload(each)}")


def _payload(entry: Row) -> str:
    return str(entry.get("payload", ""))


def _order(entry: Row) -> float:
    return -float(entry["requests_per_s"]["mean"]) if "requests_per_s" in entry else 0.0


def _columns(load: str, entries: list[Row]) -> list[tuple[str, str, int]]:
    hidden = HIDDEN.get(load.partition(" ")[0], ())
    return [each for each in COLUMNS if each[0] not in hidden and any(each[0] in entry for entry in entries)]


def _failures(entries: list[Row]) -> None:
    for each in entries:
        for error in each.get("errors_seen", ()):
            print(f"\nFAILED  {each['server']}, workers {each['workers']}, {each['load']}: {error}")


def _alone(cells: Cells) -> list[bool]:
    """Over one connection: as quick as bare FastAPI, nearly."""
    ours, bare = cells.get((OURS, 1, ALONE)), cells.get((BARE, 1, ALONE))
    if ours is None:
        return []
    p99_ms = ours["p99_ms"]["mean"]
    claims = [p99_ms < MAX_P99_MS]
    print(f"\nover one connection p99 {p99_ms:.2f} ms (claim: under {MAX_P99_MS:g}): {_word(claims[-1])}")
    if bare is not None:
        ratio = ours["p50_ms"]["mean"] / bare["p50_ms"]["mean"]
        claims.append(ratio <= MAX_P50_RATIO)
        print(f"over one connection p50 {ratio:.2f} of FastAPI's (claim: up to {MAX_P50_RATIO:g}): {_word(claims[-1])}")
    return claims


def _busy(cells: Cells) -> list[bool]:
    """Over 64 connections: ahead of each peer that was measured."""
    claims = []
    for (server, workers, load), peer in cells.items():
        ours = cells.get((OURS, workers, BUSY))
        if load != BUSY or server == OURS or ours is None:
            continue
        ratio = ours["requests_per_s"]["mean"] / peer["requests_per_s"]["mean"]
        what = f"over 64 connections, workers {workers}: {ratio:.2f} times {server}"
        if server == FASTEST:
            print(f"{what} (no claim)")
            continue
        claims.append(ratio > 1)
        print(f"{what} (claim: over 1): {_word(claims[-1])}")
    return claims


def _word(holds: bool) -> str:  # noqa: FBT001
    return "holds" if holds else "DOES NOT HOLD"


if __name__ == "__main__":
    sys.exit("start benchmarks/serving_peers.py instead")
