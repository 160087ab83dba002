"""Creates `.venv` and installs the locked packages. It is the only script that runs before any installation.

The Makefile calls `python3 scripts/bootstrap.py lab|dev`. The script uses the standard library alone and old syntax, so
that an old Python can parse it and report that its version is too old. The script is idempotent: a stamp inside `.venv`
holds the hash of the lock file, and the next run repeats an interrupted set-up.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time

OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_GB = {"lab": 3.0, "dev": 3.5}
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")


def main(extra):
    check_python()
    check_platform()
    if is_current(extra):
        return
    check_disk(extra)
    started = time.time()
    make_venv()
    lock = os.path.join(ROOT, "requirements", extra + ".txt")
    say("1/4 installing uv")
    run(
        [
            VENV_PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
            os.path.join(ROOT, "requirements", "uv.txt"),
        ]
    )
    uv = [VENV_PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", VENV_PYTHON]
    say("2/4 installing the locked packages of requirements/{0}.txt (about 1.6 GB on disk)".format(extra))
    run(uv + ["--require-hashes", "-r", lock])
    say("3/4 installing the routing engine")
    install_routing(uv)
    say("4/4 installing the lab itself")
    run(uv + ["--no-deps", "--no-build-isolation", "--editable", ROOT])
    if extra == "dev":
        compile_for_tests()
    for name in ("dev", "lab") if extra == "dev" else ("lab",):
        with open(stamp_path(name), "w") as stamp:
            stamp.write(wanted_stamp(name))
    say("environment ready in {0:.0f} s".format(time.time() - started))


def install_routing(uv):
    """Install RoutingKit's binding, which has no package for some systems. Without it, the lab routes more slowly."""
    lock = os.path.join(ROOT, "requirements", "routing.txt")
    command = uv + ["--require-hashes", "--only-binary", ":all:", "-r", lock]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
        say(
            "routingkit-cch could not be installed (reason above); ride ETA will use a slower engine (Dijkstra).\n"
            "  To try again, delete .venv and run make again."
        )


def compile_for_tests():
    """Import all unit tests once. Without this, each of the parallel test processes compiles the same libraries."""
    say("compiling the modules that the tests import")
    collect = [VENV_PYTHON, "-m", "pytest", "--collect-only", "--quiet", "tests/unit"]
    subprocess.run(collect, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check_python():
    found = sys.version_info[:2]
    if not OLDEST <= found <= NEWEST:
        fail(
            "this is Python {0}.{1}; the lab needs Python 3.11, 3.12 or 3.13.\n"
            "  Install one of them, then name it:  make up PYTHON=python3.12".format(*found)
        )


def check_platform():
    if sys.platform == "win32":
        fail("Windows is supported through WSL 2 only: run this inside a WSL shell.")
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        fail(
            "there are no current jaxlib and onnxruntime packages for Intel Macs.\n"
            "  Use Linux or an arm64 Python; designs/adr/0005-jax-to-onnx-runtime.md says why."
        )


def check_disk(extra):
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < NEEDED_GB[extra]:
        fail(
            "{0:.1f} GB free at {1}; the environment and the data need about {2:.1f} GB.\n"
            "  Free some space, or clone the repository to a larger disk.".format(free_gb, ROOT, NEEDED_GB[extra])
        )


def make_venv():
    """Create `.venv`; recreate it if its interpreter is missing or has another version."""
    if os.path.exists(VENV_PYTHON):
        probe = subprocess.run(
            [VENV_PYTHON, "-c", "import sys, pip; print(sys.version_info[:2])"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if probe.stdout.decode().strip() == str(tuple(sys.version_info[:2])):
            return
        say("the environment in .venv is broken or uses another Python; recreating it")
        shutil.rmtree(VENV)
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        fail(
            "this Python cannot make virtual environments (its ensurepip is missing).\n"
            "  On Debian or Ubuntu:  sudo apt install python3-venv"
        )
    say("making .venv with Python {0}".format(platform.python_version()))
    run([sys.executable, "-m", "venv", VENV])


def is_current(extra):
    """True if the interpreter of `.venv` exists and the stamp matches the lock file."""
    if not os.path.exists(VENV_PYTHON) or not os.path.exists(stamp_path(extra)):
        return False
    with open(stamp_path(extra)) as stamp:
        return stamp.read() == wanted_stamp(extra)


def stamp_path(extra):
    return os.path.join(VENV, ".installed-" + extra)


def wanted_stamp(extra):
    digest = hashlib.sha256(ROOT.encode())
    for name in ("requirements/{0}.txt".format(extra), "requirements/routing.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as source:
            digest.update(source.read())
    return digest.hexdigest()


def run(command):
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if status != 0:
        fail(
            "`{0}` ended with status {1}.\n  Its message is above. If it was the network or a full disk, "
            "fix that and run make again. Finished steps are not repeated.".format(" ".join(command), status)
        )


def say(text):
    sys.stderr.write("set-up: {0}\n".format(text))
    sys.stderr.flush()


def fail(text):
    say(text)
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "lab")
