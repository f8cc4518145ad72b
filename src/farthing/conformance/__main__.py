"""``python -m farthing.conformance http://host:port --model NAME``."""

from __future__ import annotations

import argparse
import sys

from farthing.conformance.fuzz import fuzz
from farthing.conformance.runner import Finding, alive, run_census
from farthing.conformance.target import read_target


def main(arguments: list[str] | None = None) -> int:
    """Run the census, and the fuzzer when asked; 0 when all went well, 1 when not, 2 when it could not be run."""
    parser = argparse.ArgumentParser(prog="python -m farthing.conformance", description=main.__doc__)
    parser.add_argument("address", help="http://host:port of a server of the Open Inference Protocol v2")
    parser.add_argument("--model", required=True, help="name of a model on it")
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="send N fuzzed requests as well")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer")
    parser.add_argument("--timeout", type=float, default=15.0, metavar="S", help="seconds to wait for each case")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every case")
    options = parser.parse_args(arguments)
    try:
        target = read_target(options.address, options.model)
    except (OSError, ValueError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 2

    def told(finding: Finding) -> None:
        if options.verbose or not finding.good:
            came = ", ".join(map(str, finding.statuses)) or "nothing"
            print(f"{finding.verdict}: {finding.name}: {came}")

    findings = run_census(target, timeout_s=options.timeout, told=told)
    good = sum(finding.good for finding in findings)
    print(f"{len(findings)} cases, {good} as they should be")
    well = good == len(findings) and alive(target)
    if options.fuzz:
        report = fuzz(target, options.fuzz, options.seed)
        print(report.line())
        for name in ("server_errors", "wrongly_accepted", "unanswered"):
            for raw in getattr(report, name):
                print(f"{name.replace('_', ' ')}: {raw[-400:]!r}")
        well = well and report.good
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
