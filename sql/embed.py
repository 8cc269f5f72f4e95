#!/usr/bin/env python3
"""Writes C source that embeds SQL files: embed.py statements|header|migrations|indexes OUT FILE...

statements: <family>/<file>.sql becomes `const SqlStatement sql_<family>_<file>` with name "<file>"; header: the
declarations of these, which sources include as "sql/statements.h".
migrations: NNNN_name.up.sql becomes a row of `sql_migrations[]` (version, name, text). indexes: name.sql becomes a row of
`sql_indexes[]` (name, text).
"""
import os
import re
import sys


def literal(text):
    out = []
    for line in text.splitlines(keepends=True):
        body = line.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
        out.append('        "' + body + '"')
    return '\n'.join(out) if out else '        ""'


def symbol(path):
    return os.path.basename(os.path.dirname(path)) + '_' + os.path.basename(path)[:-len('.sql')]


def main():
    kind, out, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    lines = ['/* made by sql/embed.py */', '']
    if kind == 'header':
        lines = ['#pragma once', '', *lines, '#include "common/postgres.h"', '']
        lines += [f'extern const SqlStatement sql_{symbol(path)};' for path in files] + ['']
    elif kind == 'statements':
        lines += ['#include "sql/statements.h"', '']
        for path in files:
            name = os.path.basename(path)[:-len('.sql')]
            with open(path, encoding='utf-8') as f:
                text = f.read()
            lines += [f'const SqlStatement sql_{symbol(path)} = {{', f'        "{name}",', literal(text) + ',', '};', '']
    elif kind == 'indexes':
        lines += ['#include <stddef.h>', '', '#include "sql/indexes.h"', '', 'const SqlIndex sql_indexes[] = {']
        for path in sorted(files, key=os.path.basename):
            name = os.path.basename(path)[:-len('.sql')]
            with open(path, encoding='utf-8') as f:
                text = f.read()
            if f'CREATE INDEX CONCURRENTLY IF NOT EXISTS {name}' not in ' '.join(text.split()):
                sys.exit(f'embed.py: {path}: expected CREATE INDEX CONCURRENTLY IF NOT EXISTS {name}')
            lines += [f'        {{ "{name}",', literal(text) + ' },']
        lines += ['        { NULL, NULL },', '};', '']
    else:
        lines += ['#include <stddef.h>', '', '#include "sql/migrations.h"', '', 'const SqlMigration sql_migrations[] = {']
        for path in sorted(files, key=os.path.basename):
            base = os.path.basename(path)
            m = re.fullmatch(r'(\d{4})_(\w+)\.up\.sql', base)
            if not m:
                sys.exit(f'embed.py: {base}: expected NNNN_name.up.sql')
            with open(path, encoding='utf-8') as f:
                text = f.read()
            lines += [f'        {{ {int(m[1])}, "{m[2]}",', literal(text) + ' },']
        lines += ['        { 0, NULL, NULL },', '};', '']
    with open(out, 'w', encoding='utf-8') as f:
        f.write('\n'.join(lines))


main()
