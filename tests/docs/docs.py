#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is tried: each whole pipeline passes `millrace check`, the plugin of
writing-a-plugin.md is compiled and run, option tables and the manual have what there is, links lead
somewhere. Prints TAP. usage: docs.py MILLRACE SOURCE CC…"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

MILLRACE, SOURCE = (pathlib.Path(a).resolve() for a in sys.argv[1:3])
CC = sys.argv[3:] or ["cc"]
PAGES = [SOURCE / "README.md", SOURCE / "HACKING.md", *sorted((SOURCE / "docs").glob("**/*.md"))]
PLUGIN_PAGES = sorted((SOURCE / "docs" / "plugins").glob("*.md"))
SECRET = "0123456789abcdef" * 4
VARIABLES = {"PG_URL": "postgresql://user@127.0.0.1/database", "KAFKA_BROKERS": "127.0.0.1:9092",
             "MYSQL_URL": "mysql://user@127.0.0.1/database"}


class Tap:
    def __init__(self):
        self.number, self.failed = 0, 0

    def check(self, ok, name, why=""):
        self.number += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}")
        for line in [] if ok else str(why).splitlines():
            print(f"# {line}")

    def end(self):
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def blocks(text, language):
    """(line, text) of each block of that language."""
    for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 1, match[1]


def millrace(folder, *arguments):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    env |= VARIABLES | {"MILLRACE_PLUGIN_PATH": str(folder / "plugins"), "LC_ALL": "C.UTF-8"}
    return subprocess.run([MILLRACE, *arguments], capture_output=True, text=True, cwd=folder,
                          env=env, timeout=60)


# ---- pipelines

def is_pipeline(block):
    return bool(re.search(r"^name:", block, re.M) and re.search(r"^sources:", block, re.M))


def with_secrets(folder, block):
    """The block, with files of its own in place of those under /run/secrets."""
    for name in set(re.findall(r"/run/secrets/([\w.-]+)", block)):
        (folder / name).write_text(SECRET + "\n")
    return block.replace("/run/secrets", str(folder))


def test_pipelines(tap, folder):
    found = 0
    for page in PAGES:
        for line, block in blocks(page.read_text(), "yaml"):
            if not is_pipeline(block):
                continue
            found += 1
            (folder / "pipeline.yaml").write_text(with_secrets(folder, block))
            done = millrace(folder, "check", "pipeline.yaml")
            tap.check(done.returncode == 0, f"{page.relative_to(SOURCE)}:{line} is a pipeline",
                      done.stderr)
    tap.check(found > 10, "there are pipelines in the pages", f"{found} found")
    (folder / "pipeline.yaml").write_text("name: bad\nsources: []\n")
    tap.check(millrace(folder, "check", "pipeline.yaml").returncode == 2, "a bad pipeline is found")


# ---- the plugin in C

def test_plugin(tap, folder):
    page = (SOURCE / "docs" / "writing-a-plugin.md").read_text()
    [(_, code)] = blocks(page, "c")
    [pipeline] = [block for _, block in blocks(page, "yaml") if is_pipeline(block)]
    (folder / "shout.c").write_text(code)
    (folder / "plugins" / "transforms").mkdir(parents=True)
    done = subprocess.run([*CC, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
                           "-O2", "-fPIC", "-shared", f"-I{SOURCE}/include",
                           "-o", "plugins/transforms/shout.so", "shout.c"],
                          cwd=folder, capture_output=True, text=True)
    tap.check(done.returncode == 0, "the example compiles without warnings", done.stderr)
    done = millrace(folder, "inspect", "shout")
    tap.check(done.returncode == 0 and "column: text, required" in done.stdout,
              "the example is loaded", done.stdout + done.stderr)
    (folder / "loud.yaml").write_text(pipeline)
    done = millrace(folder, "preview", "loud.yaml")
    names = re.findall(r"^1\d{6}  ([\w ]+?)  ", done.stdout, re.M)
    tap.check(len(names) == 3 and all(n == n.upper() for n in names), "the example does its work",
              done.stdout + done.stderr)
    done = millrace(folder, "check", "loud.yaml", "--set", "loud.column=nme")
    [said] = re.findall(r"gives `(there is no .*?)`", page)
    tap.check(done.returncode == 2 and said in done.stderr, "the example refuses a wrong option",
              done.stderr)


# ---- option tables

