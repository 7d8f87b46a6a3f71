"""`python -m tests.mutation [WORDS]`: make every mistake (or those whose text contains WORDS) and see it caught."""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from .catalogue import CATALOGUE
from .mutation import Mutation, Verdict


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mistakes whose description contains these words")
    parser.add_argument("--jobs", type=int, default=2, help="mistakes tried at the same time (default: 2)")
    arguments = parser.parse_args()
    wanted = " ".join(arguments.words)
    chosen = [mutation for mutation in CATALOGUE if wanted in mutation.mistake]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        verdicts = [
            _report(mutation, verdict) for mutation, verdict in zip(chosen, pool.map(_try, chosen), strict=True)
        ]
    caught = verdicts.count(Verdict.CAUGHT)
    print(f"{caught} of {len(chosen)} mistakes caught")
    return 0 if chosen and caught == len(chosen) else 1


def _try(mutation: Mutation) -> Verdict:
    return mutation.try_out()


def _report(mutation: Mutation, verdict: Verdict) -> Verdict:
    print(f"{verdict.value:9} what if {mutation.mistake}?  ({mutation.file})", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
