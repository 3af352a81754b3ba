"""Ansible's way into container_lib.sh's container, by nsenter: `ansible_connection: inside`, and its first process as
the variable `inside_init`."""

import subprocess

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: inside
short_description: runs commands in the namespaces of a process
description: runs commands in the namespaces of a process of this machine, and moves files to and from it
options:
  init:
    description: the process
    required: true
    vars:
      - name: inside_init
"""


class Connection(ConnectionBase):
    transport = "inside"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def close(self):
        self._connected = False

    def _command(self, *command):
        init = str(self.get_option("init"))
        return ["nsenter", "--target", init, "--root", "--wd", "--mount", "--pid", "--uts", "--ipc", "--cgroup",
                "--net", "--", "env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", *command]

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = subprocess.run(self._command("/bin/sh", "-c", cmd), input=in_data or b"", capture_output=True)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path, out_path):
        with open(in_path, "rb") as file:
            subprocess.run(self._command("tee", out_path), stdin=file, stdout=subprocess.DEVNULL, check=True)

    def fetch_file(self, in_path, out_path):
        with open(out_path, "wb") as file:
            subprocess.run(self._command("cat", in_path), stdout=file, check=True)