def cells(line):
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def documented(text):
    """{option: its row} of the tables whose first column is `option`."""
    found, head = {}, None
    for line in text.splitlines():
        if not line.startswith("|"):
            head = None
            continue
        row = cells(line)
        if head is None:
            head = row
        elif head[0] == "option" and not set(row[0]) <= set("-"):
            for name in re.findall(r"`([\w.]+)`", row[0]):
                found[name] = " | ".join(row[1:])
    return found


def existing(options, prefix=""):
    """{option: its description} with those of groups, as group.option."""
    found = {}
    for option in options:
        name = prefix + option["name"]
        found[name] = option
        found |= existing(option.get("options", []), name + ".")
    return found


def differences(pages, real):
    for name in sorted(pages.keys() - real.keys()):
        yield f"`{name}` is no option"
    for name, option in real.items():
        is_group = option["type"] == "group"
        if name not in pages:
            if not is_group:
                yield f"option `{name}` is not on the page"
        elif option.get("required") and "required" not in pages[name]:
            yield f"`{name}` is required"
        elif option.get("default") and option["default"] not in re.split(r"[\s|`]+", pages[name]):
            yield f"the default of `{name}` is {option['default']}"


def test_options(tap, folder):
    seen = set()
    for page in PLUGIN_PAGES:
        text = page.read_text()
        head = re.match(r"# (\w+) \((source|transform|sink)\)\n", text)
        tap.check(head, f"{page.name} begins with a plugin's name and kind", text[:40])
        if not head:
            continue
        plugin = f"{head[2]}s/{head[1]}"
        seen.add(plugin)
        done = millrace(folder, "inspect", plugin, "--json")
        tap.check(done.returncode == 0, f"{plugin} is there", done.stderr)
        if done.returncode:
            continue
        [description] = json.loads(done.stdout)
        wrong = list(differences(documented(text), existing(description["options"])))
        tap.check(not wrong, f"{page.name} has the options of {plugin}", "\n".join(wrong))
    every = {f"{p['kind']}/{p['name']}" for p in json.loads(millrace(folder, "inspect", "--json").stdout)}
    missing = sorted(every - seen - {"transforms/shout"})
    tap.check(not missing, "every plugin has a page", f"without: {missing}")


def test_comparison(tap):
    page = "| option | default |\n|---|---|\n| `a`, `g.b` | `1` |\n"
    real = {"a": {"type": "text"}, "g": {"type": "group"}, "g.b": {"type": "text"}}
    tap.check(not list(differences(documented(page), real)), "equal tables are equal")
    for change, said in [({"c": {"type": "text"}}, "`c` is not on the page"),
                         ({"a": {"type": "text", "default": "2"}}, "default of `a`"),
                         ({"a": {"type": "text", "required": True}}, "required")]:
        wrong = list(differences(documented(page), real | change))
        tap.check(len(wrong) == 1 and said in wrong[0], f"a difference is found: {said}", wrong)
    wrong = list(differences(documented(page), {"a": {"type": "text"}}))
    tap.check(wrong == ["`g.b` is no option"], "an option that is gone is found", wrong)


# ---- the manual

def test_manual(tap, folder):
    """Every command and every long option of it is in millrace(1)."""
    page = (SOURCE / "man" / "millrace.1.scd").read_text()
    entries = dict(re.findall(r"^\*(\w+)\*([^\n]*\n\t.*?)(?=^\S|\Z)", page, re.M | re.S))
    commands = re.findall(r"^  (\w+) ", millrace(folder, "help").stdout, re.M)
    tap.check(len(commands) > 5, "help lists commands", commands)
    for command in commands:
        options = set(re.findall(r"(--[\w-]+)", millrace(folder, command, "--help").stdout))
        missing = sorted(o for o in options - {"--help"} if f"*{o}*" not in entries.get(command, ""))
        tap.check(command in entries and not missing, f"{command} is in the manual", missing)
    block = re.search(r"^```\n(.*?)^```", (SOURCE / "man" / "millrace-pipeline.5.scd").read_text(),
                      re.M | re.S)[1]
    (folder / "pipeline.yaml").write_text(block)
    done = millrace(folder, "check", "pipeline.yaml")
    tap.check(done.returncode == 0, "the pipeline of millrace-pipeline(5)", done.stderr)


# ---- links

def test_links(tap):
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        targets = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", text)
        broken = [t for t in targets if not (page.parent / t).exists()]
        tap.check(not broken, f"the links of {page.relative_to(SOURCE)}", "\n".join(broken))


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="millrace-docs-") as name:
        folder = pathlib.Path(name)
        test_plugin(tap, folder)
        test_pipelines(tap, folder)
        test_options(tap, folder)
        test_manual(tap, folder)
    test_comparison(tap)
    test_links(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
