"""What a family's bench module uses: Row, Sql, Commands.

A family adds rows by a file tests/bench/<family>.py, or one of another name with FAMILY = '<family>', with

    ROWS = [Row('some_task', floor=floor, reset=reset, check=check)]

bench.py finds the file by itself. For each size it makes a database of sample data (roundtable-admin sample --markets M
--scale S) and, for each row, starts a stand-alone worker of the family with that task alone, and lets it run in turn with
the floor. The functions get the Bench below:

    prepare(bench)         once at each size, before the worker starts (rows or keys that the sample has not)
    reset(bench)           before each run of the task and of the floor: makes the same work due again
    floor(bench)           the same work without us: a list of Sql(text) and Commands([[word, …], …]), done one after the
                           other and timed; called once, after a first run of the task
    check(bench, record)   after each run of the task, with its `task finished` record: raises unless the work was done

sample(scale) gives the arguments of roundtable-admin sample besides --markets, for a row whose work grows with something
else than accounts and fills: [--scale, scale] when nothing is said. Rows that want the same are measured on one database.

once=True is for a row that brings its own data, whatever the size of the sample: it is measured at the first size only.

What has no floor and no size, because something else sets its pace, is a pair of a task's name and a function in MORE:
function(build, servers, template) -> a line of Markdown.

Sql is a script for psql, timed by its \\timing; take statements from sql/ with bench.statement() and bind(). Commands are
done in one pass of redis-cli --pipe, whose time is the pass's less that of a pass with a single PING.
"""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Row:
    def __init__(self, task, floor, reset=None, check=None, prepare=None, settings=None, title=None,
                 once=False, sample=None):
        """settings: of the task in its family's file, besides enabled and interval."""
        self.task = task
        self.title = title or task
        self.floor = floor
        self.reset = reset or (lambda bench: None)
        self.check = check or (lambda bench, record: None)
        self.prepare = prepare or (lambda bench: None)
        self.settings = settings or {}
        self.once = once
        self.sample = sample or (lambda scale: ['--scale', scale])


class Sql:
    def __init__(self, text):
        self.text = text


class Commands:
    def __init__(self, commands):
        commands = [[w if isinstance(w, bytes) else str(w).encode() for w in words] for words in commands]
        self.n = len(commands)
        self.data = b''.join(b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%s\r\n' % (len(w), w) for w in words)
                             for words in commands)


class Bench:
    """One size: database, servers and sample data."""

    def __init__(self, postgres, database, redis_server, kafka, deployment, markets, scale):
        self.postgres = postgres
        self.database = database
        self.redis_server = redis_server
        self.redis = redis_server.client()
        self.kafka = kafka
        self.deployment = deployment
        self.markets = markets
        self.scale = scale
        self.connection = postgres.connect(database)

    def close(self):
        self.connection.close()
        self.redis.close()

    def sql(self, text, parameters=None):
        with self.connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description else None

    @staticmethod
    def statement(folder, name):
        """sql/<folder>/<name>.sql without its comments."""
        with open(os.path.join(ROOT, 'sql', folder, f'{name}.sql')) as f:
            return ''.join(line for line in f if not line.startswith('--')).strip()


def bind(text, *values):
    """The statement with its parameters as literals: psql of PostgreSQL 15 cannot bind."""
    return re.sub(r'\$(\d+)', lambda m: "'" + str(values[int(m.group(1)) - 1]).replace("'", "''") + "'", text)


def array(values):
    """A PostgreSQL array of values without quotes, commas or blanks."""
    return '{' + ','.join(str(v) for v in values) + '}'
