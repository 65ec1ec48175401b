"""An administrator's process that dies takes nothing with it."""

import pathlib
import tempfile
import unittest

import servers

# Answers with its process id; dies when asked to.
PROGRAM = """#!/bin/sh
while read -r line; do
    case $line in
        *die*) kill -ABRT $$ ;;
        *) echo "{\\"ok\\": $$}" ;;
    esac
done
"""


class Deaths(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        program = pathlib.Path(directory.name) / "client"
        program.write_text(PROGRAM)
        program.chmod(0o700)
        self.client = servers.Client(program, "b", pathlib.Path(directory.name))
        self.addCleanup(servers.KEEPER.end)

    def test_the_administrator_comes_back_and_the_load_stays(self):
        load, admin = self.client.ask("rate"), self.client.ask("ends")
        self.assertNotEqual(load, admin)
        with self.assertRaisesRegex(servers.KafkaError, "delete_records: the client ended with -6"):
            self.client.ask("delete_records", topic="die")
        self.assertNotIn(self.client.ask("ends"), [load, admin])
        self.assertEqual(self.client.ask("rate"), load)

    def test_without_load_there_is_no_run(self):
        with self.assertRaisesRegex(RuntimeError, "rate: the client ended with -6"):
            self.client.ask("rate", topic="die")


if __name__ == "__main__":
    unittest.main()
