"""docs/adding-a-task.md, followed literally: its blocks applied to a copy of the sources, and what they make compiled with
the flags of this build. With ROUNDTABLE_TEST_DOC_BUILD=1, as in the stage `integration` of ./dev test, the programs are
built of them and the task's own test is run, too (half a minute)."""
import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import ROOT

# what the page's test starts
PROGRAMS = ('supervisor/roundtable', 'workers/roundtable-worker', 'workers/roundtable-admin', 'workers/roundtable-kafka-mock')


def blocks():
    """(path, language, text) of each block that belongs to a file: the last path named before it."""
    path = None
    with open(os.path.join(ROOT, 'docs', 'adding-a-task.md'), encoding='utf-8') as f:
        parts = re.split(r'^```(\w*)\n(.*?)^```$', f.read(), flags=re.M | re.S)
    for prose, language, text in zip(parts[::3], parts[1::3], parts[2::3]):
        named = re.findall(r'`((?:sql|workers|tests)/[\w/]+\.(?:sql|c|h|py|build))`', prose)
        path = named[-1] if named else path
        if language:
            yield path, language, text


def apply(directory, path, language, text):
    target = os.path.join(directory, path)
    if language != 'diff':
        assert not os.path.exists(target), f'{path} exists already'
        with open(target, 'w') as f:
            f.write(text)
        return
    lines = text.splitlines(keepends=True)
    before = ''.join(l[1:] for l in lines if not l.startswith('+'))
    after = ''.join(l[1:] for l in lines)
    with open(target) as f:
        old = f.read()
    # a meson list is shown without the indentation of its surroundings
    assert old.count(before) == 1, f'{path} has {old.count(before)} times\n{before}'
    with open(target, 'w') as f:
        f.write(old.replace(before, after))


@pytest.fixture
def tree(tmp_path):
    files = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split('\n')
    for name in filter(None, files):
        os.makedirs(os.path.join(tmp_path, os.path.dirname(name)), exist_ok=True)
        shutil.copy(os.path.join(ROOT, name), os.path.join(tmp_path, name))
    return tmp_path


def test_the_page_followed_literally(tree, build):
    applied = list(blocks())
    assert [p for p, _, _ in applied if p.endswith('.c')] == [
        'workers/market/oracle_price_age.c', 'workers/market/family.c', 'workers/market/manifest.c',
        'workers/market/manifest.c']
    for path, language, text in applied:
        apply(tree, path, language, text)
    if os.environ.get('ROUNDTABLE_TEST_DOC_BUILD'):
        # as far below the sources as this build is, so that ccache, where there is one, knows most files
        own = os.path.join(tree, 'build', 'test')
        environment = dict(os.environ, ROUNDTABLE_BUILD=own, CCACHE_NOHASHDIR='1')
        subprocess.run(['meson', 'setup', own, '-Dtesting=true', '-Dwerror=true'], cwd=tree, check=True)
        subprocess.run(['ninja', '-C', own, *PROGRAMS], check=True, env=environment)
        subprocess.run(['/usr/bin/python3', '-m', 'pytest', '-q', '-p', 'no:cacheprovider',
                        'tests/integration/test_oracle_price_age.py'], cwd=tree, check=True, env=environment)
        return
    # the statement's declaration is made at build time
    with open(os.path.join(build, 'compile_commands.json')) as f:
        command = next(c for c in json.load(f) if c['file'].endswith('workers/market/market_updater.c'))
    flags = [a for a in command['command'].split() if a.startswith(('-W', '-std', '-D', '-I/usr')) and not a.startswith('-Werror')]
    os.makedirs(os.path.join(tree, 'generated', 'sql'))
    statements = [os.path.join(tree, 'sql', folder, name) for folder in os.listdir(os.path.join(tree, 'sql'))
                  if os.path.isdir(os.path.join(tree, 'sql', folder)) and folder != 'migrations'
                  for name in os.listdir(os.path.join(tree, 'sql', folder))]
    subprocess.run(['/usr/bin/python3', os.path.join(tree, 'sql', 'embed.py'), 'header',
                    os.path.join(tree, 'generated', 'sql', 'statements.h'), *statements], check=True)
    for path in ('workers/market/oracle_price_age.c', 'workers/market/family.c', 'workers/market/manifest.c'):
        subprocess.run(['cc', *flags, '-Werror', f'-I{tree}', f'-I{tree}/generated', '-fsyntax-only', os.path.join(tree, path)],
                       check=True)
