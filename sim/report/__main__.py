"""``python -m sim.report RUN_DIR``: print the result of a finished run again and rebuild its ``report.html``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from sim.report import build_report, print_table, statistics
from sim.report.load import RunFolderError

EXIT_OK, EXIT_USAGE = 0, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code (2 when the folder is not that of a finished run)."""
    parser = argparse.ArgumentParser(prog="python -m sim.report", description=__doc__)
    parser.add_argument("run", help="run folder, e.g. runs/20230404-220000")
    parser.add_argument("--out", help="where to write the report (default: report.html in the run folder)")
    parser.add_argument("--json", action="store_true", help="print the statistics as JSON and write no report")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.json:
            print(json.dumps(statistics(chosen.run), indent=2))
            return EXIT_OK
        print_table(chosen.run)
        print(f"report: {build_report(chosen.run, chosen.out)}")
    except RunFolderError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
