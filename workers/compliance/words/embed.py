#!/usr/bin/env python3
"""Writes C source with the built-in word lists as they are in their files: embed.py OUT FILE..."""
import os
import sys

lines = ['/* made by workers/compliance/words/embed.py */', '', '#include "workers/compliance/word_list.h"', '']
for path in sys.argv[2:]:
    with open(path, encoding='ascii') as f:
        body = '\n'.join(f'        "{word}\\n"' for word in f.read().splitlines())
    name = os.path.splitext(os.path.basename(path))[0]
    lines += [f'const char word_list_builtin_{name}[] =', body + ';', '']
with open(sys.argv[1], 'w', encoding='ascii') as f:
    f.write('\n'.join(lines))
