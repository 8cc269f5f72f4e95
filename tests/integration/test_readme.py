"""What README tells a stranger is there: its verbs, its files, its install command."""
import os
import re
import subprocess

import pytest

from conftest import ROOT


def readme():
    with open(os.path.join(ROOT, 'README.md'), encoding='utf-8') as f:
        return f.read()


def test_links_lead_somewhere():
    links = re.findall(r'\]\(([^)#]+)\)', readme())
    assert links
    missing = [link for link in links if not link.startswith('http') and not os.path.exists(os.path.join(ROOT, link))]
    assert not missing


def test_verbs_of_roundtable_exist(build):
    verbs = set(re.findall(r'`roundtable ([a-z-]+)', readme())) | set(re.findall(r'^roundtable ([a-z-]+)', readme(), re.M))
    assert {'status', 'config', 'list', 'run', 'migrate'} <= verbs
    shown = subprocess.run([os.path.join(build, 'supervisor', 'roundtable'), 'help'], capture_output=True, text=True)
    assert shown.returncode == 0
    known = set(re.findall(r'^  ([a-z-]+) ', shown.stdout, re.M))
    assert verbs <= known, verbs - known


def test_verbs_of_dev_exist():
    verbs = set(re.findall(r'\./dev ([a-z]+)', readme()))
    assert {'run', 'test'} <= verbs
    shown = subprocess.run([os.path.join(ROOT, 'dev')], capture_output=True, text=True)
    assert shown.returncode == 2
    known = set(re.findall(r'^  \./dev ([a-z]+)', shown.stdout, re.M))
    assert verbs <= known, verbs - known


@pytest.fixture(scope='module')
def installed(release, tmp_path_factory):
    """README's install command into a directory, as a package build does."""
    destination = str(tmp_path_factory.mktemp('root'))
    done = subprocess.run(['meson', 'install', '-C', 'build/run'], cwd=release, env=dict(os.environ, DESTDIR=destination),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return destination


# Where each command that README lists is run; those of tests/systemd are run word for word.
RUN_BY = {
    'integration/test_dev.py': ('./dev run', 'psql', 'redis-cli', 'kcat'),
    'systemd/test_service.py': ('meson setup', 'meson install', 'systemd-sysusers', 'systemd-tmpfiles', 'systemctl', 'roundtable', 'journalctl'),
    'the machine that checks submissions': ('./dev test',),
    # long, or about the sources: a developer runs them
    'nobody else': ('./dev bench', './dev soak', './dev lint', './dev format', 'man'),
}


def commands():
    """What README has in code blocks and tables, and the ./dev verbs in its text."""
    text = readme()
    blocks = [line.strip() for block in re.findall(r'^```\n(.*?)^```', text, re.S | re.M) for line in block.splitlines()]
    found = [re.sub(r'^\$ ', '', line).split('  #')[0] for line in blocks
             if re.match(r'(\$ |\./dev |meson |systemd-|systemctl |roundtable (?![0-9])|psql |redis-cli |kcat |journalctl )', line)]
    found += re.findall(r'^\| [^|]+ \| `([^`]+)`', text, re.M)
    found += re.findall(r'`(\./dev [a-z]+|man [0-9] [a-z.]+|roundtable [a-z][^`]*)`', text)
    return [c for c in found if not re.match(r'[A-Z]', c)]


def test_every_listed_command_is_run_by_a_test():
    known = [word for words in RUN_BY.values() for word in words]
    listed = commands()
    assert len(listed) > 25, listed
    unknown = [c for c in listed if not c.startswith(tuple(known))]
    assert not unknown
    with open(os.path.join(ROOT, 'tests', 'systemd', 'test_service.py')) as f:
        assert 'test_installing_as_readme_says' in f.read()
    with open(os.path.join(ROOT, 'tests', 'integration', 'test_dev.py')) as f:
        assert 'test_dev_run_from_a_clone_nobody_else_may_enter' in f.read()


def test_install_puts_files_where_it_says(installed):
    for path in ('usr/bin/roundtable', 'usr/bin/roundtable-worker', 'usr/libexec/roundtable/roundtable-kafka-mock',
                 'usr/lib/systemd/system/roundtable.service', 'usr/lib/systemd/system/roundtable-worker@.service',
                 'usr/lib/sysusers.d/roundtable.conf', 'usr/lib/tmpfiles.d/roundtable.conf',
                 'usr/lib/systemd/catalog/roundtable.catalog', 'etc/roundtable/roundtable.conf',
                 'etc/roundtable/workers/market.conf', 'etc/default/roundtable', 'usr/share/man/man8/roundtable.8',
                 'usr/share/man/man5/roundtable.conf.5'):
        assert os.path.exists(os.path.join(installed, path)), path


def test_release_build_has_nothing_of_the_tests(installed):
    listed = subprocess.run([os.path.join(installed, 'usr/bin/roundtable'), 'list', '--conf',
                             os.path.join(installed, 'etc/roundtable')], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert 'market/market_updater' in listed.stdout
    assert 'testing' not in listed.stdout
    with open(os.path.join(installed, 'usr/bin/roundtable-worker'), 'rb') as f:
        assert b'ROUNDTABLE_FAILPOINT_KILL' not in f.read()


def test_installed_settings_are_valid(installed):
    checked = subprocess.run([os.path.join(installed, 'usr/bin/roundtable'), 'config', 'check', '--conf',
                              os.path.join(installed, 'etc/roundtable')], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_supervisor_links_no_server_client(installed):
    linked = subprocess.run(['ldd', os.path.join(installed, 'usr/bin/roundtable')], capture_output=True, text=True).stdout
    assert 'libsystemd' in linked
    for library in ('libpq', 'librdkafka', 'libhiredis', 'libcurl'):
        assert library not in linked
