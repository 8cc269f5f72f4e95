"""The unit files as systemd's own tools see them, and the journal catalog."""
import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = ('roundtable.service', 'roundtable-worker@.service')


@pytest.fixture(params=UNITS)
def unit(request, build, tmp_path):
    """A copy under which the programs exist, so that verify does not complain that they are not installed."""
    with open(os.path.join(build, 'units', request.param)) as f:
        text = f.read()
    path = tmp_path / request.param.replace('@.', '@market.')
    path.write_text(re.sub(r'^(Exec\w+=\+?)\S+/roundtable', r'\1' + shutil.which('true') + ' #', text, flags=re.M))
    return str(path)


def analyze(*arguments):
    if not shutil.which('systemd-analyze'):
        pytest.skip('systemd-analyze is not installed')
    return subprocess.run(['systemd-analyze', '--man=no', *arguments], capture_output=True, text=True)


def test_verify_has_nothing_to_say(unit):
    r = analyze('verify', unit)
    ours = [line for line in r.stderr.splitlines() if 'roundtable' in line]
    assert r.returncode == 0 and not ours, r.stderr


def test_exposure_is_2_0_or_better(unit):
    r = analyze('security', '--offline=true', '--threshold=20', unit)
    assert r.returncode == 0, r.stdout


def test_catalog_has_a_text_for_each_message_id():
    with open(os.path.join(ROOT, 'common', 'message_ids.h')) as f:
        defined = re.findall(r'"([0-9a-f]{32})"', f.read())
    with open(os.path.join(ROOT, 'units', 'roundtable.catalog')) as f:
        explained = re.findall(r'^-- ([0-9a-f]{32})$', f.read(), flags=re.M)
    assert defined and sorted(defined) == sorted(explained)
