#!/usr/bin/python3
"""Writes the code blocks of deploy/migration.md into a folder, each as the file that its first line names: a block that
begins with "```toml rules.toml" is rules.toml, one that begins with "```sh build" is build.sh.

  migration_blocks.py FOLDER   prints a line for each: language, file
"""
import os
import re
import sys

page = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "deploy", "migration.md")
with open(page, encoding="utf-8") as f:
    text = f.read()
seen = set()
for language, name, body in re.findall(r"^```([^\n ]*) ?([^\n]*)\n(.*?)^```$", text, re.M | re.S):
    name = f"{name}.sh" if language == "sh" else name
    if language not in ("c", "python", "toml", "sh") or not re.fullmatch(r"[\w.-]+", name) or name in seen:
        sys.exit(f"migration.md: a block of \"{language}\" called \"{name}\", which no test would know")
    seen.add(name)
    with open(os.path.join(sys.argv[1], name), "w", encoding="utf-8") as f:
        f.write(body)
    print(language, name)
