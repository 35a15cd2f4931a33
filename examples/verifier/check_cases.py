#!/usr/bin/env python3
"""Runs picket_verify.py over case files and compares its verdicts with those that the files state.

    check_cases.py [--verbose] cases.jsonl...

A case is a line of JSON: its name, the first key, whether the evidence holds, and the evidence itself in base64;
where it needs them, the chain of keys in base64, and the auditor's key.
Exit code: 0 all verdicts are as stated, 1 some are not.
"""

import base64
import functools
import json
import sys

import picket_verify

# Thousands of cases have one key.
Key = functools.lru_cache(picket_verify.Key)


def verdict(case):
    """None when the evidence of a case holds, else what is wrong with it."""
    data = base64.b64decode(case["data"], validate=True)
    auditor = case.get("auditor_key")
    try:
        keys = picket_verify.Keys(Key(case["key"], picket_verify.NOTE_KEY))
        if "chain" in case:
            keys.read(base64.b64decode(case["chain"], validate=True).decode())
        auditor = Key(auditor, picket_verify.COSIGNER_KEY) if auditor else None
        picket_verify.verify_bytes(data, keys, auditor)
    except picket_verify.Bad as bad:
        return str(bad)
    return None


def main():
    passed = failed = 0
    verbose = "--verbose" in sys.argv[1:]
    for file in (argument for argument in sys.argv[1:] if argument != "--verbose"):
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                case = json.loads(line)
                message = verdict(case)
                if (message is None) == case["holds"]:
                    passed += 1
                    if verbose:
                        print(f"{case['name']}: {message or 'holds'}")
                else:
                    failed += 1
                    print(f"DISAGREE {case['name']}: stated holds={case['holds']}, found {message or 'that it holds'}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
