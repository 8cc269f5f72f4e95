#!/usr/bin/python3
"""Adds up what the stages of `./dev test` left in a directory and prints the closing lines.

summary.py RESULTS [--require LIST]

RESULTS holds *.txt with lines "pass|fail|skip STAGE NAME[: reason]" (Criterion, through tests/unit/run-criterion) and
*.xml (pytest's JUnit reports). A skip whose reason starts with "requires WORD" is a failure when WORD is in LIST.
Exit status 1 when anything failed or no test ran.
"""
import argparse
import collections
import glob
import os
import re
import sys
import xml.etree.ElementTree as ElementTree


def outcomes(directory):
    for path in sorted(glob.glob(os.path.join(directory, '*.txt'))):
        with open(path, encoding='utf-8', errors='replace') as f:
            for line in f:
                outcome, stage, rest = line.rstrip('\n').split(' ', 2)
                name, _, reason = rest.partition(': ')
                yield outcome, stage, name, reason
    for path in sorted(glob.glob(os.path.join(directory, '*.xml'))):
        stage = os.path.basename(path)[:-len('.xml')]
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as e:
            yield 'fail', stage, os.path.basename(path), f'broken report: {e}'
            continue
        for case in root.iter('testcase'):
            name = f'{case.get("classname")}::{case.get("name")}'
            skipped, failed = case.find('skipped'), None
            for kind in ('failure', 'error'):
                if case.find(kind) is not None:
                    failed = case.find(kind)
            if failed is not None:
                yield 'fail', stage, name, (failed.get('message') or '').splitlines()[0][:200] if failed.get('message') else ''
            elif skipped is not None:
                yield 'skip', stage, name, skipped.get('message') or 'no reason given'
            else:
                yield 'pass', stage, name, ''


def main():
    parser = argparse.ArgumentParser(description='adds up test results')
    parser.add_argument('results')
    parser.add_argument('--require', default='')
    arguments = parser.parse_args()
    required = {word for word in arguments.require.split(',') if word}
    stages = collections.defaultdict(collections.Counter)
    skips, failures, flaky = collections.Counter(), [], []
    found = list(outcomes(arguments.results))
    # "<stage>-again" is the second look at what failed in <stage>: it replaces the first
    again = {(stage[:-len('-again')], name): outcome for outcome, stage, name, _ in found if stage.endswith('-again')}
    for outcome, stage, name, reason in found:
        if stage.endswith('-again'):
            continue
        if outcome == 'fail' and again.get((stage, name)) == 'pass':
            outcome = 'pass'
            flaky.append((stage, name, reason))
        match = re.match(r'requires (\w+)', reason)
        if outcome == 'skip' and match and match[1] in required:
            outcome, reason = 'fail', f'skipped although --require {match[1]}: {reason}'
        stages[stage][outcome] += 1
        if outcome == 'skip':
            skips[reason] += 1
        if outcome == 'fail':
            failures.append((stage, name, reason))
    for stage in sorted(stages):
        c = stages[stage]
        print(f'  {stage}: {c["pass"]} passed, {c["fail"]} failed, {c["skip"]} skipped')
    for reason, n in sorted(skips.items()):
        print(f'SKIP ({n}x) {reason}')
    for stage, name, reason in flaky:
        print(f'FLAKY {stage} {name} (failed once, then passed): {reason}')
    for stage, name, reason in failures:
        print(f'FAIL {stage} {name}' + (f': {reason}' if reason else ''))
    total = sum(stages.values(), collections.Counter())
    print(f'{total["pass"]} passed, {total["fail"]} failed, {total["skip"]} skipped')
    return 1 if total['fail'] or not total['pass'] else 0


sys.exit(main())
